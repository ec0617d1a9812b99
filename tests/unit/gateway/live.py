"""Live connections for the tests of this folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from doorward.core.entities import TENANT
from doorward.enforcement.transition import class_token
from doorward.gateway.connections.connection import LiveConnection, PendingConnection
from doorward.gateway.connections.endpoints import parse_endpoint
from tests.support.ports import NOON

LOCAL = parse_endpoint("192.0.2.1:443")


def pending(
    cookie: int, *, remote: str = "198.51.100.7:1000", app: str = "app_a", opened_at: datetime = NOON
) -> PendingConnection:
    """A connection that is being judged."""
    return PendingConnection(
        cookie=cookie,
        connection_id=f"c{cookie}",
        epoch=1,
        local=LOCAL,
        remote=parse_endpoint(remote),
        application_id=app,
        opened_at=opened_at,
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
        "permissions": None,
        "opened_at": NOON,
        **changed,
    }
    return LiveConnection(cookie=cookie, remote=parse_endpoint(remote), deadline=deadline, **fields)


def token_of(one: LiveConnection) -> str:
    """The token of its class, which Envoy was told beside its grants."""
    return class_token(TENANT, one.application_id, one.revision, one.grants)
