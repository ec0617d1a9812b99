"""`runtime.continuity`: an older database that was put back opens no session of before."""

from __future__ import annotations

import errno
import os
import shutil
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.directory import principals as directory
from doorward.runtime.continuity import Continuity
from doorward.stores.records import ChangeKind
from tests.support.factor_records import BANK, enrolment_ticket, session
from tests.support.world import OPERATOR


@pytest.fixture
def watch(world, tmp_path):
    """A watch that has looked at it once."""
    (tmp_path / "founded").write_text("{}")
    made = Continuity(world.services, tmp_path / "continuity.json", tmp_path / "founded")
    assert made.look()
    return made


def open_session(world):
    """Give alice a session and bob the right to enrol."""
    with world.work.change() as stores:
        stores.sessions.add(session("bank", principal_id=world.principal("alice").id))
        stores.enrolment_tickets.add(enrolment_ticket("bob", principal_id=world.principal("bob").id))


def standing(world):
    """How many sessions and rights are open, and the epoch of alice."""
    alice, bob = world.principal("alice").id, world.principal("bob").id
    now = world.clock.now()
    with world.work.read() as stores:
        return (
            len(stores.sessions.open_at(now)),
            len(stores.enrolment_tickets.open_for(bob, now)),
            stores.epochs.of(alice, BANK),
        )


def test_a_database_that_goes_on_keeps_its_sessions(world, watch):
    """Looking again changes nothing, while changes are made and by another process too."""
    open_session(world)
    before = standing(world)
    for _ in range(2):
        assert not watch.look()
        directory.create_group(world.services, "tellers-2", actor=OPERATOR)
    assert standing(world) == before


def test_an_older_database_opens_nothing(world, watch):
    """What was signed out since the copy is not open again: sessions, tokens and rights of the copy are worthless."""
    open_session(world)
    kept = world.work.state.copy()
    directory.suspend(world.services, "alice", actor=OPERATOR)
    watch.look()
    world.work.state = kept
    open_in_copy, rights, former = standing(world)
    assert (open_in_copy, rights) == (1, 1)
    world.clock.turn(seconds=1)
    assert watch.look()
    sessions, rights, epoch = standing(world)
    assert (sessions, rights) == (0, 0)
    assert epoch != former
    (event,) = world.events(EventType.SESSION_ENDED)
    assert event.data["reason"] == "database-restored"
    assert not watch.look()


def test_an_epoch_is_never_in_use_twice(world, watch):
    """One copy is put back twice: the tokens of the time between are worthless as well."""
    kept = world.work.state.copy()
    seen = {standing(world)[2]}
    for _ in range(3):
        world.clock.turn(seconds=1)
        world.work.state = kept.copy()
        watch._mark.unlink()
        assert watch.look()
        seen.add(standing(world)[2])
    assert len(seen) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"head": 1}', '{"head": "x", "founded": 1}', "7"])
def test_what_is_no_mark_counts_as_none(world, watch, tmp_path, text):
    """A mark that was lost or damaged ends the sessions, rather than keeping any that was ended."""
    open_session(world)
    (tmp_path / "continuity.json").write_text(text)
    assert watch.look()
    assert standing(world)[:2] == (0, 0)


def test_a_copy_of_the_whole_directory_is_noticed(world, watch, tmp_path):
    """Mark and database were put back together: the file `founded` has another time of change."""
    open_session(world)
    assert not watch.look()
    shutil.copy2(tmp_path / "founded", tmp_path / "copy")
    (tmp_path / "copy").replace(tmp_path / "founded")
    assert watch.look()
    assert standing(world)[0] == 0


def test_who_reads_the_mark(watch, tmp_path):
    """It is a file of the running parts alone, and no link is followed."""
    assert (tmp_path / "continuity.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "continuity.json").unlink()
    (tmp_path / "continuity.json").symlink_to(tmp_path / "founded")
    with pytest.raises(OSError, match="Too many levels"):
        watch.look()


def test_sessions_that_ended_by_themselves_are_told_of_no_more(world, watch, tmp_path):
    """Only what was open is an event."""
    open_session(world)
    world.clock.turn(seconds=timedelta(days=1).total_seconds())
    (tmp_path / "continuity.json").unlink()
    assert watch.look()
    assert world.events(EventType.SESSION_ENDED) == []


def test_a_full_disk_leaves_the_mark(world, watch, tmp_path, monkeypatch):
    """It is replaced in its place: a write that fails leaves the old one, and no session ends because of it."""
    open_session(world)
    assert not watch.look()
    mark = tmp_path / "continuity.json"
    former = mark.read_bytes()
    with world.work.change() as stores:
        stores.changes.note(ChangeKind.PRINCIPAL, "per_one", world.clock.now())
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", no_space)
        with pytest.raises(OSError, match="No space"):
            watch.look()
    assert mark.read_bytes() == former
    mark.write_bytes(former + b"    ")  # a longer one stood there
    assert not watch.look()
    assert not watch.look()
    assert standing(world)[0] == 1


def no_space(*_):
    """A disk without room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
