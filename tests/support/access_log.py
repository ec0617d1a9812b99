"""A folder with Envoy's access log, and the reader of it, for tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from doorward.audit.events import EventType
from doorward.core.errors import Unavailable
from doorward.gateway.access_log.ingest import COUNTER, LIVE, SETTLE_SECONDS, Ingest
from tests.support.world import World

GATEWAY = "gtw_" + "a" * 20


def line(number: int, **changed: object) -> str:
    """A line of Envoy's log about request number so and so."""
    value = {
        "kind": "request",
        "method": "GET",
        "status": 200,
        "request": f"r{number}",
        "path": f"/{number}",
        "remote": "192.0.2.7:1000",
        "certificate": "crt_" + "c" * 20,
        **changed,
    }
    return json.dumps(value) + "\n"


def envoy_line(number: int, **changed: object) -> dict[str, object]:
    """The fields of a line as Envoy writes it for a request that the application answered."""
    return {
        "application": "app_" + "b" * 20,
        "attempts": 1,
        "bytes_received": 0,
        "bytes_sent": 120 + number % 1000,
        "certificate": "crt_" + "c" * 20,
        "cleared": None,
        "connection": 17,
        "decision": "evt_" + "d" * 20,
        "detail": "via_upstream",
        "duration_ms": number % 50,
        "flags": "-",
        "grpc": None,
        "kind": "request",
        "method": "GET",
        "path": f"/accounts/{number}",
        "principal": "per_" + "p" * 20,
        "protocol": "HTTP/1.1",
        "remote": "192.0.2.7:55000",
        "request": f"4f1c0000-0000-4000-8000-{number % 10**12:012d}",
        "route": "rules",
        "rule": "gabc",
        "status": 200,
        "time": "2026-11-23T12:00:00.123Z",
        **changed,
    }


@dataclass
class Log:
    """A folder with Envoy's log, and the reader of it."""

    world: World
    folder: Path
    reopened: list[int] = field(default_factory=list)
    reopen_fails: bool = False
    ingest: Ingest = None  # type: ignore[assignment]

    def start(self) -> Ingest:
        """Start again, as after a crash: only the files and the store are known."""
        self.ingest = Ingest(self.world.services, GATEWAY, self.folder, self.reopen)
        return self.ingest

    def reopen(self) -> None:
        if self.reopen_fails:
            raise Unavailable("envoy-admin", "Envoy does not answer")
        self.reopened.append(1)

    def write(self, text: str, name: str = LIVE) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def take(self) -> None:
        while self.ingest.take():
            pass

    def settle(self) -> None:
        self.world.clock.turn(seconds=SETTLE_SECONDS)

    def taken(self) -> list[str]:
        """Which requests are on record, oldest first."""
        return [str(one.data["request"]) for one in self.world.events(EventType.REQUEST_ANSWERED)]

    def unreadable(self) -> list[str]:
        return [str(one.data["reason"]) for one in self.world.events(EventType.ACCESS_MALFORMED)]

    def names(self) -> list[str]:
        return sorted(one.name for one in self.folder.iterdir() if one.name != COUNTER)
