"""A gateway or an Envoy is replaced while people are connected: which connections go on, are refused, or can be cut.

The long form, with every process and ten deaths in a row, is tests/prove/test_restarts.py.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta

import pytest

from doorward.audit.events import EventType
from doorward.authority.gateways import confirmations
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.directory.principals import suspend
from doorward.gateway.envoy import supervisor
from tests.support.accounts import compare
from tests.support.doorway import ACTOR, Session, eventually, is_root, open_doorway, short_folder
from tests.support.house import open_house
from tests.support.small_disk import filled, small_disk
from tests.support.watching import LiveRequests, LiveStream, NewConnections, watching


def test_a_replaced_envoy_admits_no_new_connection() -> None:
    """A connection without a first byte at the old Envoy is refused after its handshake; an admitted one goes on.

    The old Envoy enforces an older policy than the one by which the newcomer would be judged.
    """
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        alice, bob = door.person("alice", "staff"), door.person("bob", "staff")
        silent = door.connect(alice)
        stream = LiveStream(door, bob)
        with watching(stream):
            old = door.gateway.supervisor.running
            assert old is not None
            door.gateway.supervisor.replace()
            assert old.pid in door.gateway.supervisor.envoy_pids()
            with silent, pytest.raises(OSError):
                Session(silent, door.host("app"), door.port).request("GET", "/")
            assert door.get(alice, "/").status == 200
            seen = len(stream.good)
            assert eventually(lambda: len(stream.good) > seen)
            # and what was admitted there can still be taken back
            suspend(door.services, "bob", actor=ACTOR)
            assert eventually(lambda: bool(stream.ended))


def test_an_envoy_that_builds_a_large_publication_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its main thread answers nothing meanwhile: it gets more time, but not without end."""
    monkeypatch.setattr(supervisor, "_HUNG_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "_BUSY_SECONDS", 30.0)
    monkeypatch.setattr(supervisor, "_ASK_SECONDS", 0.1)
    with open_doorway() as door:
        run = door.gateway.supervisor.running
        assert run is not None
        with door.gateway.publishing._working:
            os.kill(run.pid, signal.SIGSTOP)
            assert not eventually(lambda: door.gateway.supervisor.running is not run, 3)
        # a publication may begin now, and it waits a minute for the Envoy that was stopped
        assert eventually(lambda: door.gateway.supervisor.running not in (run, None), 120)


def test_an_envoy_that_answers_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Envoy of which no thread runs any more is ended from outside, and another takes its place.

    Lines may be missing since it last answered.
    """
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        alice = door.person("alice", "staff")
        run = door.gateway.supervisor.running
        assert run is not None
        os.kill(run.pid, signal.SIGSTOP)
        with (
            monkeypatch.context() as impatient
        ):  # only for this Envoy: on a busy machine another one may be slow
            impatient.setattr(supervisor, "_HUNG_SECONDS", 1.0)
            impatient.setattr(supervisor, "_ASK_SECONDS", 0.1)
            assert eventually(lambda: run.pid not in door.gateway.supervisor.envoy_pids())
        assert eventually(lambda: door.gateway.supervisor.running is not None)
        assert door.get(alice, "/").status == 200
        assert door.gateway.supervisor.trouble() == ""
        (gap,) = door.events(EventType.ACCESS_GAP)
        began, ended = (datetime.fromisoformat(gap["data"][name]) for name in ("from_at", "to_at"))
        assert ended - began >= timedelta(seconds=1)


def test_an_envoy_that_a_stop_had_to_kill_is_on_record() -> None:
    """It could not write its last lines: the record says so, and in which time lines may be missing."""
    with open_doorway() as door:
        run = door.gateway.supervisor.running
        assert run is not None
        os.kill(run.pid, signal.SIGSTOP)
        door.gateway.supervisor.stop()
        died, gap = door.events(EventType.ENVOY_DIED, EventType.ACCESS_GAP)
        assert (died["data"]["pid"], died["data"]["signal"]) == (run.pid, signal.SIGKILL)
        assert gap["data"]["reason"] == "envoy-died"


@pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")
def test_the_gateway_is_killed() -> None:
    """The same Envoy goes on: no connection ends, new ones wait, nothing is lost of the record, and rights can be taken."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        alice, bob, carol = (house.person(name, "staff") for name in ("alice", "bob", "carol"))
        mine, others = LiveStream(house, alice), LiveStream(house, bob)
        kept = LiveRequests(house, carol, path="/kept/")
        news = NewConnections(house, bob, path="/new/")
        with watching(mine, others, kept, news):
            envoy, pid = house.pid("envoy"), house.pid("gateway")
            os.kill(pid, signal.SIGKILL)
            died = time.time()
            house.wait_for_pid("gateway", other_than=pid)
            assert eventually(lambda: news.good[-1].began > died), house.words()
            assert any(one.began > died for one in news.refused)
            assert list(house.envoys()) == [envoy], (
                "the Envoy that runs was adopted, and no other one started"
            )
            # a new policy comes into force, and ends no connection
            house.settle(house.apply("- {allow: {groups: [staff]}}\n- {allow: {groups: [guests]}}"))
            house.settle(suspend(house.services, "carol", actor=ACTOR).seq)
            assert eventually(lambda: bool(kept.ended))
            seq = revoke(
                house.services, house.certificate_of("alice"), RevocationReason.KEY_COMPROMISE, ACTOR
            )
            house.settle(seq)
            assert eventually(lambda: bool(mine.ended))
            seen = len(others.good)
            assert eventually(lambda: len(others.good) > seen), others.why
            assert not others.ended, others.why
        assert compare(house, [news], prefix="/new/") == set()
        assert compare(house, [kept], prefix="/kept/") == set()
        assert house.events(EventType.ACCESS_GAP) == []
        assert house.stop() == 0
        assert house.processes() == {}
        kinds = [
            one["type"]
            for one in house.events(
                EventType.GATEWAY_STARTED, EventType.GATEWAY_STOPPED, EventType.ENVOY_STARTED
            )
        ]
        assert kinds == ["envoy:started", "gateway:started", "gateway:started", "gateway:stopped"]


@pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")
def test_changes_while_there_is_no_gateway() -> None:
    """Only the connection of the person that was suspended ends; a rule that was narrowed is in force at once."""
    with open_house() as house:
        house.apply(
            "- {allow: {groups: [staff]}}\n- {allow: {groups: [visitors]}, to: {paths: [/live, /hall]}}"
        )
        alice, bob, vera = (
            house.person("alice", "staff"),
            house.person("bob", "staff"),
            house.person("vera", "visitors"),
        )
        mine, others = LiveStream(house, alice), LiveStream(house, bob)
        hall = LiveStream(house, vera)
        with watching(mine, others, hall):
            envoy, pid = house.pid("envoy"), house.pid("gateway")
            os.kill(pid, signal.SIGKILL)
            seq = suspend(house.services, "alice", actor=ACTOR).seq
            assert not mine.ended
            house.wait_for_pid("gateway", other_than=pid)
            house.settle(seq)
            assert eventually(lambda: bool(mine.ended)), "it is confirmed only once it is enforced"
            pid = house.pid("gateway")
            os.kill(pid, signal.SIGKILL)
            house.apply("- {allow: {groups: [staff]}}\n- {allow: {groups: [visitors]}, to: {paths: [/hall]}}")
            assert eventually(lambda: bool(hall.ended))
            assert not others.ended, others.why
            assert list(house.envoys()) == [envoy]
            assert house.get(vera, "/live").status == 403
            assert house.get(vera, "/hall").status == 200
        assert [one["data"]["reason"] for one in house.events(EventType.CONNECTION_CUT)] == [
            "authority-withdrawn",
            "authority-withdrawn",
        ]


@pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")
def test_the_database_was_put_back_while_there_was_no_gateway() -> None:
    """The last change followed is not in it: the next gateway ends adopted connections, though no number is missing."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        stream = LiveStream(house, house.person("alice", "staff"))
        with watching(stream):
            (journal,) = house.data.rglob("connections.journal")
            pid = house.pid("gateway")
            os.kill(pid, signal.SIGKILL)
            assert b'{"followed":' in journal.read_bytes()
            with journal.open("ab") as file:
                file.write(b'{"followed":"1 policy lost 2026-01-01T00:00:00+00:00","revision":1}\n')
            house.wait_for_pid("gateway", other_than=pid)
            assert eventually(lambda: bool(stream.ended)), house.words()


def test_the_database_is_put_back_under_a_running_gateway() -> None:
    """Every live connection ends at once; nothing is confirmed any more, and the control plane is told why."""
    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        alice, _ = door.person("alice", "staff"), door.person("bob", "staff")
        stream = LiveStream(door, alice)
        with watching(stream):
            door.settle(suspend(door.services, "bob", actor=ACTOR).seq)
            with closing(sqlite3.connect(door.installation.layout.database, timeout=10)) as raw, raw:
                raw.execute("DELETE FROM changes WHERE seq = (SELECT max(seq) FROM changes)")
            assert eventually(lambda: bool(stream.ended))

        def told() -> bool:
            (one,) = confirmations(door.services, 1)
            return not one.confirmed and one.fresh and "put back to an older state" in one.gateway.status

        assert eventually(told)


def test_a_gateway_starts_on_a_full_disk() -> None:
    """It adopts the Envoy that runs, and what is withdrawn ends there; the processes log to the same disk."""
    with (
        short_folder() as folder,
        small_disk(folder / "disk", megabytes=100) as disk,
        open_house(settings={"data": disk / "data"}) as house,
    ):
        house.apply("- {allow: {groups: [staff]}}")
        stream, other = (LiveStream(house, house.person(name, "staff")) for name in ("alice", "bob"))
        while house.installation.database.maintain():
            pass
        with watching(stream, other), filled(disk):
            pid, envoy = house.pid("gateway"), house.pid("envoy")
            os.kill(pid, signal.SIGKILL)
            house.wait_for_pid("gateway", other_than=pid, seconds=60)
            house.settle(suspend(house.services, "alice", actor=ACTOR).seq)
            assert eventually(lambda: bool(stream.ended))
            assert not other.ended
            assert house.pid("envoy") == envoy
        assert eventually(lambda: house.lets_in("bob"))
