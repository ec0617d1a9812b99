"""Any process of a running Doorward may die at any moment: what goes on, what is refused, what is on record.

All with `doorward up` as people run it; processes are ended by kill -9 where nothing else is said.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.errors import DoorwardError
from doorward.directory.principals import suspend
from doorward.gateway.connections.sockdiag import dump_listeners
from doorward.gateway.publishing.crash_history import SOON_SECONDS
from doorward.runtime.evidence import Evidence
from tests.support.accounts import compare
from tests.support.churn_record import LOST_SECONDS
from tests.support.doorway import ACTOR, eventually, is_root
from tests.support.house import House, open_house
from tests.support.watching import LiveRequests, LiveStream, NewConnections, watching

PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x4000_0000

pytestmark = pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")

BACK_SECONDS = 30.0
UNKNOWN_SECONDS = 30.0
"""How long an unknown connection may go on: 10 s after the next gateway sees it (reconciler)."""

ENVOY_BACK_SECONDS = 3.0
"""The goal is one second, and 0.7 s are usual; a busy machine takes longer."""


@contextmanager
def furnished(**options: object) -> Iterator[House]:
    """A running house with a policy and three people."""
    with open_house(**options) as house:  # type: ignore[arg-type]
        house.apply("- {allow: {groups: [staff]}}")
        for name in ("alice", "bob", "carol"):
            house.person(name, "staff")
        yield house


def kill(house: House, part: str) -> tuple[int, float]:
    """Kill a part; return its process id and when."""
    pid = house.pid(part)
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid, time.time()


def said(what: str, seconds: float) -> None:
    """Print a figure."""
    print(f"  {what:70}{seconds * 1000:9.0f} ms")


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("without_net_admin", [False, True], ids=["with-net-admin", "without-net-admin"])
def test_the_gateway_dies(*, without_net_admin: bool) -> None:
    """Open connections go on in the same Envoy, new ones wait for the next gateway, which can cut the old ones."""
    if without_net_admin and _yama():
        pytest.skip("Yama lets only an ancestor copy sockets, so an orphaned Envoy is ended at once")
    with furnished(without_net_admin=without_net_admin) as house:
        identities = house.identities
        requests = LiveRequests(house, identities["bob"], path="/kept/")
        stream, other = LiveStream(house, identities["bob"]), LiveStream(house, identities["alice"])
        news = NewConnections(house, identities["carol"], path="/new/")
        with watching(requests, stream, other, news):
            envoy = house.pid("envoy")
            pid, died = kill(house, "gateway")
            assert eventually(lambda: bool(news.refused) and news.refused[-1].began > died, 5)
            went_on = len(requests.good)
            assert eventually(lambda: len(requests.good) > went_on, 2), (
                "open connections went on without a gateway"
            )
            house.wait_for_pid("gateway", other_than=pid)
            assert eventually(lambda: news.good[-1].began > died, BACK_SECONDS), house.words()
            said("kill -9 gateway: new connections again after", _first_after(news, died))
            assert list(house.envoys()) == [envoy], "it was adopted"
            seq = revoke(
                house.services, house.certificate_of("alice"), RevocationReason.KEY_COMPROMISE, ACTOR
            )
            revoked = time.time()
            assert eventually(lambda: bool(other.ended), 5), "the adopted connection was not cut"
            said("an adopted connection cut after", other.ended - revoked)
            assert other.ended - revoked < 1.0
            house.settle(seq)
            assert not stream.ended, stream.why
            assert not requests.ended, requests.why
        assert news.odd == []
        assert compare(house, [requests], prefix="/kept/") == set()
        assert compare(house, [news], prefix="/new/") == set()
        assert house.events(EventType.ACCESS_GAP, EventType.ENVOY_DIED) == []


def test_an_envoy_that_is_not_what_would_be_started() -> None:
    """It drains, and its connections go on there meanwhile and can be cut; a new Envoy takes the new ones."""
    with furnished() as house:
        stream, other = (
            LiveStream(house, house.identities["bob"]),
            LiveStream(house, house.identities["alice"]),
        )
        with watching(stream, other):
            old = house.pid("envoy")
            bootstrap = house.envoy_folder() / "bootstrap.json"
            bootstrap.write_bytes(bootstrap.read_bytes() + b"\n")
            pid, _ = kill(house, "gateway")
            house.wait_for_pid("gateway", other_than=pid)
            house.wait_for_pid("envoy", other_than=old)
            assert eventually(lambda: house.lets_in("carol"), BACK_SECONDS), house.words()
            assert old in house.envoys(), "the old Envoy drains"
            house.settle(suspend(house.services, "alice", actor=ACTOR).seq)
            assert eventually(lambda: bool(other.ended), 1), "the connection in the old Envoy was not cut"
            assert not stream.ended, stream.why
            assert eventually(lambda: json.loads(house.gateway_status())["trouble"] == [], 5), (
                "the old Envoy asks for its configuration, and is not told of as a stranger"
            )


def _yama() -> bool:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return scope.exists() and scope.read_text().strip() != "0"


def _first_after(news: NewConnections, moment: float) -> float:
    return next(one.arrived for one in news.good if one.began > moment) - moment


def test_something_changes_while_there_is_no_gateway() -> None:
    """No connection keeps a right that was taken, and no other one ends."""
    with furnished() as house:
        victim, other = (
            LiveStream(house, house.identities["alice"]),
            LiveStream(house, house.identities["bob"]),
        )
        with watching(victim, other):
            kill(house, "gateway")
            seq = suspend(house.services, "alice", actor=ACTOR).seq
            suspended = time.time()
            house.settle(seq)
            assert eventually(lambda: bool(victim.ended), 1), "it was confirmed before it was enforced"
            said("suspended without a gateway: the adopted connection ended after", victim.ended - suspended)
            assert _cut_for(house) == ["authority-withdrawn"]
            seen = len(other.good)
            assert eventually(lambda: len(other.good) > seen, 2), other.why
        assert not house.lets_in("alice")


def _cut_for(house: House) -> list[str]:
    return [one["data"]["reason"] for one in house.events(EventType.CONNECTION_CUT)]


def test_a_connection_that_the_journal_does_not_have() -> None:
    """It was condemned, and the gateway died before it was cut: the next one cuts it as unknown, and no other one."""
    with furnished() as house:
        victim, other = (
            LiveStream(house, house.identities["alice"]),
            LiveStream(house, house.identities["bob"]),
        )
        with watching(victim):
            (journal,) = house.data.rglob("connections.journal")
            lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
            cookies = [one["cookie"] for one in lines if "cookie" in one]
            with watching(other):
                envoy = house.pid("envoy")
                kill(house, "gateway")
                died = time.time()
                with journal.open("ab") as file:
                    file.write(b'{"ended":%d}\n' % cookies[-1])
                assert eventually(lambda: bool(victim.ended), UNKNOWN_SECONDS), house.words()
                said("an unknown connection was cut after", victim.ended - died)
                assert not other.ended, other.why
                assert list(house.envoys()) == [envoy]
        assert eventually(lambda: "unknown-connection" in _cut_for(house)), house.words()


def test_a_connection_that_was_being_judged() -> None:
    """The gateway hangs and dies before it answers: Envoy refuses the connection, and the client connects again."""
    with furnished() as house:
        pid = house.pid("gateway")
        secure = house.connect(house.identities["alice"])
        os.kill(pid, signal.SIGSTOP)
        with secure:
            secure.settimeout(10)
            secure.sendall(f"GET /judged HTTP/1.1\r\nHost: {house.host('app')}\r\n\r\n".encode())
            time.sleep(0.5)
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                assert secure.recv(1) == b"", "no answer comes without a judgement"
        house.wait_for_pid("gateway", other_than=pid)
        assert eventually(lambda: house.lets_in("alice"), BACK_SECONDS), house.words()
        assert house.events(EventType.CONNECTION_CUT) == []


def test_envoy_dies() -> None:
    """It is back within a second, and the moment that its log may lack is on record."""
    with furnished() as house:
        news = NewConnections(house, house.identities["bob"], path="/new/")
        requests = LiveRequests(house, house.identities["alice"], path="/kept/")
        with watching(news, requests):
            pid, died = kill(house, "envoy")
            house.wait_for_pid("envoy", other_than=pid)
            assert eventually(lambda: news.good[-1].began > died, BACK_SECONDS), house.words()
            back = _first_after(news, died)
            said("kill -9 envoy: new connections again after", back)
            time.sleep(0.5)
        assert back < ENVOY_BACK_SECONDS
        (dead,) = house.events(EventType.ENVOY_DIED)
        assert dead["data"]["signal"] == signal.SIGKILL
        (gap,) = house.events(EventType.ACCESS_GAP)
        lost = compare(house, [news], prefix="/new/") | compare(house, [requests], prefix="/kept/")
        seen = {one.path: one.arrived for one in (*news.good, *requests.good)}
        late = [died - seen[path] for path in lost]
        print(
            f"  kill -9 envoy: {len(lost)} of {len(seen)} requests are not on record, all of its last moment"
        )
        assert all(abs(seconds) < LOST_SECONDS for seconds in late), late
        assert gap["data"]["reason"] == "envoy-died"


def test_serve_dies() -> None:
    """The door stays open; only what needs the authority is away, says so, and comes back."""
    with furnished() as house:
        news = NewConnections(house, house.identities["bob"], path="/new/")
        stream = LiveStream(house, house.identities["alice"])
        with watching(news, stream):
            pid, died = kill(house, "serve")
            with pytest.raises(DoorwardError) as caught:
                house.enrol("carol")
            print(f"  enrolling without the authority: {caught.value.detail}")
            house.wait_for_pid("serve", other_than=pid)
            assert eventually(lambda: _enrols(house), BACK_SECONDS), house.words()
            said("kill -9 serve: enrolment again after", time.time() - died)
            assert not stream.ended
        assert news.refused == []
        assert news.odd == []
        assert compare(house, [news], prefix="/new/") == set()


def _enrols(house: House) -> bool:
    try:
        house.enrol("carol")
    except DoorwardError:
        return False
    return True


def test_up_is_asked_to_end_and_starts_again() -> None:
    """SIGTERM ends every process and connection, in order; the next start serves, and nothing is lost or doubled."""
    with furnished() as house:
        ended, watchers = [], []
        for number in range(2):
            news = NewConnections(house, house.identities["bob"], path=f"/new/{number}/")
            requests = LiveRequests(house, house.identities["alice"], path=f"/kept/{number}/")
            watchers += [news, requests]
            with watching(news, requests):
                pids = set(house.processes())
                assert len(pids) == 4
                began = time.time()
                assert house.stop() == 0, house.words()
                ended.append(time.time() - began)
                assert house.processes() == {}
                assert not any(_exists(pid) for pid in pids)
                assert dump_listeners(house.port) == []
                assert eventually(lambda one=requests: bool(one.ended), 2)  # type: ignore[misc]
            house.start()
        said("SIGTERM: everything ended after", max(ended))
        assert house.get(house.identities["carol"], "/").status == 200
        assert compare(house, watchers, prefix="/") == set()
        assert house.events(EventType.ACCESS_GAP, EventType.ACCESS_MALFORMED, EventType.ENVOY_DIED) == []
        kinds = [one["type"] for one in house.events(EventType.GATEWAY_STARTED, EventType.GATEWAY_STOPPED)]
        assert kinds == ["gateway:started", "gateway:stopped"] * 2 + ["gateway:started"]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_everything_dies_at_once() -> None:
    """As after a power cut: the next start serves, and what was answered is on record once."""
    with furnished() as house:
        news = NewConnections(house, house.identities["bob"], path="/new/")
        with watching(news):
            time.sleep(0.5)
            for pid in house.processes():
                os.kill(pid, signal.SIGKILL)
            died = time.time()
        house.clear()
        began = time.time()
        house.start()
        said("kill -9 of everything: the next start took", time.time() - began)
        assert house.get(house.identities["bob"], "/").status == 200
        lost = compare(house, [news], prefix="/new/")
        seen = {one.path: one.arrived for one in news.good}
        assert all(died - seen[path] < LOST_SECONDS for path in lost)
        (gap,) = house.events(EventType.ACCESS_GAP)
        began, ended = (datetime.fromisoformat(gap["data"][one]).timestamp() for one in ("from_at", "to_at"))
        assert died - 1 < began <= died < ended, "what may be missing is on record"
        assert len(house.events(EventType.ENVOY_DIED)) == 1
        assert list(Evidence(house.installation).verify().faults) == []


def test_each_part_dies_again_and_again() -> None:
    """Ten deaths in a row, while people work: nothing is on record twice, and only Envoy's last moments are missing."""
    with furnished() as house:
        news = [NewConnections(house, house.identities[name], path=f"/{name}/") for name in ("alice", "bob")]
        deaths = []
        with watching(*news):
            for part in ("gateway", "envoy", "serve", "gateway", "envoy") * 2:
                house.wait_for_pid(part, seconds=BACK_SECONDS)
                pid, died = kill(house, part)
                deaths.append((part, died))
                house.wait_for_pid(part, other_than=pid, seconds=BACK_SECONDS)
                assert _all_served(news), house.words()
        envoy_deaths = [died for part, died in deaths if part == "envoy"]
        seen = {one.path: one.arrived for watcher in news for one in watcher.good}
        lost = compare(house, news, prefix="/")
        print(f"  10 deaths: {len(seen)} requests answered, {len(lost)} not on record, none twice")
        for path in lost:
            assert any(abs(died - seen[path]) < LOST_SECONDS for died in envoy_deaths), (
                path,
                seen[path],
                deaths,
            )
        assert len(house.events(EventType.ACCESS_GAP)) >= len(envoy_deaths)
        assert list(Evidence(house.installation).verify().faults) == []
        assert all(one.odd == [] for one in news), [one.odd[:3] for one in news]


