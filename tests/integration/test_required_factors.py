"""A requirement that is raised ends the connections that it takes something from, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.attacks import has_ended
from tests.support.doorway import Doorway, open_doorway
from tests.support.person import SESSION, Person

pytestmark = pytest.mark.xdist_group("required-factors")

PASSKEY = ", require: {factor: webauthn, within: 5m}"


def put(door: Doorway, require: str) -> None:
    """Put a document into force in which alice may transfer, with this requirement, and bob may read without one."""
    door.apply(
        f"- {{name: transfers, allow: {{persons: [alice]}}{require}}}\n- {{name: reading, allow: {{persons: [bob]}}}}"
    )


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door for the file, with alice and bob."""
    with open_doorway(settings={"root_is_deployed": True}) as opened:
        opened.person("alice")
        opened.person("bob")
        yield opened


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", PASSKEY),
        (", require: {factor: any}", PASSKEY),
        (", require: {factor: webauthn, within: 1h}", PASSKEY),
        (PASSKEY, ", require: [{factor: webauthn, within: 5m}, {factor: password}]"),
    ],
)
def test_a_raised_requirement_ends_who_may_not_meet_it(door: Doorway, before: str, after: str) -> None:
    """Another factor, a fresher one, or one more: alice's connection ends, and bob's goes on."""
    put(door, before)
    with door.session(door.identities["alice"]) as alice, door.session(door.identities["bob"]) as bob:
        assert (alice.request("GET", "/").status == 200) is (not before)
        assert bob.request("GET", "/").status == 200
        put(door, after)
        assert has_ended(alice.socket)
        assert bob.request("GET", "/").status == 200
    with door.session(door.identities["alice"]) as alice:
        assert alice.request("GET", "/").status in (401, 403)


def test_a_lowered_requirement_ends_no_connection(door: Doorway) -> None:
    """The same connection that lacked the factor is let in."""
    put(door, PASSKEY)
    with door.session(door.identities["alice"]) as alice:
        assert alice.request("GET", "/").status in (401, 403)
        put(door, "")
        assert alice.request("GET", "/").status == 200


def test_a_session_outlives_the_connection_that_a_raised_requirement_ends(door: Doorway) -> None:
    """The passkey that alice has just shown meets the new age too; what it does not meet is asked for at the portal."""
    put(door, ", require: {factor: webauthn, within: 1h}")
    alice = Person(doorway=door, name="alice", identity=door.identities["alice"])
    alice.enrol_passkey()
    assert alice.open("/").status == 200
    (jar,) = (cookies for host, cookies in alice.cookies.items() if host.startswith("app."))
    with door.session(alice.identity) as live:
        shown = {"Cookie": f"{SESSION}={jar[SESSION]}"}
        assert live.request("GET", "/", headers=shown).status == 200
        put(door, PASSKEY)
        assert has_ended(live.socket)
    assert alice.ask("GET", f"{alice.origin()}/").status == 200
    put(door, ", require: [{factor: webauthn, within: 5m}, {factor: password}]")
    assert alice.ask("GET", f"{alice.origin()}/").status == 302
