"""`doorward up`: both parts run, come back when they are killed, and end together."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doorward.audit.events import EventType
from doorward.core.errors import Unavailable
from doorward.demo.ports import free_port
from doorward.runtime import up as module
from doorward.runtime.evidence import Evidence
from doorward.runtime.layout import find_lost
from doorward.runtime.settings import Settings
from doorward.runtime.up import LONGEST_PAUSE_SECONDS, Up, pause_after
from tests.support.commands import run_program
from tests.support.doorway import eventually, short_folder
from tests.support.house import House, open_house

ROOT = Path(__file__).parents[2]
DOORWARD = [sys.executable, "-m", "doorward.cli"]


def run(house: House, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command on the house's installation."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    return run_program(
        [*DOORWARD, *words, "--data", str(house.data)],
        env={**environment, "PYTHONPATH": str(ROOT / "src"), "DOORWARD_GATEWAY_WORKERS": "1"},
        timeout=seconds,
    )


def events_of(house: House) -> list[str]:
    """The types of all events, oldest first."""
    return [str(event["type"]) for event in Evidence(house.installation).events(0)]


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """A house that stands for several tests."""
    with open_house() as made:
        made.apply("- {allow: {groups: [staff]}}")
        made.person("alice", "staff")
        yield made


def answers(house: House) -> bool:
    """Whether alice is let in."""
    with contextlib.suppress(OSError):
        return house.get(house.identities["alice"], "/x").status == 200
    return False


def test_it_starts_with_the_portal(house: House) -> None:
    """The portal answers clients without a certificate, knows alice, and no part is in trouble."""
    headers = {"Accept": "text/html"}
    assert house.get(None, "/", app="portal", headers=headers).status in {401, 403}
    known = house.get(house.identities["alice"], "/", app="portal", headers=headers)
    assert known.status == 200
    assert b"alice" in known.body
    assert run(house, "status").returncode == 0


def test_a_second_up_on_the_same_data(house: House) -> None:
    """A second `up` is refused, names the process of the first, and disturbs nothing."""
    done = run(house, "up", "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "already-running"
    assert house.parent is not None
    assert f"process {house.parent.pid}" in error["detail"]
    assert answers(house)


@pytest.mark.parametrize("role", ["serve", "gateway"])
def test_a_second_part_on_the_same_data(house: House, role: str) -> None:
    """Nor can a part run twice."""
    done = run(house, role, "--json")
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "already-running"
    assert f"process {house.pid(role)}" in error["detail"]
    assert answers(house)


@pytest.mark.parametrize("part", ["serve", "gateway", "envoy"])
def test_a_part_that_is_killed_comes_back(house: House, part: str) -> None:
    """A part that is killed is started again at once, and the door opens again."""
    before = house.wait_for_pid(part)
    os.kill(before, signal.SIGKILL)
    house.wait_for_pid(part, other_than=before)
    assert eventually(lambda: answers(house)), house.words()
    url = f"http://{house.installation.settings.status_listen}/healthz"
    assert eventually(lambda: _fetched(url))
    assert house.parent is not None
    assert house.parent.poll() is None
    if part != "envoy":
        assert f'"part": "{part}"' in house.words()


def _fetched(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_up_after_an_up_that_was_killed() -> None:
    """The parts serve on without it, `status` says so, and the next `up` ends each of them and starts its own."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        house.person("alice", "staff")
        assert house.parent is not None
        house.parent.kill()
        house.parent.wait(20)
        assert answers(house)
        alone = run(house, "status")
        assert alone.returncode == 3
        assert "it replaces the parts that still run" in alone.stdout
        before = {role: house.pid(role) for role in ("serve", "gateway")}
        house.parent.stdout.close()  # type: ignore[union-attr]
        house.start()
        for role, pid in before.items():
            assert pid not in house.processes()
            assert house.pid(role) not in (0, pid)
        assert len([words for words in house.processes().values() if "gateway" in words]) == 1
        assert len(house.envoys()) == 1
        assert eventually(lambda: answers(house)), house.words()
        assert house.stop() == 0
        assert house.processes() == {}
        assert not house.installation.layout.children.exists()


