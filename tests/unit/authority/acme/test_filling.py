"""Filling orders at an ACME server: what is done once, what a failure leaves, and what is never used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.audit.events import EventType
from doorward.authority.acme.eligibility import MOST_TRIES
from doorward.authority.acme.leases import LEASE
from doorward.authority.acme.reporting import list_troubles
from doorward.authority.orders import answered_orders, fill_order, open_orders, order_status
from doorward.core.errors import NotFound, RequestRefused
from doorward.core.names import PORTAL_APPLICATION
from doorward.stores.records import OrderState
from tests.support.acme_server import Refusal
from tests.support.refusals import refused
from tests.unit.authority.acme.conftest import DOCUMENT, HOST, Killed, Site

DAY = timedelta(days=1)
MORE = """\
  more:
    hosts: [more.corp.example]
    upstream: http://127.0.0.1:9001
    certificates: {from: acme}
"""


def test_an_order_is_filled_with_the_chain(site: Site) -> None:
    """The gateway gets leaf and issuer; the event says for whom; the challenges are gone."""
    order = site.order()
    site.filling.work()
    leaf, issuer = site.chain(order)
    assert leaf == site.server.issued[0]
    assert issuer == site.server.issuer
    with site.world.services.work.read() as stores:
        assert stores.acme.challenges() == []
    assert (site.prover.shown, site.prover.withdrawn) == ([HOST], [HOST])
    (event,) = (one for one in site.world.work.events if one.type is EventType.SERVER_CERTIFICATE_OBTAINED)
    assert event.data["serial"] == f"{leaf.serial_number:x}"
    assert event.personal["names"] == HOST
    assert HOST not in str(event.data)


def test_our_own_authority_leaves_such_orders(site: Site) -> None:
    """Otherwise two authorities would fill one order."""
    order = site.order()
    assert open_orders(site.world.services) == []
    with refused(RequestRefused, "order-not-ours"):
        fill_order(site.world.services, order, actor="os:1")


def test_one_account_is_used_for_ever(site: Site) -> None:
    """A renewal, another process, and a database without the account's record make no second account."""
    for _ in range(2):
        assert site.filled(site.order()) or site.filling.work() is None
    site.make()
    site.order()
    site.filling.work()
    site.world.work.state.acme_accounts.clear()  # a database from before; the key store has the key
    site.order()
    site.filling.work()
    assert len(site.server.issued) == 4
    assert len(site.server.accounts) == 1


def test_an_account_that_the_server_lost_is_made_again(site: Site) -> None:
    """The try that finds out fails; the next one makes the account with the same key."""
    site.order()
    site.filling.work()
    site.server.accounts.clear()
    order = site.order()
    site.filling.work()
    assert site.record(order).problem_code == "acme-refused"
    site.world.clock.turn(minutes=1)
    site.filling.work()
    assert site.filled(order)


def test_a_refused_nonce_is_replaced(site: Site) -> None:
    """RFC 8555 section 6.5: the request is sent again with the nonce of the refusal, a few times."""
    site.server.faults.bad_nonces = 4
    order = site.order()
    site.filling.work()
    assert site.filled(order)
    site.server.faults.bad_nonces = 5
    later = site.order()
    site.filling.work()
    assert not site.filled(later)
    assert "badNonce" in site.record(later).problem


def test_an_external_account_is_bound(site: Site) -> None:
    """Without the customer's key no account is made; with it the server knows the customer."""
    site.server.eab = {"kid-1": b"k" * 32}
    order = site.order()
    site.filling.work()
    assert site.record(order).problem_code == "acme-account-unusable"
    site.world.clock.turn(minutes=1)
    site.make(eab_kid="kid-1", eab_secret=b"wrong" * 8).work()
    assert "the binding is wrong" in site.record(order).problem
    site.world.clock.turn(minutes=5)
    site.make(eab_kid="kid-1", eab_secret=b"k" * 32, contact="it@corp.example").work()
    assert site.filled(order)
    (account,) = site.server.accounts.values()
    assert account["contact"] == ["mailto:it@corp.example"]


def test_a_wait_of_a_day_is_kept_over_a_restart(site: Site) -> None:
    """Retry-After is stored with the order; no process asks before."""
    site.server.faults.refuse_orders = Refusal("rateLimited", "too many", 429, retry_after="86400")
    order = site.order()
    site.filling.work()
    assert site.record(order).next_try_at == site.world.clock.now() + DAY
    site.server.faults.refuse_orders = None
    asked = len(site.server.requests)
    site.world.clock.turn(hours=23)
    site.make().work()
    assert len(site.server.requests) == asked
    site.world.clock.turn(hours=1)
    site.make().work()
    assert site.filled(order)


