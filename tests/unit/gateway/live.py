"""Live connections for the tests of this folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.registry import LiveConnection, PendingConnection
from tests.support.ports import NOON

LOCAL = parse_endpoint("192.0.2.1:443")


def pending(cookie: int, *, remote: str = "198.51.100.7:1000", app: str = "app_a") -> PendingConnection:
    """A connection that is being judged."""
    return PendingConnection(
        cookie=cookie,
        connection_id=f"c{cookie}",
        epoch=1,
        local=LOCAL,
        remote=parse_endpoint(remote),
        application_id=app,
        began_at=NOON,
    )


def live(
    cookie: int,
    *,
    remote: str = "198.51.100.7:1000",
    deadline: datetime = NOON + timedelta(hours=1),
    **changed: Any,
) -> LiveConnection:
    """An admitted connection of alice, changed as wanted."""
    fields: dict[str, Any] = {
        "connection_id": f"c{cookie}",
        "epoch": 1,
        "local": LOCAL,
        "application_id": "app_a",
        "certificate_id": "crt_a",
        "sha256": "aa",
        "principal_id": "per_a",
        "subject": None,
        "revision": 3,
        "grants": ("g1",),
        "authority": None,
        "admitted_at": NOON,
        **changed,
    }
    return LiveConnection(cookie=cookie, remote=parse_endpoint(remote), deadline=deadline, **fields)
