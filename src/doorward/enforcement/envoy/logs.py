"""Envoy's access logs: one JSON line for each request, each TCP connection and each failed handshake.

The line of a TCP connection is written when it ends. Query strings are never logged, and neither are the paths of the
enrolment door: they may contain tokens. Facts from an unverified certificate have names that begin with `claimed_`.
All kinds of lines are in one file, so that they are in the order of time. Every field is one that the reader puts into an
event (a test checks this), because each field costs time for each request. In the line of a request to a protected door, what is
the same in many lines of a connection is an object of its own, `about`: the reader parses it once (docs/design/0108).

Not here: reading the file (gateway.access_log.ingest).
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
    LOG_ABOUT,
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
    "route": "%ROUTE_NAME%",  # for a refusal: its reason (names.Refusal)
    # A refused gRPC call gets status 200 with the real code in a trailer.
    "grpc": "%GRPC_STATUS_NUMBER%",
    "detail": "%RESPONSE_CODE_DETAILS%",  # why a request failed, including a failure of the upstream
    "request": "%REQ(X-REQUEST-ID):64%",
}
_VARIES = frozenset({"bytes_received", "bytes_sent", "duration_ms", "kind", "path", "request", "time"})
"""The fields that differ from request to request; `kind` tells the reader what the rest is."""
_IDENTITY = {
    "principal": ConnectionFact.PRINCIPAL_ID,
    "certificate": ConnectionFact.CERTIFICATE,
    "decision": ConnectionFact.DECISION,
}
_RULES = {
    "rule": f"{ALLOW_STATISTICS}enforced_effective_policy_id",
    "cleared": f"{DENY_STATISTICS}enforced_engine_result",
}
_SECOND_PATH = {"moved": f"{DESTINATION_STATISTICS}enforced_engine_result"}
_CONNECTION = {
    "duration_ms": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",  # bytes before the upstream was connected count twice (measured)
    "bytes_sent": "%BYTES_SENT%",
    "detail": "%CONNECTION_TERMINATION_DETAILS%",  # says whether the rules refused
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


def build_request_log(
    path: str, application_id: str, upstream: WebUpstream, *, destination: bool = False
) -> dict[str, Any]:
    """Return the log of a protected door's requests.

    `rule` is the id of the allow rule that allowed the request; `cleared` and `moved` are the results of the filters of the
    deny rules and of the second path (`allowed`, `denied`, or null if the filter did not run). `detail` says whether rules
    refused: if neither of these filters did, there was no allow rule.

    Args:
        path: of the file.
        application_id: the application's id.
        upstream: where it is.
        destination: whether the path in `Destination` is judged too.
    """
    results = {**_RULES, **(_SECOND_PATH if destination else {})}
    fields = {
        **_COMMON,
        **_REQUEST,
        **_states(_IDENTITY),
        **{name: f"%DYNAMIC_METADATA({_HTTP_RBAC}:{key})%" for name, key in results.items()},
        "kind": LOG_KIND_REQUEST,
        "route": "%ROUTE_NAME%",
        "application": application_id,
        "path": logged_path(upstream),
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    return _file_log(path, _split_fields(fields))


def build_portal_log(path: str, door_id: str) -> dict[str, Any]:
    """Return the log of the portal's requests, with the identity if the connection was judged good; the portal has no rules."""
    fields = {
        **_COMMON,
        **_REQUEST,
        **_states(_IDENTITY),
        "kind": LOG_KIND_REQUEST,
        "application": door_id,
        "path": logged_path(UnixUpstream(path="/")),
    }
    return _file_log(path, _split_fields(fields))


def build_open_log(path: str, door_id: str) -> dict[str, Any]:
    """Return the log of an open door: no path, no identity."""
    return _file_log(path, {**_COMMON, **_REQUEST, "kind": LOG_KIND_REQUEST, "application": door_id})


def build_connection_log(path: str, application_id: str) -> dict[str, Any]:
    """Return the log of a TCP application: one line for each connection, when it ends.

    Only for connections that the authorizer admitted: its refusals are recorded already.
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
    """Return the listener's log, the only log with failed handshakes and unknown names.

    A connection that the authorizer refused is not in it: that decision is recorded already.
    """
    unknown_name = {"response_flag_filter": {"flags": ["NR"]}}
    # A judged connection has completed its handshake; if it is cut or reset, it has its own line.
    failed = _cel(
        "connection.transport_failure_reason != '' && response.flags == 0"
        f" && !('{ConnectionFact.JUDGED.state_key}' in filter_state)"
    )
    foreign = _cel(f"xds.filter_chain_name == '{FOREIGN_PROTOCOL_CHAIN}'")
    log = _file_log(path, {**_COMMON, **_CLAIMED, "kind": LOG_KIND_HANDSHAKE})
    return {"filter": {"or_filter": {"filters": [unknown_name, failed, foreign]}}, **log}


def _states(fields: dict[str, ConnectionFact]) -> dict[str, str]:
    return {name: f"%FILTER_STATE({fact.state_key}:PLAIN)%" for name, fact in fields.items()}


def _split_fields(fields: dict[str, str]) -> dict[str, Any]:
    """Return the format of a request's line with the fields that often repeat in `LOG_ABOUT`."""
    about = {name: value for name, value in sorted(fields.items()) if name not in _VARIES}
    return {LOG_ABOUT: about, **{name: value for name, value in fields.items() if name in _VARIES}}


def _cel(expression: str) -> dict[str, Any]:
    """Return a log filter by an expression; if a key is missing, the expression fails and no line is written."""
    extension = build_extension(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=expression,
    )
    return {"extension_filter": extension}


def _file_log(path: str, fields: dict[str, Any]) -> dict[str, Any]:
    return build_extension(
        "envoy.access_loggers.file",
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format={"json_format": dict(sorted(fields.items()))},
    )