def _all_served(news: list[NewConnections]) -> bool:
    before = [len(one.good) for one in news]
    return eventually(lambda: all(len(one.good) > 5 + was for one, was in zip(news, before, strict=True)), 15)


def test_an_envoy_with_a_hanging_main_thread() -> None:
    """Its own watchdog ends it after ten seconds, and the next one serves."""
    with furnished() as house, watching(NewConnections(house, house.identities["bob"])):
        time.sleep(SOON_SECONDS)  # a crash sooner is blamed on the policy, and closes its application
        pid = house.pid("envoy")
        stop_thread(pid)
        _replaced(house, pid, "its main thread hung")


def stop_thread(tid: int) -> None:
    """Stop one thread of another process for good, by ptrace(2); its other threads go on."""
    outcome: queue.Queue[int] = queue.Queue()

    def trace() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
            if libc.ptrace(request, tid, None, None) != 0:
                outcome.put(ctypes.get_errno())
                return
        outcome.put(0)
        while True:  # the first one is told of the stop and of the end; the parent only then
            _, status = os.waitpid(tid, WALL)
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                return

    threading.Thread(target=trace, daemon=True).start()
    number = outcome.get(timeout=5)
    if number:
        pytest.skip(f"ptrace is not allowed here: {os.strerror(number)}")


def test_an_envoy_that_is_stopped() -> None:
    """Where no thread of it runs any more the supervisor ends it, and the next one serves."""
    with furnished() as house, watching(NewConnections(house, house.identities["bob"])):
        pid = house.pid("envoy")
        os.kill(pid, signal.SIGSTOP)
        _replaced(house, pid, "it was stopped")


def _replaced(house: House, pid: int, how: str) -> None:
    hung = time.time()
    logs = house.envoy_folder()
    house.wait_for_pid("envoy", other_than=pid, seconds=30)
    said(f"{how}: another Envoy after", time.time() - hung)
    assert eventually(lambda: house.lets_in("alice"), 5), house.words()
    (dead,) = house.events(EventType.ENVOY_DIED)
    assert dead["data"]["signal"] in (signal.SIGABRT, signal.SIGKILL), (logs / "envoy.log").read_text()
    assert eventually(lambda: json.loads(house.gateway_status())["trouble"] == [], 3)
