"""A resumed session skips validation, so none is ever resumed."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.attacks import TLS, Edit, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-resumption")


TICKETS = without(*TLS, "disable_stateless_session_resumption")
SESSIONS = without(*TLS, "disable_stateful_session_resumption")
VERSIONS = [
    pytest.param(ssl.TLSVersion.TLSv1_2, id="TLS 1.2"),
    pytest.param(ssl.TLSVersion.TLSv1_3, id="TLS 1.3"),
]
BOTH = (TICKETS, SESSIONS)


def resumed(door: CompiledDoor, context: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    """Return whether a second handshake with the session of a first one is a resumption."""
    with door.site.connect("pay.test", context=context, session=session) as connection:
        assert door.site.ask("GET", "/accounts/1", over=connection).status == 200
        return bool(connection.session_reused)


def session_of(door: CompiledDoor, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """Return what a client could resume after one request (TLS 1.3 sends tickets after the handshake)."""
    with door.site.connect("pay.test", context=context) as connection:
        assert door.site.ask("GET", "/accounts/1", over=connection).status == 200
        return connection.session


@pytest.mark.parametrize("version", VERSIONS)
class TestResumption:
    """A client that offers its former session."""

    def test_it_shakes_hands_in_full(self, door: CompiledDoor, version: ssl.TLSVersion) -> None:
        """No session is ever resumed at the door as compiled."""
        context = door.site.tls("p256", version)
        assert not resumed(door, context, session_of(door, context))

    def test_without_the_fields_it_resumes(self, kept: Kept, version: ssl.TLSVersion) -> None:
        """Without both fields the second handshake skips the certificate."""
        door = kept(*BOTH)
        context = door.site.tls("p256", version)
        assert resumed(door, context, session_of(door, context))


def test_the_first_field_alone_leaves_the_session_cache_on(kept: Kept) -> None:
    """With tickets off but `disable_stateful_session_resumption` gone, TLS 1.2 resumes by session id."""
    door = kept(SESSIONS)
    context = door.site.tls("p256", ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_TICKET
    assert resumed(door, context, session_of(door, context))


@pytest.mark.parametrize("edits", [(), BOTH], ids=["as compiled", "without the fields"])
def test_a_certificate_that_expired_meanwhile(kept: Kept, edits: tuple[Edit, ...]) -> None:
    """It is refused at the door as compiled; without the fields its holder gets 200 by resumption."""
    door = kept(*edits)
    door.authorizer.facts = facts_of(TELLER, CLEARED)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)  # both handshakes come before it
    name = f"brief{len(edits)}"
    door.site.client_certificate(name, not_after=ends)
    versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    contexts = {version: door.site.tls(name, version) for version in versions}
    sessions = {version: session_of(door, context) for version, context in contexts.items()}
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() + 1.1))
    for version, context in contexts.items():
        if edits:
            assert resumed(door, context, sessions[version])
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                resumed(door, context, sessions[version])
    # Not the clock, not another fault: a client with a full handshake is refused, at both doors.
    assert "EXPIRED" in door.site.alert("pay.test", name)
