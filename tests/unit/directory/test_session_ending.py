"""What second factors opened ends with the principal: suspended, removed, renamed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.factor_kinds import FactorKind
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.directory.session_ending import end_everyone
from doorward.stores.policy_snapshot import SNAPSHOT_CHANGES
from doorward.stores.records import ChangeKind
from tests.support.factor_records import BANK, enrolment_ticket, factor, session, session_code, step_up
from tests.support.ports import NOON
from tests.support.records import digest
from tests.support.world import OPERATOR, found_world


@pytest.fixture
def world():
    """A founded authority with two people who have factors and sessions."""
    world = found_world(document="")
    with world.work.change() as stores:
        for name in ("alice", "bob"):
            of = {"principal_id": world.principal(name).id}
            stores.factors.add(factor(f"{name} key", **of))
            stores.factors.add(factor(f"{name} code", FactorKind.RECOVERY, **of))
            stores.enrolment_tickets.add(enrolment_ticket(name, **of))
            stores.sessions.add(session(name, **of))
            stores.sessions.add(session(f"{name} portal", application_id=PORTAL_APPLICATION, **of))
            stores.step_ups.add(step_up(name, **of))
            stores.session_codes.add(session_code(name, **of))
    return world


def left(world, name):
    """How much a person has: factors, enrolment tickets, sessions, step-ups, codes."""
    person = id_of(world, name)
    with world.work.change() as stores:
        return (
            len(stores.factors.of_principal(person)),
            len(stores.enrolment_tickets.open_for(person, NOON)),
            len(stores.sessions.open_at(NOON, person)),
            int(stores.step_ups.get(step_up(name).id) is not None),
            int(stores.session_codes.take(digest(name)) is not None),
        )


def id_of(world, name):
    """The id of a person, also of one who was removed."""
    return next(one.id for one in world.work.state.principals.values() if one.name == name)


def epoch(world, person):
    """What the tokens of a person must say."""
    with world.work.read() as stores:
        return stores.epochs.of(person, BANK)


def test_suspending_ends_sessions_and_keeps_factors(world):
    """The sessions and what would lead to one are gone, their tokens are worthless; the passkey is still hers."""
    done = directory.suspend(world.services, "alice", actor=OPERATOR)
    assert left(world, "alice") == (2, 1, 0, 0, 0)
    assert left(world, "bob") == (2, 1, 2, 1, 1)
    assert epoch(world, id_of(world, "alice")) == "0.1.0"
    assert epoch(world, id_of(world, "bob")) == "0.0.0"
    (event,) = world.events(EventType.SESSION_ENDED)
    assert event.data == {"principal": id_of(world, "alice"), "reason": "principal-suspended", "number": 2}
    directory.resume(world.services, "alice", actor=OPERATOR)
    assert epoch(world, id_of(world, "alice")) == "0.1.0"
    assert done.seq < world.head()


@pytest.mark.parametrize("verb", ["remove", "rename"])
def test_removing_takes_everything(world, verb):
    """Factors, enrolment tickets, sessions, step-ups and codes go in the transaction that revokes the certificates."""
    of_alice = id_of(world, "alice")
    if verb == "remove":
        done = removal.remove(world.services, "alice", actor=OPERATOR)
    else:
        done = removal.rename(world.services, "alice", "alicia", actor=OPERATOR)
    assert "2 second factors were removed" in done.notes
    assert left(world, "alice") == (0, 0, 0, 0, 0)
    assert left(world, "bob") == (2, 1, 2, 1, 1)
    assert epoch(world, of_alice) == "0.1.0"
    (event,) = world.events(EventType.FACTOR_RESET)
    assert event.data == {"principal": of_alice, "number": 2, "reason": "principal-removed"}


def test_a_revoked_certificate_ends_its_sessions(world):
    """What was opened with a lost certificate ends with it, and nothing else."""
    held = world.issue("alice")
    with world.work.change() as stores:
        stores.sessions.add(
            session("laptop", principal_id=id_of(world, "alice"), certificate_id=held.record.id)
        )
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert left(world, "alice")[2] == 2


def test_a_release_gives_no_session_back(world):
    """A hold ends what the certificate opened, and raises the epoch there, so that its tokens are worthless later."""
    held, alice = world.issue("alice"), id_of(world, "alice")
    with world.work.change() as stores:
        of = {"principal_id": alice, "certificate_id": held.record.id}
        stores.sessions.add(session("laptop", **of))
        stores.sessions.add(session("laptop portal", application_id=PORTAL_APPLICATION, **of))
    done = revocation.hold(world.services, held.record.id, OPERATOR)
    revocation.release(world.services, held.record.id, OPERATOR)
    with world.work.change() as stores:
        (other,) = stores.sessions.open_at(NOON, alice)
        changes = [one.kind for one in stores.changes.since(done - 2) if one.seq <= done]
        assert stores.session_codes.take(digest("alice")) is None
    assert other.application_id == PORTAL_APPLICATION
    assert epoch(world, alice) == "0.0.1"
    assert changes == [ChangeKind.PRINCIPAL, ChangeKind.CERTIFICATE]
    (event,) = world.events(EventType.SESSION_ENDED)
    assert event.data == {
        "principal": alice,
        "certificate": held.record.id,
        "reason": "certificate-held",
        "number": 3,
    }


def test_a_hold_without_sessions_ends_none(world):
    """What the same person opened with another certificate stays open."""
    revocation.hold(world.services, world.issue("alice").record.id, OPERATOR)
    assert left(world, "alice")[2] == 2
    assert epoch(world, id_of(world, "alice")) == "0.0.0"
    assert world.events(EventType.SESSION_ENDED) == []


def test_nothing_is_reported_if_there_was_nothing(world):
    """A person without factors and sessions is suspended and removed without a word about them."""
    directory.suspend(world.services, "carol", actor=OPERATOR)
    assert removal.remove(world.services, "carol", actor=OPERATOR).notes == ()
    assert world.events(EventType.SESSION_ENDED) == world.events(EventType.FACTOR_RESET) == []


def test_the_factor_of_one_who_is_removed_is_free(world):
    """The same passkey can be enrolled again, by another principal."""
    removal.remove(world.services, "alice", actor=OPERATOR)
    with world.work.change() as stores:
        stores.factors.add(factor("alice key", principal_id=id_of(world, "bob")))
    assert left(world, "bob")[0] == 3


def test_sessions_of_another_time_are_not_counted(world):
    """What ended by itself is not ended again."""
    world.clock.turn(seconds=timedelta(days=1).total_seconds())
    directory.suspend(world.services, "alice", actor=OPERATOR)
    assert world.events(EventType.SESSION_ENDED) == []


def test_the_end_of_every_session_names_all(world):
    """Everybody has another epoch then, without a session too; so a change makes gateways forget what they know of anybody."""
    with world.work.change() as stores:
        stores.sessions.end_every(NOON)
        head = stores.changes.head()
    before = epoch(world, id_of(world, "alice"))
    end_everyone(world.services, reason="ended-by-operator", actor=OPERATOR)
    assert epoch(world, id_of(world, "alice")) != before
    with world.work.read() as stores:
        (change,) = stores.changes.since(head)
    assert change.kind in SNAPSHOT_CHANGES
