"""Making invitations: who is invited, for how long, and what is kept of the link."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import NotFound, RequestRefused
from doorward.directory import inviting
from doorward.directory import principals as directory
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR


def invite(world, name="alice", **options):
    """Invite somebody."""
    return inviting.invite(world.services, name, actor=OPERATOR, **options)


def stored(world, invited):
    """The invitation as it is now."""
    with world.work.read() as stores:
        return stores.invitations.by_token(invited.record.token_sha256)


def test_token_is_kept_as_a_digest_only(world):
    """256 random bits go to the inviter; the database keeps their SHA-256 and nothing prints them."""
    invited = invite(world)
    assert len(base64.urlsafe_b64decode(invited.token + "=")) == 32
    record = stored(world, invited)
    assert record == invited.record
    assert record.token_sha256 == hashlib.sha256(invited.token.encode()).hexdigest()
    everything = repr((world.work.state, world.work.events, invited))
    assert invited.token not in everything


def test_invitation_is_an_event(world):
    """The event has who invited, the principal, and the expiry."""
    invited = invite(world)
    event = world.events(EventType.INVITATION_CREATED)[-1]
    assert event.actor == OPERATOR
    assert event.data["invitation"] == invited.record.id
    assert event.data["principal"] == invited.record.principal_id
    assert event.data["profile"] == "person"
    assert invited.record.expires_at == NOON + timedelta(hours=24)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_lifetime_has_limits(world, lifetime):
    """An invitation is open for at most seven days."""
    with refused(RequestRefused, "lifetime-refused"):
        invite(world, lifetime=lifetime)
    assert invite(world, lifetime=timedelta(days=7)).record.expires_at == NOON + timedelta(days=7)


def test_only_active_principals_are_invited(world):
    """An unknown or suspended principal is not invited."""
    with refused(NotFound, "principal-unknown"):
        invite(world, "nobody")
    directory.suspend(world.services, "alice", actor=OPERATOR)
    with refused(RequestRefused, "principal-suspended") as suspended:
        invite(world)
    assert "doorward person resume alice" in suspended.value.hint
