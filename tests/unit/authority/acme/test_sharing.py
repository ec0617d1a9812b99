"""Several directories, processes and gateways: none holds up another, and none undoes what another does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.authority.acme.conversation import CONVERSATION_SECONDS
from doorward.authority.acme.eligibility import MOST_TRIES, MOST_TRIES_TOGETHER
from doorward.authority.acme.leases import LEASE
from doorward.authority.acme.ports import AcmeRefusal
from doorward.wire.acme import ChallengeKind
from tests.support.acme_server import AcmeServer
from tests.unit.authority.acme.conftest import DOCUMENT, ListProver, Site

OTHER = "other.corp.example"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def elsewhere(site: Site, tmp_path: Path) -> AcmeServer:
    """A second authority, which the document names for one application."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    server = AcmeServer(folder, port=444, now=site.world.clock.now, look_up=site.server.look_up)
    site.transport.others["127.0.0.1:444"] = server
    more = f"""\
  other:
    hosts: [{OTHER}]
    upstream: http://127.0.0.1:9001
    certificates: {{from: acme, directory: "{server.directory}"}}
"""
    site.apply(DOCUMENT.replace("apps:\n", f"apps:\n{more}"))
    return server


def order_elsewhere(site: Site, server: AcmeServer, gateway: str = "gateway") -> str:
    """Order at the second authority."""
    purpose = site.world.application_id("other")
    return site.order((OTHER,), purpose=purpose, directory=server.directory, gateway=gateway)


def test_a_directory_that_does_not_answer_is_asked_once(site: Site, elsewhere: AcmeServer) -> None:
    """Its other orders wait; the orders at another directory are filled."""
    asked: list[float] = []

    def spend(url: str, _: float) -> None:
        if ":444/" in url:
            asked.append(0)
            raise AcmeRefusal("acme-unreachable", "it cannot be reached", is_network=True)

    site.transport.spend = spend
    waiting = [order_elsewhere(site, elsewhere, gateway) for gateway in ("a", "b", "c")]
    fine = site.order()
    site.filling.work()
    site.make().work()  # another process knows the pause
    assert len(asked) == 1
    assert site.filled(fine)
    assert sum(site.record(one).failures for one in waiting) == 1
    for at in range(2, 6):
        site.world.clock.turn(minutes=30)
        site.make().work()
        assert len(asked) == at
    site.transport.spend = lambda _url, _seconds: None
    site.world.clock.turn(minutes=30)
    site.filling.work()
    with site.world.services.work.read() as stores:
        assert stores.acme.pauses() == []


def test_the_pauses_of_a_directory_become_longer(site: Site) -> None:
    """Up to half an hour; a part of each is random, so that installations do not come back together."""
    site.transport.down = True
    site.order()
    pauses = []
    for _ in range(8):
        site.filling.work()
        with site.world.services.work.read() as stores:
            (pause,) = stores.acme.pauses()
        pauses.append(pause.until - site.world.clock.now())
        site.world.clock.present = pause.until
    steps = [timedelta(minutes=one) for one in (1, 2, 5, 10, 20, 30, 30, 30)]
    assert all(step * 3 / 4 < pause <= step for pause, step in zip(pauses, steps, strict=True))


def test_questions_about_renewal_keep_a_pause_too(site: Site) -> None:
    """Otherwise a thousand certificates would each wait for a directory that does not answer."""
    for gateway in ("a", "b", "c"):
        site.order(gateway=gateway)
        site.filling.work()
    site.transport.down = True
    asked: list[str] = []
    site.transport.spend = lambda url, _: asked.append(url)
    site.make()
    site.ask()
    site.ask()
    assert len(asked) == 1


def test_a_slow_directory_has_one_deadline(site: Site) -> None:
    """Each of its answers comes just in time; together they take no longer than one deadline."""

    def spend(_: str, seconds: float) -> None:
        site.world.clock.turn(seconds=min(25, seconds))

    site.transport.spend = spend
    order = site.order()
    began = site.world.clock.now()
    site.filling.work()
    assert site.world.clock.now() - began <= timedelta(seconds=CONVERSATION_SECONDS + 1)
    assert site.record(order).problem_code == "acme-unreachable"
    assert "slow" in site.record(order).problem
    assert site.record(order).url  # the order at the server goes on later


