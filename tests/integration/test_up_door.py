"""A gateway in this process: failures of its start, its log and its heartbeat."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.authority.gateways import deregister_gateway, find_gateway, register_gateway
from doorward.core.errors import Unavailable
from doorward.gateway import door as module
from doorward.gateway.access_log import ingest
from doorward.gateway.door import Gateway
from doorward.runtime.gateway import build_options, envoy_binary
from tests.support.doorway import Doorway, eventually, open_doorway

RULES = '- {allow: {groups: [staff]}, to: {paths: ["/reports/**"]}}'


@pytest.fixture
def door() -> Iterator[Doorway]:
    """A door with alice, who may read reports."""
    with open_doorway() as made:
        made.apply(RULES)
        made.person("alice", "staff")
        yield made


def test_every_request_is_recorded_once_while_the_log_is_renamed(
    door: Doorway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the log is renamed under a running Envoy, no request is lost and none is doubled."""
    monkeypatch.setattr(ingest, "ROTATE_BYTES", 2_000)
    monkeypatch.setattr(ingest, "SETTLE_SECONDS", 0.5)
    folder = door.installation.layout.gateway / "log"
    sent = 0
    with door.session(door.identities["alice"]) as session:
        # A quick machine sends 300 within few renames; then it goes on, slowly, until there were enough.
        while sent < 300 or (int((folder / ingest.COUNTER).read_text()) <= 4 and sent < 1_500):
            assert session.request("GET", f"/reports/{sent}").status == 200
            sent += 1
            if sent > 300:
                threading.Event().wait(0.05)

    def paths() -> Counter[str]:
        found = door.events(EventType.REQUEST_ANSWERED)
        return Counter(str(one["personal"].get("path", "")) for one in found)

    wanted = Counter(f"/reports/{number}" for number in range(sent))
    assert eventually(lambda: not wanted - paths()), wanted - paths()
    assert int((folder / ingest.COUNTER).read_text()) > 3
    assert eventually(lambda: len(list(folder.glob("access-*.log"))) == 0)
    assert all(count == 1 for path, count in paths().items() if path in wanted)
    assert door.events(EventType.ACCESS_MALFORMED) == []


def test_the_death_of_envoy_is_a_gap_on_record(door: Doorway) -> None:
    """When Envoy is killed the record says so and names the interval; the door opens again."""
    running = door.gateway.supervisor.running
    assert running is not None
    assert door.get(door.identities["alice"], "/reports/1").status == 200
    os.kill(running.pid, signal.SIGKILL)
    assert eventually(lambda: door.lets_in("alice", "/reports/1"))
    (died,) = door.events(EventType.ENVOY_DIED)
    assert (died["data"]["pid"], died["data"]["signal"]) == (running.pid, signal.SIGKILL)
    (gap,) = door.events(EventType.ACCESS_GAP)
    assert gap["data"]["reason"] == "envoy-died"
    assert gap["data"]["from_at"] < gap["data"]["to_at"]
    assert len(door.events(EventType.ENVOY_STARTED)) == 2


@pytest.mark.parametrize("trouble", [OSError(28, "No space left on device"), RuntimeError("a defect")])
def test_heartbeats_continue_after_a_failure(
    door: Doorway, trouble: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat that fails, foreseen or not, is followed by the next one."""
    beats: list[int] = []

    def failing(**_: object) -> None:
        beats.append(1)
        raise trouble

    monkeypatch.setattr(door.gateway.ingest, "finish", failing)
    assert eventually(lambda: len(beats) >= 2)
    assert door.gateway.trouble() == []


def test_the_door_knows_how_many_files_envoy_may_open(door: Doorway) -> None:
    """Clients get half of them, so the limit must be the one that Envoy gets."""
    options = build_options(door.installation, envoy_binary())
    assert options.door.limits.open_files == resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def test_a_port_in_use_leaves_nothing_running(door: Doorway) -> None:
    """A second gateway on the same port says which and what to do, and leaves neither Envoy nor socket."""
    installation = door.installation
    other = type(installation)(
        installation.settings.model_copy(update={"gateway_name": "gateway-2"}), passphrase_prompt=None
    )
    options = build_options(other, envoy_binary())
    folder = door.folder / "second"
    folder.mkdir(0o700)
    gateway = Gateway(
        other.services,
        _moved(options, str(folder)),
        wait=lambda _seconds: False,
    )
    with pytest.raises(Unavailable) as caught:
        gateway.start()
    assert caught.value.code == "port-in-use"
    assert str(door.port) in caught.value.detail
    assert caught.value.hint
    assert gateway.supervisor.envoy_pids() == []
    assert list(folder.glob("*.sock")) == []
    assert find_gateway(door.services, "gateway-2") is None  # no change waits for this gateway
    assert door.lets_in("alice", "/reports/1")
    other.close()


def test_a_start_that_fails_leaves_no_gateway_to_wait_for(door: Doorway) -> None:
    """A start that fails leaves no new registration; an earlier one of the same name counts as away as before."""
    services = door.services
    folder = door.folder / "third"
    folder.mkdir(0o700)
    (folder / "connections.journal").mkdir()
    settings = door.installation.settings.model_copy(update={"gateway_name": "gateway-3"})
    options = _moved(build_options(type(door.installation)(settings), envoy_binary()), str(folder))

    def start() -> str:
        with pytest.raises(Unavailable) as caught:
            Gateway(services, options, wait=lambda _seconds: False).start()
        return caught.value.code

    assert start() == "journal-unavailable"
    assert find_gateway(services, "gateway-3") is None
    (folder / "connections.journal").rmdir()
    long_ago = services.clock.now() - timedelta(days=1)
    known = register_gateway(services, name="gateway-3", assertion_jwk="{}")
    with services.work.change() as stores:
        stores.gateways.save(former := replace(known, confirmed_seq=7, seen_at=long_ago, status="lost"))
    assert start() == "port-in-use"
    assert find_gateway(services, "gateway-3") == former
    deregister_gateway(services, known.id)


def _moved(options: Any, folder: str) -> Any:
    """The same gateway, with its files and sockets elsewhere."""
    return replace(
        options,
        folder=Path(folder),
        door=replace(
            options.door,
            authorizer_socket=f"{folder}/authz.sock",
            discovery_socket=f"{folder}/discovery.sock",
            log_file=f"{folder}/log/access.log",
        ),
        envoy=replace(options.envoy, folder=Path(folder) / "envoy"),
    )


def test_a_stop_that_cannot_be_recorded_ends_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the database is unavailable at the stop, Envoy still ends."""

    def gone(*_: object, **__: object) -> None:
        raise Unavailable("database-unavailable", "gone")

    with open_doorway() as door:
        running = door.gateway.supervisor.running
        assert running is not None
        monkeypatch.setattr(module, "deregister_gateway", gone)
        monkeypatch.setattr(door.gateway, "_record", gone)
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", door.port), 1):
        pass
    assert door.gateway.supervisor.envoy_pids() == []