def test_a_limit_of_the_server_stops_the_other_orders_for_a_while(site: Site) -> None:
    """A thousand applications must not ask a thousand times; other directories go on."""
    site.apply(DOCUMENT.replace("apps:\n", f"apps:\n{MORE}"))
    site.server.faults.refuse_orders = Refusal("rateLimited", "too many", 429, retry_after="86400")
    both = site.order(), site.order(("more.corp.example",), purpose=site.world.application_id("more"))
    site.filling.work()
    (waiting,) = (one for one in both if not site.record(one).failures)
    assert sum(path == "/new-order" for path, _ in site.server.payloads) == 1
    site.server.faults.refuse_orders = None
    site.filling.work()
    assert not site.filled(waiting)
    site.world.clock.turn(minutes=10)
    site.filling.work()
    assert site.filled(waiting)


def test_failures_are_told_with_the_servers_words(site: Site) -> None:
    """Status has the words without control characters, the next try, and the end of the certificate in use."""
    site.order()
    site.filling.work()
    site.world.clock.turn(days=60)
    site.server.faults.refuse_orders = Refusal("caa", "CAA says no \x1b[2J\nend", 403)
    site.order()
    site.filling.work()
    (trouble,) = list_troubles(site.world.services)
    assert trouble.hosts == (HOST,)
    assert trouble.words == "the server answered 403, caa: CAA says no ?[2J end"
    assert trouble.next_try_at == site.world.clock.now() + timedelta(minutes=1)
    assert trouble.ends_at is not None
    assert trouble.ends_at - site.world.clock.now() > timedelta(days=29)
    (event,) = (one for one in site.world.work.events if one.type is EventType.SERVER_CERTIFICATE_FAILED)
    assert event.data["reason"] == "acme-refused"
    assert "CAA says no" in event.personal["explanation"]


def test_tries_come_later_and_later(site: Site) -> None:
    """A host that fails for a week is tried some twenty times, not thousands."""
    site.server.faults.refuse_orders = Refusal("rejectedIdentifier", "no", 403)
    order = site.order()
    pauses = []
    for _ in range(8):
        site.filling.work()
        at = site.record(order).next_try_at
        assert at is not None
        pauses.append(at - site.world.clock.now())
        site.world.clock.present = at
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(minutes=1)
    assert pauses[-1] == timedelta(hours=12)


def test_a_host_has_only_some_orders_a_day(site: Site) -> None:
    """Also if a gateway places a new order again and again."""
    site.server.look_up = lambda _: None
    for _ in range(MOST_TRIES + 3):
        order = site.order()
        site.filling.work()
    assert len(site.server.orders) == MOST_TRIES
    record = site.record(order)
    assert record.problem_code == "acme-too-many-tries"
    assert record.next_try_at is not None
    assert record.next_try_at.hour == 0
    assert record.next_try_at > site.world.clock.now()


def test_an_unreachable_server_is_asked_again_soon(site: Site) -> None:
    """Nothing was asked, so nothing is counted against the host, and the order at the server stays."""
    order = site.order()
    site.transport.down = True
    for _ in range(6):
        site.filling.work()
        at = site.record(order).next_try_at
        assert at is not None
        site.world.clock.present = at
    assert site.record(order).next_try_at == site.world.clock.now()
    assert site.record(order).problem_code == "acme-unreachable"
    site.transport.down = False
    site.filling.work()
    assert site.filled(order)


def test_an_answer_that_is_lost_costs_no_second_order(site: Site) -> None:
    """The order at the server goes on where it was; a host has only some orders a day."""
    order = site.order()
    site.transport.lost_at = 6  # directory, nonce, account, order, authorization; then the challenge
    site.filling.work()
    assert site.record(order).problem_code == "acme-unreachable"
    assert site.record(order).url
    site.world.clock.turn(minutes=1)
    site.filling.work()
    assert site.filled(order)
    assert len(site.server.orders) == 1