class SlowProver(ListProver):
    """Takes five minutes, as a zone's name servers may."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site

    def present(self, challenge: object) -> None:
        self._site.world.clock.turn(minutes=5)


def test_time_to_show_control_is_not_the_servers(site: Site) -> None:
    """A program that waits for name servers does not use up the deadline."""
    site.prover = SlowProver(site)
    order = site.order()
    site.make().work()
    assert site.filled(order)


@pytest.mark.parametrize("at", range(2, 9))
def test_a_process_that_lost_its_lease_changes_nothing(site: Site, at: int) -> None:
    """Whatever it does next: the other process keeps its lease, its challenges and its count of failures."""
    order = site.order()
    left = [at]

    def lose(_url: str, _seconds: float) -> None:
        left[0] -= 1
        if left[0]:
            return
        site.world.clock.turn(minutes=11)
        with site.world.services.work.change() as stores:
            record = stores.acme.orders([order])[order]
            until = site.world.clock.now() + LEASE
            assert stores.acme.replace_order(replace(record, lease="theirs", leased_until=until, url=""))
            shown.extend(stores.acme.challenges())

    shown: list[object] = []
    site.transport.spend = lose
    site.filling.work()
    record = site.record(order)
    assert (record.lease, record.failures, record.url) == ("theirs", 0, "")
    assert record.leased_until is not None
    assert record.leased_until > site.world.clock.now()
    with site.world.services.work.read() as stores:
        assert list(stores.acme.challenges()) == shown
    assert site.prover.withdrawn == []
    assert not site.filled(order)


def test_an_order_waits_for_the_challenge_of_another(site: Site) -> None:
    """A host shows one challenge at a time; the second gateway's order follows once the first one ended."""
    site.server.faults.slow_polls = 40
    first = site.order(gateway="a")
    site.filling.work()
    with site.world.services.work.read() as stores:
        (shown,) = stores.acme.challenges()
    assert site.record(first).leased_until is None
    second = site.order(gateway="b")
    site.filling.work()
    with site.world.services.work.read() as stores:
        assert stores.acme.challenges() == [shown]
    for _ in range(6):
        site.world.clock.turn(minutes=1)
        site.filling.work()
    assert site.filled(first)
    assert site.filled(second)


def test_a_challenge_that_ended_holds_up_no_other_order(site: Site) -> None:
    """Its order may wait for the authority for days."""
    site.server.faults.slow_polls = 40
    first = site.order(gateway="a")
    site.filling.work()
    with site.world.services.work.change() as stores:
        later = site.world.clock.now() + timedelta(days=3)
        assert stores.acme.replace_order(replace(site.record(first), next_try_at=later))
    site.server.faults.slow_polls = 0
    second = site.order(gateway="b")
    site.world.clock.turn(minutes=10)
    site.filling.work()
    assert site.filled(second)


def test_each_gateway_has_its_own_tries(site: Site) -> None:
    """One gateway that orders again and again does not keep the others from a certificate; together they are bounded."""
    site.server.look_up = lambda _: None
    for _ in range(MOST_TRIES + 1):
        order = site.order(gateway="wild")
        site.filling.work()
    assert site.record(order).problem_code == "acme-too-many-tries"
    assert len(site.server.orders) == MOST_TRIES
    for number in range(MOST_TRIES_TOGETHER + 1 - MOST_TRIES):
        order = site.order(gateway=f"gateway-{number}")
        site.filling.work()
    assert len(site.server.orders) == MOST_TRIES_TOGETHER
    assert site.record(order).problem_code == "acme-too-many-tries"


def test_only_the_authority_of_the_settings_gets_contact_and_customer_key(
    site: Site, elsewhere: AcmeServer
) -> None:
    """A document that names another directory sends neither there: the customer key works for one authority only."""
    site.server.eab = {"kid-1": b"k" * 32}
    own, other = site.order(), order_elsewhere(site, elsewhere)
    site.make(
        eab_kid="kid-1", eab_secret=b"k" * 32, contact="it@corp.example", challenge=ChallengeKind.HTTP
    ).work()
    assert site.filled(own)
    assert site.filled(other)
    (told,) = (payload for path, payload in elsewhere.payloads if path == "/new-account")
    assert told == {"termsOfServiceAgreed": True}
    (account,) = site.server.accounts.values()
    assert account["contact"] == ["mailto:it@corp.example"]