def test_status_after_the_gateway_ended(house: House) -> None:
    """`status` says at once that the gateway's process ended, though its last report is fresh, until the door is open again."""
    gateway = house.wait_for_pid("gateway")
    assert house.parent is not None
    house.parent.send_signal(signal.SIGSTOP)  # so that it is not started again meanwhile
    try:
        os.kill(gateway, signal.SIGKILL)
        assert eventually(lambda: find_lost(house.installation.layout, "gateway") == gateway)
        done = run(house, "status")
        assert done.returncode == 3
        assert f"its process {gateway} has ended" in done.stdout
    finally:
        house.parent.send_signal(signal.SIGCONT)
    assert eventually(lambda: run(house, "status").returncode == 0)
    assert answers(house)


def test_an_orderly_end_loses_nothing_and_doubles_nothing() -> None:
    """The gateway ends first; every request is on record once, also after the next start."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        alice = house.person("alice", "staff")
        for number in range(5):
            assert house.get(alice, f"/before/{number}").status == 200
        assert house.stop() == 0
        assert house.processes() == {}
        first = events_of(house)
        assert EventType.GATEWAY_STOPPED.value in first[-4:]
        assert _requests(house, "/before/") == 5
        assert list((house.data / "gateway" / "log").glob("*.log")) == []
        with house.installation.event_log.read() as store:
            assert store.waiting() == 0
        assert Evidence(house.installation).verify().faults == ()
        house.start()
        assert house.get(alice, "/after/1").status == 200
        assert house.stop() == 0
        assert _requests(house, "/before/") == 5
        assert _requests(house, "/after/") == 1


def _requests(house: House, path: str) -> int:
    return sum(
        str(event["personal"].get("path", "")).startswith(path)
        for event in Evidence(house.installation).events(0)
        if event["type"] == EventType.REQUEST_ANSWERED.value
    )


def test_everything_from_nothing() -> None:
    """On an empty directory `up` makes an installation, opens the door, and ends at SIGTERM with 0."""
    with short_folder() as folder:
        folder.chmod(0o711)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        settings = {
            "PYTHONPATH": str(ROOT / "src"),
            "DOORWARD_PASSPHRASE_FILE": str(folder / "passphrase"),
            "DOORWARD_USER": "nobody",
        }
        listen, status = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        words = [
            "up",
            "--data",
            str(folder / "data"),
            "--listen",
            listen,
            "--status-listen",
            status,
            "--json",
        ]
        with subprocess.Popen(
            [*DOORWARD, *words],
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as parent:
            assert parent.stdout is not None
            value = json.loads(parent.stdout.readline())
            assert (value["listening"], value["status"], value["pid"]) == (listen, status, parent.pid)
            socket.create_connection(("127.0.0.1", int(listen.rpartition(":")[2])), 5).close()
            assert _fetched(f"http://{status}/healthz")
            parent.send_signal(signal.SIGTERM)
            out, err = parent.communicate(timeout=40)
            assert parent.returncode == 0, err
            assert out == ""
            assert "doorward.localhost" in err


# options for an installation that exists


def test_options_count_for_an_installation_that_exists() -> None:
    """The address to listen on may be set at each start; names in certificates may not."""
    with open_house(started=False) as house:
        other = f"127.0.0.1:{free_port()}"
        refused = run(house, "up", "--trust-domain", "other.example", "--json")
        assert refused.returncode == 1
        assert json.loads(refused.stdout)["error"]["code"] == "already-initialised"
        assert house.processes() == {}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        with subprocess.Popen(
            [*DOORWARD, "up", "--data", str(house.data), "--listen", other, "--json"],
            env={**environment, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as parent:
            assert parent.stdout is not None
            assert json.loads(parent.stdout.readline())["listening"] == other
            socket.create_connection(("127.0.0.1", int(other.rpartition(":")[2])), 5).close()
            parent.send_signal(signal.SIGINT)
            assert parent.wait(40) == 0


@pytest.mark.parametrize(
    ("which", "code"), [("gateway_listen", "port-in-use"), ("status_listen", "role-failed")]
)
def test_a_port_in_use_is_a_clear_error(which: str, code: str) -> None:
    """If a port is taken `up` exits 3, names address and remedy, and leaves nothing running.

    The door's port is looked at before anything is started, and who has it is named.
    """
    with open_house(started=False) as house:
        address = str(getattr(house.installation.settings, which))
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
            done = run(house, "up", "--json")
        assert done.returncode == 3
        error = json.loads(done.stdout)["error"]
        assert (error["code"], bool(error["hint"])) == (code, True)
        if which == "gateway_listen":
            assert error["detail"].startswith(f"{address} is in use by ")
            assert f"(process {os.getpid()})" in error["detail"]
            assert done.stderr == ""
        else:
            assert address in done.stderr
            assert "→" in done.stderr
        assert "Traceback" not in done.stderr
        assert house.processes() == {}
        house.start()
        assert house.stop() == 0


def test_a_gateway_without_serve_can_be_stopped() -> None:
    """A gateway that waits for its first certificate ends when it is told to, and says what it lacked."""
    with open_house(started=False) as house:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        with subprocess.Popen(
            [*DOORWARD, "gateway", "--data", str(house.data)],
            env={**environment, "PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as gateway:
            assert gateway.stderr is not None
            assert any("waiting for the first server certificate" in line for line in gateway.stderr)
            gateway.send_signal(signal.SIGTERM)
            _, err = gateway.communicate(timeout=60)
        assert gateway.returncode == 3
        assert "doorward serve" in err


def test_each_part_alone_prints_one_document_when_it_is_ready() -> None:
    """With --json `serve` and `gateway` say where they listen and who they are, once, and nothing else."""
    with open_house(started=False) as house, contextlib.ExitStack() as running:
        settings = house.installation.settings
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        parts: dict[str, subprocess.Popen[str]] = {}
        said = {}
        for role in ("serve", "gateway"):
            part = parts[role] = running.enter_context(
                subprocess.Popen(
                    [*DOORWARD, role, "--data", str(house.data), "--json"],
                    env={**environment, "PYTHONPATH": str(ROOT / "src"), "DOORWARD_GATEWAY_WORKERS": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            running.callback(part.kill)
            assert part.stdout is not None
            assert select.select([part.stdout], [], [], 40)[0], f"{role} says nothing"
            said[role] = json.loads(part.stdout.readline())
        status, listening = settings.status_listen, settings.gateway_listen
        assert (said["serve"]["status"], said["serve"]["pid"]) == (status, parts["serve"].pid)
        assert (said["gateway"]["listening"], said["gateway"]["pid"]) == (listening, parts["gateway"].pid)
        assert said["gateway"]["cuts_by"] in {"sock-destroy", "pidfd"}
        assert _fetched(f"http://{status}/healthz")
        socket.create_connection(("127.0.0.1", int(listening.rpartition(":")[2])), 5).close()
        for role in ("gateway", "serve"):
            parts[role].send_signal(signal.SIGTERM)
            out, _ = parts[role].communicate(timeout=40)
            assert (parts[role].returncode, out) == (0, "")


# the parent alone, with stand-ins for its children

SCRIPT = """\
#!/bin/bash
# called as: python [OPTION]... -m doorward.cli ROLE --data DIR
while [ "$1" != doorward.cli ]; do shift; done
role=$2
echo "$role started" >> {story}
trap 'echo "$role ended" >> {story}; exit 0' TERM
{work}
while true; do sleep 0.05; done
"""
READY = '[ -n "$DOORWARD_READY_FD" ] && echo ready >&$DOORWARD_READY_FD'


class Stage:
    """A parent with a script as its children."""

    def __init__(self, folder: Path, work: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.story = folder / "story"
        program = folder / "program"
        program.write_text(SCRIPT.format(story=self.story, work=work))
        program.chmod(0o755)
        monkeypatch.setattr(module.sys, "executable", str(program))
        self.up = Up(Settings(data=folder))

    def told(self) -> list[str]:
        """The children's notes."""
        return self.story.read_text().splitlines() if self.story.exists() else []


