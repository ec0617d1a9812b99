"""SNI of one application with Host of another, and odd hosts.

A connection is made for one application. HTTP/2 coalescing, domain fronting and forged Host fields
reach no other one.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.posture.witness import Witness
from tests.support.attacks import Edit, H2Client, added, changed, exchange, leading_to, statuses, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import APPS, AUDITOR, CLEARED, TELLER, allow, id_of
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-hosts")


OTHER = id_of("other", APPS["other"][0])
EVERYTHING = facts_of(TELLER, AUDITOR, CLEARED, OTHER)
TABLE = ("routes", "app_pay", "virtual_hosts")
MISDIRECTED = without(*TABLE, "misdirected")
ANY_HOST = changed(*TABLE, "app_pay", "domains", to=["*"])
HOSTS = ["other.test", "enroll.test", "127.0.0.1", "x.pay.test", "[::1]:443", "other.test."]
NO_HOSTS = [
    "PAY.test@other.test",
    "pay.test:x@other.test",
    "pay.test:other.test",
    "pay.test:0",
    "pay.test:65536",
    "pay.test:",
    "pay.test,pay.test",
    "",
]
AUTHORITY = without("routes", "app_pay", "virtual_hosts", "app_pay", "routes", "authority-malformed")


def ask(door: CompiledDoor, host: str, path: str = "/accounts/7", *, h2: bool) -> int:
    """Ask for another host on a connection made for pay.test."""
    return door.ask(path, host=host, sni="pay.test", h2=h2)


@pytest.fixture
def entitled(door: CompiledDoor) -> CompiledDoor:
    """A connection that holds the ids of both applications: only the host stands between."""
    door.authorizer.facts = EVERYTHING
    return door


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("host", HOSTS)
def test_another_host_is_misdirected(
    entitled: CompiledDoor, witness: Witness, host: str, *, h2: bool
) -> None:
    """With any grants of the connection, a request for another host reaches no application."""
    mark = len(witness.requests)
    assert ask(entitled, host, h2=h2) == 421
    assert witness.since(mark) == []


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_host_is_malformed(
    entitled: CompiledDoor, witness: Witness, host: str, *, h2: bool
) -> None:
    """RFC 9112 section 3.2: 400, or the end of the connection; never 421, which asks for another try."""
    mark = len(witness.requests)
    assert ask(entitled, host, h2=h2) in {0, 400}
    assert witness.since(mark) == []


def test_two_host_lines_or_none_are_malformed(entitled: CompiledDoor, witness: Witness) -> None:
    """RFC 9112 section 3.2: a request without Host, or with more than one, is answered with 400."""
    mark = len(witness.requests)
    for lines in (
        "",
        "Host: pay.test\r\nHost: pay.test\r\n",
        "Host: pay.test\r\nHost: other.test\r\n",
        "Host:\r\n",
    ):
        with entitled.connect() as connection:
            came = exchange(connection, f"GET /accounts/7 HTTP/1.1\r\n{lines}\r\n".encode(), answers=1)
        assert statuses(came) == [400], lines
    assert witness.since(mark) == []


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize(
    ("host", "arrives"),
    [
        ("pay.test", "pay.test"),
        ("pay.test:8443", "pay.test:8443"),
        ("pay.test.", "pay.test"),
        ("pay.test.:1", "pay.test:1"),
    ],
)
def test_a_host_with_a_port_or_a_dot_is_served(
    entitled: CompiledDoor, witness: Witness, host: str, arrives: str, *, h2: bool
) -> None:
    """The application gets the host that was matched, with the port and without the dot."""
    mark = len(witness.requests)
    assert ask(entitled, host, h2=h2) == 200
    assert witness.since(mark)[0].all_of("host") == [arrives]


def test_over_http2_the_authority_counts_and_not_host(entitled: CompiledDoor, witness: Witness) -> None:
    """RFC 9113 section 8.3.1: if both are there, the application gets :authority."""
    mark = len(witness.requests)
    with entitled.connect(h2=True) as connection:
        assert H2Client(connection).ask("/accounts/7", ("host", "other.test")).status == 200
    assert witness.since(mark)[0].all_of("host") == ["pay.test"]


def test_a_target_with_an_authority_counts_and_not_host(entitled: CompiledDoor, witness: Witness) -> None:
    """RFC 9112 section 3.2.2: the Host of a request in absolute form is ignored."""
    mark = len(witness.requests)
    for target, status in (("https://pay.test/accounts/7", 200), ("https://other.test/accounts/7", 421)):
        with entitled.connect() as connection:
            came = exchange(connection, f"GET {target} HTTP/1.1\r\nHost: x.test\r\n\r\n".encode(), answers=1)
        assert statuses(came) == [status]
    assert witness.since(mark)[0].all_of("host") == ["pay.test"]


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
def test_without_the_route_what_follows_the_colon_arrives(kept: Kept, witness: Witness, *, h2: bool) -> None:
    """`ignore_port_in_host_matching` takes any text after the last colon for a port."""
    door = kept(AUTHORITY)
    door.authorizer.facts = EVERYTHING
    mark = len(witness.requests)
    assert ask(door, "pay.test:other.test", h2=h2) == 200
    assert witness.since(mark)[0].all_of("host") == ["pay.test:other.test"]


@pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
def test_without_the_misdirecting_host_it_is_served(kept: Kept, witness: Witness, *, h2: bool) -> None:
    """With a route table for every host, pay's connection asks its upstream in another's name."""
    door = kept(MISDIRECTED, ANY_HOST, AUTHORITY)
    door.authorizer.facts = EVERYTHING
    mark = len(witness.requests)
    assert ask(door, "other.test", h2=h2) == 200
    assert witness.since(mark)[0].all_of("host") == ["other.test"]


def _shared(*, ids: bool) -> Edit:
    """Return what turns pay's table into one for both applications, with equal ids if wanted."""

    def merge(table: dict[str, Any]) -> dict[str, Any]:
        first, *rest = table["virtual_hosts"]
        text = (
            json.dumps(first["routes"])
            .replace('"app_pay"', '"app_other"')
            .replace("pay\\\\.test", "other\\\\.test")
        )
        if not ids:
            for one in (TELLER, AUDITOR, CLEARED):
                text = text.replace(one, one[::-1])
        other = {"name": "app_other", "domains": ["other.test"], "routes": json.loads(text)}
        return {**table, "virtual_hosts": [first, other, *rest]}

    return changed("routes", "app_pay", to=merge)


