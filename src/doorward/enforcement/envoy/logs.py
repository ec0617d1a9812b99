"""What Envoy writes down: one JSON line for each request, each TCP connection, each handshake that failed.

A TCP connection has its line when it ends.

Not here: reading it (gateway.access_log.ingest). Query strings are never logged, the enrolment door's paths
neither: they may carry tokens. What an unverified certificate says of itself is called claimed.
All kinds share one file, so that their order is the order of happening. Every field is one that the
reader takes into an event (a test holds the two together): what nobody reads costs each request.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.forwarding import logged_path
from doorward.enforcement.envoy.names import (
    ALLOW_STATISTICS,
    DENY_STATISTICS,
    DESTINATION_STATISTICS,
    FOREIGN_PROTOCOL_CHAIN,
    JUDGED,
    LOG_KIND_CONNECTION,
    LOG_KIND_HANDSHAKE,
    LOG_KIND_REQUEST,
    ConnectionFact,
)
from doorward.policy.model import UnixUpstream, WebUpstream

_HTTP_RBAC = "envoy.filters.http.rbac"
_COMMON = {
    "time": "%START_TIME%",
    "connection": "%CONNECTION_ID%",
    "remote": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "flags": "%RESPONSE_FLAGS%",
}
_REQUEST = {
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "method": "%REQ(:METHOD):32%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "route": "%ROUTE_NAME%",  # of a refusal: its reason (names.Refusal)
    # A refusal of a gRPC call goes out as status 200 with the code in a trailer: what it would have been.
    "grpc": "%GRPC_STATUS_NUMBER%",
    "detail": "%RESPONSE_CODE_DETAILS%",  # why a request failed, the upstream's failure included
    "request": "%REQ(X-REQUEST-ID):64%",
}
_IDENTITY = {
    "principal": ConnectionFact.PRINCIPAL_ID,
    "certificate": ConnectionFact.CERTIFICATE,
    "decision": ConnectionFact.DECISION,
}
_RULES = {
    "rule": f"{ALLOW_STATISTICS}enforced_effective_policy_id",
    "allowed": f"{ALLOW_STATISTICS}enforced_engine_result",
    "cleared": f"{DENY_STATISTICS}enforced_engine_result",
    "moved": f"{DESTINATION_STATISTICS}enforced_engine_result",
}
_CONNECTION = {
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",  # what came before the upstream was connected counts twice (measured)
    "bytes_sent": "%BYTES_SENT%",
    "detail": "%CONNECTION_TERMINATION_DETAILS%",  # that the rules refused
}
_CLAIMED = {
    "tls": "%DOWNSTREAM_TLS_VERSION%",
    "server_name": "%REQUESTED_SERVER_NAME%",
    "application": "%FILTER_CHAIN_NAME%",
    "failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "claimed_sha256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    "claimed_serial": "%DOWNSTREAM_PEER_SERIAL%",
    "claimed_subject": "%DOWNSTREAM_PEER_SUBJECT%",
    "claimed_issuer": "%DOWNSTREAM_PEER_ISSUER%",
    "claimed_uri": "%DOWNSTREAM_PEER_URI_SAN%",
}


def build_request_log(path: str, application_id: str, upstream: WebUpstream) -> dict[str, Any]:
    """Return the log of a protected door's requests.

    `rule` is the id of the allow rule that let the request through; `cleared` and `allowed` are how
    the two halves came out (`allowed`, `denied`, or null where a half was not asked).
    """
    fields = {
        **_COMMON,
        **_REQUEST,
        **_states(_IDENTITY),
        **{name: f"%DYNAMIC_METADATA({_HTTP_RBAC}:{key})%" for name, key in _RULES.items()},
        "kind": LOG_KIND_REQUEST,
        "route": "%ROUTE_NAME%",
        "application": application_id,
        "path": logged_path(upstream),
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    return _file_log(path, fields)


def build_portal_log(path: str, door_id: str) -> dict[str, Any]:
    """Return the log of the portal's requests: who came, if the connection was judged good; no rule is asked there."""
    fields = {
        **_COMMON,
        **_REQUEST,
        **_states(_IDENTITY),
        "kind": LOG_KIND_REQUEST,
        "application": door_id,
        "path": logged_path(UnixUpstream(path="/")),
    }
    return _file_log(path, fields)


def build_open_log(path: str, door_id: str) -> dict[str, Any]:
    """Return the log of an open door: no path, no identity."""
    return _file_log(path, {**_COMMON, **_REQUEST, "kind": LOG_KIND_REQUEST, "application": door_id})


def build_connection_log(path: str, application_id: str) -> dict[str, Any]:
    """Return the log of a TCP application: one line for each connection, when it ends.

    Only of those that the authorizer admitted: what it refused is on record already.
    """
    fields = {
        **_COMMON,
        **_CONNECTION,
        **_states(_IDENTITY),
        "kind": LOG_KIND_CONNECTION,
        "application": application_id,
    }
    judged = _cel(f"filter_state['{ConnectionFact.JUDGED.state_key}'] == b'{JUDGED}'")
    return {"filter": judged, **_file_log(path, fields)}


def build_handshake_log(path: str) -> dict[str, Any]:
    """Return the listener's log, the only place where failed handshakes and unknown names appear.

    A connection that the authorizer refused is not in it: that decision is on record already.
    """
    unknown_name = {"response_flag_filter": {"flags": ["NR"]}}
    # What was judged has ended its handshake: a TCP connection that is cut or reset has its own line.
    failed = _cel(
        "connection.transport_failure_reason != '' && response.flags == 0"
        f" && !('{ConnectionFact.JUDGED.state_key}' in filter_state)"
    )
    foreign = _cel(f"xds.filter_chain_name == '{FOREIGN_PROTOCOL_CHAIN}'")
    log = _file_log(path, {**_COMMON, **_CLAIMED, "kind": LOG_KIND_HANDSHAKE})
    return {"filter": {"or_filter": {"filters": [unknown_name, failed, foreign]}}, **log}


def _states(fields: dict[str, ConnectionFact]) -> dict[str, str]:
    return {name: f"%FILTER_STATE({fact.state_key}:PLAIN)%" for name, fact in fields.items()}


def _cel(expression: str) -> dict[str, Any]:
    """Return a filter of a log; a missing key is an error, and then nothing is written."""
    extension = build_extension(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=expression,
    )
    return {"extension_filter": extension}


def _file_log(path: str, fields: dict[str, str]) -> dict[str, Any]:
    return build_extension(
        "envoy.access_loggers.file",
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": dict(sorted(fields.items()))},
    )
