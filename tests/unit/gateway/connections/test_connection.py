"""A connection as a decision admits it, as a newer one judges it, and as the journal keeps it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

from doorward.gateway.connections.connection import LiveConnection, whole_minute
from doorward.gateway.connections.journal import NOT_KEPT, parse_line, render_entry
from tests.support.ports import NOON
from tests.support.world import found_world
from tests.unit.gateway.live import live, pending


def test_a_deadline_is_a_whole_minute() -> None:
    """Deadlines are rounded down so that assertions are shared, but never to the past or later."""
    late = NOON + timedelta(hours=1, seconds=42, microseconds=7)
    assert whole_minute(late, NOON) == NOON + timedelta(hours=1)
    soon = NOON + timedelta(seconds=90, microseconds=7)
    assert whole_minute(soon, NOON) == NOON + timedelta(seconds=90)


def test_what_was_known_before_the_judgement_stays() -> None:
    """An admitted connection has all of the pending one, and what the decision says."""
    world = found_world()
    alice = world.issue("alice")
    begun = pending(7, app=world.application_id("payments"))
    decision = world.decide(alice.der)
    admitted = LiveConnection.admitted(begun, decision)
    for one in fields(begun):
        assert getattr(admitted, one.name) == getattr(begun, one.name)
    assert admitted.source_address == "198.51.100.7"
    assert (admitted.certificate_id, admitted.sha256) == (alice.record.id, alice.record.sha256)
    assert (admitted.principal_id, admitted.subject) == (alice.record.principal_id, decision.subject)
    assert (admitted.grants, admitted.permissions) == (decision.grants, decision.permissions)
    assert (admitted.revision, admitted.decision) == (decision.revision, decision.event.id)


def test_a_newer_judgement_moves_only_the_end_of_partners() -> None:
    """Our own certificate's connection ends when it would have; a partner's by the newest evidence and its own lifetime."""
    world = found_world()
    decision = replace(world.decide(world.issue("alice").der), deadline=NOON + timedelta(hours=3))
    own = live(1, deadline=NOON + timedelta(hours=1))
    half_a_day = timedelta(hours=12)
    assert own.judged_again(decision, lifetime=half_a_day).deadline == own.deadline
    theirs = replace(own, partner_id="ptn_a")
    assert theirs.judged_again(decision, lifetime=half_a_day).deadline == decision.deadline
    assert theirs.judged_again(decision, lifetime=timedelta(hours=2)).deadline == NOON + timedelta(hours=2)
    assert theirs.judged_again(decision, lifetime=half_a_day).subject == decision.subject


def test_the_journal_keeps_what_an_adopted_connection_needs() -> None:
    """Every field is kept in the journal, or has a value for adopted connections, or a default: none is forgotten."""
    connection = live(7, deadline=NOON + timedelta(hours=1))
    adopted = parse_line(render_entry(connection))
    assert isinstance(adopted, LiveConnection)
    assert adopted == replace(connection, **NOT_KEPT, adopted=True)