def test_an_order_that_the_server_forgot_is_placed_again(site: Site) -> None:
    """Or that became invalid meanwhile."""
    order = site.order()
    site.transport.lost_at = 6
    site.filling.work()
    (name,) = site.server.orders
    site.server.orders[name]["status"] = "invalid"
    site.world.clock.turn(minutes=1)
    site.transport.lost_at = 4
    site.filling.work()
    site.server.orders.clear()
    site.world.clock.turn(minutes=5)
    site.filling.work()
    assert site.filled(order)


def test_a_new_address_is_told_to_the_server(site: Site) -> None:
    """Once; the account stays."""
    for contact, count in (("", 0), ("it@corp.example", 1), ("it@corp.example", 1)):
        site.order()
        site.make(contact=contact).work()
        told = [payload for path, payload in site.server.payloads if path.startswith("/account/")]
        assert told == [{"contact": ["mailto:it@corp.example"]}] * count
    assert len(site.server.accounts) == 1


def test_an_order_that_is_refused_at_its_end_has_the_words(site: Site) -> None:
    """The server may refuse after every host was shown to be ours."""
    site.server.refuse_at_end = "the CSR is not to our taste"
    order = site.order()
    site.filling.work()
    assert "not to our taste" in site.record(order).problem


def test_a_failed_challenge_has_the_servers_words(site: Site) -> None:
    """What the server saw at the host helps the operator most."""
    site.server.look_up = lambda _: None
    order = site.order()
    site.filling.work()
    assert site.record(order).problem == f"http-01 failed: unauthorized: {HOST} does not know the token"
    assert site.prover.withdrawn == [HOST]


def test_what_a_slow_server_looks_at_stays_until_it_has_looked(site: Site) -> None:
    """A record in a zone that goes too early is a failure; one that stays for ever is litter."""
    site.server.faults.slow_polls = 40
    order = site.order()
    site.filling.work()
    assert not site.record(order).failures
    assert site.prover.withdrawn == []
    for _ in range(4):
        site.world.clock.turn(minutes=1)
        site.make().work()
    assert site.filled(order)
    assert set(site.prover.withdrawn) == {HOST}
    assert len(site.server.orders) == 1


def test_a_challenge_that_is_not_offered_is_told(site: Site) -> None:
    """The message names what the server offers."""
    site.server.kinds = ("dns-01",)
    order = site.order()
    site.filling.work()
    assert "does not take http-01" in site.record(order).problem
    assert "dns-01" in site.record(order).problem


def test_a_certificate_that_takes_long_is_fetched_later(site: Site) -> None:
    """`processing` is no failure: the order goes on where it was, after the time that the server names."""
    site.server.faults.pending_polls, site.server.faults.retry_after = 3, "120"
    order = site.order()
    site.filling.work()
    record = site.record(order)
    assert not record.failures
    assert record.url
    assert record.next_try_at == site.world.clock.now() + timedelta(minutes=2)
    for _ in range(3):
        site.world.clock.turn(minutes=2)
        site.make().work()
    assert site.filled(order)
    assert len(site.server.orders) == 1


def _not_for_servers(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)


def _an_authority(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda site: setattr(site.server.faults, "other_key", True), "another key"),
        (lambda site: setattr(site.server.faults, "names", [HOST, "evil.example"]), "evil.example"),
        (lambda site: setattr(site.server.faults, "names", ["evil.example"]), "names are not those"),
        (lambda site: setattr(site.server.faults, "alter", _not_for_servers), "serverAuth"),
        (lambda site: setattr(site.server.faults, "alter", _an_authority), "of an authority"),
        (lambda site: setattr(site.server, "lifetime", timedelta(seconds=-1)), "ended"),
        (lambda site: setattr(site.server, "issuer", site.server.root), "not signed by the next"),
    ],
)
def test_an_unfit_certificate_is_never_used(site: Site, spoil: Callable[[Site], None], words: str) -> None:
    """The former certificate stays in use, and the reason is told."""
    before = site.order()
    site.filling.work()
    spoil(site)
    order = site.order()
    site.filling.work()
    record = site.record(order)
    assert record.problem_code == "acme-certificate-unfit"
    assert words in record.problem
    assert order_status(site.world.services, order).order.state is OrderState.OPEN
    assert site.filled(before)


def test_a_change_of_the_authority_is_on_record(site: Site) -> None:
    """An authority that drops a purpose or takes another issuer is used, and the event names what differs."""
    site.order()
    site.filling.work()
    site.server.faults.alter = lambda builder: builder
    site.order()
    site.filling.work()
    last = [one for one in site.world.work.events if one.type is EventType.SERVER_CERTIFICATE_OBTAINED][-1]
    assert list(last.data["differences"]) == ["purposes"]  # type: ignore[call-overload]


