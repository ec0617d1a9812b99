"""Which connection a call is about: application, Envoy's name for it, and both ends, from the call's metadata.

Only our own configuration writes the metadata; nothing comes from SNI or from announced addresses.
Not here: the kernel's socket of the connection (sockdiag), and the judgement (judging, rounds).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.enforcement.envoy.names import AuthorizerMetadata
from doorward.gateway.connections.connection import PendingConnection
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.sockdiag import SocketFacts, TcpState

_APPLICATION = re.compile(r"app_[a-z0-9]{1,40}")
_CONNECTION = re.compile(r"[0-9]{1,20}")
_APPLICATION_KEY = AuthorizerMetadata.APPLICATION.value
_CONNECTION_KEY = AuthorizerMetadata.CONNECTION.value
_EPOCH_KEY = AuthorizerMetadata.EPOCH.value
_LOCAL_KEY = AuthorizerMetadata.LOCAL.value
_REMOTE_KEY = AuthorizerMetadata.REMOTE.value

_listener = lru_cache(1024)(parse_endpoint)  # a door has few listeners


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """The connection of a call, before the kernel was asked about it."""

    application_id: str
    connection_id: str
    local: Endpoint
    remote: Endpoint


def read_identity(metadata: Mapping[str, str], epoch: int) -> CallIdentity:
    """Return the connection of a call.

    Args:
        metadata: see `enforcement.envoy.names.AuthorizerMetadata`.
        epoch: the present run of Envoy.

    Raises:
        MalformedInput: `check-malformed`, `endpoint-malformed`.
        RequestRefused: `envoy-replaced`: the run of Envoy enforces an older policy.
    """
    application = metadata.get(_APPLICATION_KEY, "")
    connection = metadata.get(_CONNECTION_KEY, "")
    if not _APPLICATION.fullmatch(application) or not _CONNECTION.fullmatch(connection):
        raise MalformedInput("check-malformed", "the call names no application or no connection")
    if metadata.get(_EPOCH_KEY) != str(epoch):
        raise RequestRefused("envoy-replaced", "the connection is one of an Envoy that was replaced")
    local = _listener(metadata.get(_LOCAL_KEY, ""))
    return CallIdentity(application, connection, local, parse_endpoint(metadata.get(_REMOTE_KEY, "")))


def begin_pending(
    identity: CallIdentity, facts: SocketFacts | None, epoch: int, now: datetime
) -> PendingConnection:
    """Return the pending connection of a socket.

    Args:
        identity: from `read_identity`.
        facts: the kernel's facts about its socket; None if it has none.
        epoch: the present run of Envoy.
        now: aware, UTC.

    Raises:
        MalformedInput: `connection-gone`: without an established socket the cutter could not cut it later.
    """
    if facts is None or facts.state is not TcpState.ESTABLISHED:
        raise MalformedInput("connection-gone", "the connection is no longer open")
    return PendingConnection(
        cookie=facts.cookie,
        connection_id=identity.connection_id,
        epoch=epoch,
        local=identity.local,
        remote=identity.remote,
        application_id=identity.application_id,
        opened_at=now,
    )