def test_the_gateway_ends_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started in one order, ended in the other: what the gateway records last is still sequenced."""
    stage = Stage(tmp_path, READY, monkeypatch)
    assert stage.up.start()
    stage.up.end()
    assert stage.told() == ["serve started", "gateway started", "gateway ended", "serve ended"]
    stage.up.end()


def test_a_child_that_fails_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends before it is ready is reported with its status, and the other one is ended."""
    stage = Stage(tmp_path, f'[ "$role" = gateway ] && exit 5; {READY}', monkeypatch)
    with pytest.raises(Unavailable) as caught:
        stage.up.start()
    assert caught.value.code == "role-failed"
    assert "`doorward gateway`" in caught.value.detail
    assert "status 5" in caught.value.detail
    assert stage.told()[-1] == "serve ended"


def test_a_child_that_hangs_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that never gets ready is reported after its time, and ended."""
    monkeypatch.setattr(module, "READY_SECONDS", 0.3)
    stage = Stage(tmp_path, ":", monkeypatch)
    with pytest.raises(Unavailable) as caught:
        stage.up.start()
    assert caught.value.code == "role-not-ready"
    assert stage.told() == ["serve started", "serve ended"]


def test_a_start_can_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Being told to stop while a child starts ends the start at once."""
    stage, stop = Stage(tmp_path, ":", monkeypatch), threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    began = time.monotonic()
    assert stage.up.start(stop) is False
    assert time.monotonic() - began < 60  # it would wait for 300 s
    assert stage.told() == ["serve started", "serve ended"]