def test_an_order_for_other_names_is_refused(site: Site) -> None:
    """Who controls a gateway gets no certificate for a host of another application, or from another directory."""
    other = site.order(("evil.corp.example",))
    site.filling.work()
    assert order_status(site.world.services, other).order.state is OrderState.REFUSED
    elsewhere = site.order(directory="https://elsewhere.example/d")
    site.filling.work()
    assert order_status(site.world.services, elsewhere).order.state is OrderState.REFUSED
    assert site.server.requests == []


def test_an_application_that_left_the_authority_leaves_no_order(site: Site) -> None:
    """An open order is refused once the document says otherwise."""
    order = site.order()
    site.apply(DOCUMENT.replace("    certificates: {from: acme}\n", ""))
    site.filling.work()
    assert order_status(site.world.services, order).order.state is OrderState.REFUSED
    assert list_troubles(site.world.services) == []


def test_the_portal_is_certified_if_the_settings_say_so(site: Site) -> None:
    """Only for its own host; otherwise the order is refused."""
    portal = "portal.corp.example"
    refused_one = site.order((portal,), purpose=PORTAL_APPLICATION)
    site.filling.work()
    assert order_status(site.world.services, refused_one).order.state is OrderState.REFUSED
    order = site.order((portal,), purpose=PORTAL_APPLICATION)
    site.make(portal_host=portal).work()
    assert site.filled(order)


def test_a_gateway_chooses_no_authority_for_the_portal(site: Site) -> None:
    """Only the settings name it: an order with another directory is refused, and that server is never asked."""
    portal = "portal.corp.example"
    order = site.order((portal,), purpose=PORTAL_APPLICATION, directory="https://elsewhere.example/directory")
    site.make(portal_host=portal).work()
    assert order_status(site.world.services, order).order.state is OrderState.REFUSED


def test_a_directory_of_an_application(site: Site) -> None:
    """The document's directory goes before that of the settings, and has an account of its own."""
    directory = site.server.directory
    quoted = DOCUMENT.replace("{from: acme}", f'{{from: acme, directory: "{directory}"}}')
    site.apply(quoted)
    order = site.order(directory=directory)
    site.make(directory="").work()
    assert site.filled(order)


def test_without_a_directory_the_order_waits(site: Site) -> None:
    """The status says which setting lacks."""
    order = site.order()
    site.make(directory="").work()
    assert site.record(order).problem_code == "acme-directory-missing"


def test_a_process_that_is_killed_anywhere_leaves_nothing_stuck(site: Site) -> None:
    """At each request: the next process goes on at once, with the same account, and the gateway gets one certificate."""
    for at in range(1, 30):
        order = site.order()
        site.transport.killed_at = at
        try:
            site.make().work()
        except Killed:
            site.make(is_alone=True).work()
        else:
            break
        assert site.filled(order), (at, site.record(order))
        site.world.clock.turn(days=1)
    assert at > 8  # otherwise no process was killed after a try began
    assert len(site.server.accounts) == 1


def test_a_certificate_that_was_replaced_before_it_was_fetched(site: Site) -> None:
    """The gateway drops that order; the certificates of other applications are fetched as ever."""
    first = site.order()
    site.filling.work()
    second = site.order()
    site.filling.work()
    found = answered_orders(site.world.services, [first, second])
    assert found[first] is None
    assert found[second] is not None
    with refused(NotFound, "order-unknown"):
        order_status(site.world.services, first)


def test_another_process_works_on_the_host(site: Site) -> None:
    """A lease keeps a second process away; it ends by itself if the first one dies."""
    order = site.order()
    with site.world.services.work.change() as stores:
        from dataclasses import replace

        record = stores.acme.orders([order])[order]
        assert stores.acme.replace_order(replace(record, leased_until=site.world.clock.now() + LEASE))
    site.filling.work()
    assert site.server.requests == []
    site.world.clock.turn(minutes=10)
    site.filling.work()
    assert site.filled(order)


def test_a_server_that_redirects_is_not_followed(site: Site) -> None:
    """An answer that names another host is no answer."""
    site.server.faults.redirect = "https://elsewhere.example/"
    order = site.order()
    site.filling.work()
    assert site.record(order).problem_code == "acme-answer-malformed"