def test_ids_of_each_application_hold_if_tables_are_shared(kept: Kept, witness: Witness) -> None:
    """With one table for both applications, ids that differ still refuse; equal ids would not."""
    mark = len(witness.requests)
    for ids, status in ((False, 403), (True, 200)):
        door = kept(_shared(ids=ids), name=f"shared {ids}")
        door.authorizer.facts = facts_of(TELLER, AUDITOR, CLEARED)
        assert ask(door, "other.test", h2=True) == status
    assert len(witness.since(mark)) == 1


def test_equal_rules_of_two_applications_have_different_ids() -> None:
    """Ids are hashed over the application: `_shared(ids=True)` is a policy that cannot be compiled."""
    rule = allow("same", "tellers")
    assert id_of("pay", rule) != id_of("other", rule)


@pytest.mark.parametrize("name", ["nobody.test", "pay.test.evil.test", "127.0.0.1"])
def test_an_unknown_server_name_is_closed(door: CompiledDoor, name: str) -> None:
    """No chain serves a name of no application, also if the connection would have the grants."""
    assert door.site.alert(name) in {"reset", "closed", "UNEXPECTED_EOF_WHILE_READING"}


def test_without_the_chains_match_it_is_served(kept: Kept) -> None:
    """A matcher that leads unknown names somewhere takes every name."""
    chains = ("listeners", "door", "filter_chains")
    door = kept(
        without(*chains, "app_other"),
        without(*chains, "doorward_enrol"),
        added("listeners", "door", "filter_chain_matcher", "on_no_match", value=leading_to("app_pay")),
        without("routes", "app_other"),
        without("routes", "doorward_enrol"),
    )
    context = door.site.tls("p256")
    context.check_hostname = False
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    with door.site.connect("nobody.test", context=context) as connection:
        assert door.site.ask("GET", "/accounts/7", over=connection).status == 200