def test_a_child_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ignores the request to end is killed after the grace."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.3)
    stage = Stage(tmp_path, f'trap "" TERM; {READY}', monkeypatch)
    assert stage.up.start()
    pids = stage.up.pids()
    with capture_logs() as said:
        stage.up.end()
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    told = [one for one in said if one["event"] == "a process did not stop in time and was killed"]
    assert [one["part"] for one in told] == ["gateway", "serve"]
    assert "goes on with its connections" in told[0]["hint"]


def test_ended_children_are_started_again_with_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that keeps ending is started again, the first time at once, then with growing pauses."""
    stage = Stage(tmp_path, f'{READY}; [ "$role" = gateway ] && {{ sleep 0.3; exit 1; }}', monkeypatch)
    assert stage.up.start()
    stop, again = threading.Event(), []

    def restarted(role: str) -> None:
        again.append((role, time.monotonic()))
        if len(again) == 3:
            stop.set()

    began = time.monotonic()
    stage.up.watch(stop, restarted=restarted)
    stage.up.end()
    assert [role for role, _ in again] == ["gateway"] * 3
    assert again[0][1] - began < pause_after(2) + 0.3  # it would be more with a pause
    assert again[1][1] - again[0][1] > pause_after(2)
    assert stage.told().count("serve started") == 1


def test_pauses_grow_and_end() -> None:
    """The first restart is at once; the pauses double up to a limit, however often it failed."""
    assert [pause_after(number) for number in (1, 2, 3, 4)] == [0.0, 2.0, 4.0, 8.0]
    assert pause_after(5) == pause_after(10_000) == LONGEST_PAUSE_SECONDS


def test_a_machine_without_processes_is_borne(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that cannot be started for want of memory is tried again; the other one goes on."""
    stage = Stage(tmp_path, READY, monkeypatch)
    assert stage.up.start()
    stop, refusals, again = threading.Event(), [OSError(11, "Resource temporarily unavailable")], []
    real = subprocess.Popen

    def popen(*args: object, **options: object) -> object:
        if refusals:
            raise refusals.pop()
        return real(*args, **options)  # type: ignore[call-overload]

    def restarted(role: str) -> None:
        again.append(role)
        stop.set()

    os.kill(stage.up.pids()["serve"], signal.SIGKILL)
    monkeypatch.setattr(module, "pause_after", lambda _failures: 0.0)
    monkeypatch.setattr(module.subprocess, "Popen", popen)
    stage.up.watch(stop, restarted=restarted)
    stage.up.end()
    assert again == ["serve"]
    assert refusals == []


def test_children_can_be_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that cannot wait asks all children to end, and waits for none."""
    stage = Stage(tmp_path, READY, monkeypatch)
    assert stage.up.start()
    stage.up.abandon()
    assert eventually(lambda: sorted(stage.told()[2:]) == ["gateway ended", "serve ended"])
    stage.up.end()
