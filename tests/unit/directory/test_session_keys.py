"""`directory.session_keys`: a key is made, announced, used, retired and removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import IntegrityError, Unavailable
from doorward.directory.session_keys import (
    LEAD,
    current_session_key,
    maintain_session_keys,
    rotate_session_key,
)
from doorward.stores.factor_records import LONGEST_SESSION
from doorward.stores.policy_snapshot import load_snapshot
from doorward.stores.records import ChangeKind
from doorward.wire.jose import parse_jwk, thumbprint
from tests.support.ports import MemoryKeyStore
from tests.support.world import OPERATOR

LIFETIME = timedelta(days=30)
SECOND = timedelta(seconds=1)


def kids(world):
    """The ids of the keys, newest first."""
    with world.work.read() as stores:
        return [one.id for one in stores.session_keys.list()]


def turn(world, by):
    """Move the clock on."""
    world.clock.turn(seconds=by.total_seconds())


def test_the_first_key_is_made_when_it_is_needed(world):
    """It signs at once, is the same for every later call, and is announced: an event, a change, the snapshot."""
    with world.work.read() as stores:
        before = stores.changes.head()
    kid, key = current_session_key(world.services)
    assert thumbprint(key.public_key()) == kid
    again, same = current_session_key(world.services)
    assert (again, same.private_numbers()) == (kid, key.private_numbers())
    assert kids(world) == [kid]
    assert world.events(EventType.SESSION_KEY_ROTATED)[-1].data == {"session_key": kid, "reason": "first"}
    with world.work.read() as stores:
        assert [(one.kind, one.subject) for one in stores.changes.since(before)] == [
            (ChangeKind.SESSION_KEY, kid)
        ]
        (jwk,) = load_snapshot(stores).session_keys
    assert thumbprint(parse_jwk(jwk)) == kid
    assert '"d"' not in jwk


def test_a_new_key_is_announced_before_it_signs(world):
    """Gateways know a key before they see a session that it signed: a rotation signs no person out."""
    old, _ = current_session_key(world.services)
    turn(world, SECOND)
    new = rotate_session_key(world.services, actor=OPERATOR).value
    with world.work.read() as stores:
        verifying = [thumbprint(parse_jwk(one)) for one in load_snapshot(stores).session_keys]
    assert verifying == [new, old]
    turn(world, LEAD - SECOND)
    assert current_session_key(world.services)[0] == old
    turn(world, SECOND)
    assert current_session_key(world.services)[0] == new


def test_a_key_is_rotated_when_it_is_due(world):
    """Not before its lifetime is over, and then once."""
    assert maintain_session_keys(world.services, LIFETIME)
    turn(world, LIFETIME - SECOND)
    assert not maintain_session_keys(world.services, LIFETIME)
    turn(world, SECOND)
    assert maintain_session_keys(world.services, LIFETIME)
    assert not maintain_session_keys(world.services, LIFETIME)
    assert len(kids(world)) == 2
    assert world.events(EventType.SESSION_KEY_ROTATED)[-1].data["reason"] == "due"


def test_a_former_key_verifies_until_its_last_session_has_ended(world):
    """It is retired when the next one signs, and removed once no session that it signed can live."""
    old, _ = current_session_key(world.services)
    turn(world, LIFETIME)
    maintain_session_keys(world.services, LIFETIME)
    turn(world, LEAD)
    assert maintain_session_keys(world.services, LIFETIME)
    new, _ = current_session_key(world.services)
    assert kids(world) == [new, old]
    turn(world, LONGEST_SESSION)
    assert not maintain_session_keys(world.services, LIFETIME)
    turn(world, SECOND)
    with world.work.read() as stores:
        before = stores.changes.head()
    assert maintain_session_keys(world.services, LIFETIME)
    assert kids(world) == [new]
    with world.work.read() as stores:
        assert [one.subject for one in stores.changes.since(before)] == [old]


def test_two_keys_at_once_do_not_both_begin(world):
    """Where another thread made the first key meanwhile, that one is used."""
    first, _ = current_session_key(world.services)
    world.work.state.session_keys.clear()

    class Overtaken:
        """The key store of a thread that is overtaken while it makes its key."""

        def __init__(self, inner):
            self.inner = inner
            self.done = False

        def load(self, name):
            if not self.done:
                self.done = True
                current_session_key(world.services)
            return self.inner.load(name)

    late = replace(world.services, keys=Overtaken(world.services.keys))
    kid, _ = current_session_key(late)
    assert kids(world) == [kid]
    assert kid != first


def test_a_process_without_keys_signs_nothing(world):
    """The gateway cannot sign sessions, with a key in the database or without one."""
    bare = replace(world.services, keys=None)
    with pytest.raises(Unavailable):
        current_session_key(bare)
    current_session_key(world.services)
    with pytest.raises(Unavailable):
        current_session_key(bare)


def test_a_key_of_another_key_store_is_a_fault(world):
    """A database beside a foreign key store is not repaired silently."""
    current_session_key(world.services)
    foreign = replace(world.services, keys=MemoryKeyStore())
    with pytest.raises(IntegrityError) as caught:
        current_session_key(foreign)
    assert caught.value.code == "secret-unreadable"
