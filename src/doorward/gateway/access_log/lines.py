"""Parsing a line of Envoy's access log into one audit event, into no event, or into the event that it is unreadable.

Not here: reading the file (ingest), and the format that Envoy writes (enforcement.envoy.logs). Total: any bytes
give a result. Names in an unverified certificate stay in fields called `claimed_…`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from doorward.audit.counting import UNKNOWN_SOURCE, source_key
from doorward.audit.events import EventType, printable
from doorward.enforcement.envoy.names import (
    ENROL_CHAIN,
    FOREIGN_ORIGIN,
    FOREIGN_PROTOCOL_CHAIN,
    LOG_ABOUT,
    LOG_KIND_CONNECTION,
    LOG_KIND_HANDSHAKE,
    LOG_KIND_REQUEST,
    PAGE,
    PREFLIGHT_REFUSED,
    Refusal,
)

LONGEST_LINE = 64 * 1024
"""Bytes; Envoy's line with every field at its limit is under 16 KiB."""

SHOWN_OF_MALFORMED = 1024
"""Characters of an unreadable line that are kept (as personal data)."""

_REFUSED_STATUS = 400

RATE_LIMITED = "RL"
"""Envoy's response flag of a request that its local rate limit refused."""

_ID = re.compile(r"[a-z]{3}_[a-z0-9]{1,40}")
_TOKEN = re.compile(r"[!-~]{1,256}")
_HEX = re.compile(r"[0-9a-f]{1,64}")
_TLS_REASON = re.compile(r"OPENSSL_internal:([A-Z0-9_ ]+)(?![A-Za-z0-9_ ])")
_SYSTEM_ERROR = ":system library:OPENSSL_internal:"  # followed by the text of errno, for example `Success`
_REFUSALS = {one.word: one for one in Refusal}
_BY_DETAIL = {
    "path_normalization_failed": Refusal.PATH,
    "missing_host_header": Refusal.AUTHORITY,
    "http1.unexpected_underscore": Refusal.HEADER_NAME,
    "http2.unexpected_underscore": Refusal.HEADER_NAME,
}
_FORWARDED = "via_upstream"
_GRPC_STATUSES = {4: 504, 7: 403, 8: 429, 12: 404, 13: 400, 14: 503, 16: 401}
"""gRPC code to the HTTP status from which Envoy made it (grpc/doc/http-grpc-status-mapping.md)."""
LARGEST_NUMBER = 2**53 - 1
_KINDS = (LOG_KIND_REQUEST, LOG_KIND_CONNECTION, LOG_KIND_HANDSHAKE)
FACTOR_MISSING = "factor-missing"
"""An allow rule would hold with a second factor: the door answers with a redirect to the portal, or with a challenge."""
_ASKED_FOR_A_FACTOR = (302, 401)
_RULES_REFUSED = "rbac_access_denied"
RULES_REFUSED = "rules-changed"
"""The connection does not pass the rules that were in force when Envoy accepted it; they changed before it was judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """A parsed line: the parts of an event, without its envelope."""

    type: EventType
    data: dict[str, str | int | datetime | list[str]]
    personal: dict[str, str] = field(default_factory=dict)
    actor: str = "system"


def parse_access_line(line: bytes, gateway_id: str) -> AccessLine | None:
    """Return the event of a line.

    Args:
        line: without its line feed.
        gateway_id: the gateway of the Envoy that wrote it.

    Returns:
        The event's parts; None for a line that needs no event (a line of the listener log about a successful
        handshake: the decision and the requests of that connection have their own events).
    """
    return build_access_line(line, load_access_line(line), gateway_id)


def load_access_line(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line, None if it is no JSON object; this costs a tenth of making its event.

    The fields of `about` are beside the others, as they were in lines of earlier releases.
    """
    if len(line) > LONGEST_LINE:
        return None
    try:
        value = json.loads(line)
        if not isinstance(value, dict):
            return None
        about = value.get(LOG_ABOUT)
        return {**value, **about} if isinstance(about, dict) else value
    except Exception:  # noqa: BLE001  if one line fails, the lines after it are still taken
        return None


def build_access_line(line: bytes, value: dict[str, Any] | None, gateway_id: str) -> AccessLine | None:
    """Return the event of a line, as `parse_access_line`; `value` is the result of `load_access_line`."""
    try:
        kind = value["kind"] if value is not None else None
        if value is not None and kind == LOG_KIND_REQUEST:
            return _request(value, gateway_id)
        if value is not None and kind == LOG_KIND_CONNECTION:
            return _connection(value, gateway_id)
        if value is not None and kind == LOG_KIND_HANDSHAKE:
            return _handshake(value, gateway_id)
    except Exception:  # noqa: BLE001, S110  as above
        pass
    return malformed(line, gateway_id, "line-unreadable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Under which key a line is counted, and whether the limit of singly recorded events applies to it.

    Args:
        key: the certificate's id if the authorizer found it good; otherwise the network source.
        kind: the type of the line's event.
        limited: whether the limit applies: to every line without a good certificate, and to requests with a good
            one that Envoy refused because the certificate sends too many.
        claimed: the server name that the peer asked for.
    """

    key: str
    kind: EventType
    limited: bool
    claimed: str = ""


def sender_of(value: dict[str, Any] | None) -> Sender | None:
    """Return who caused a line; None for a line that needs no event.

    Only this function decides which lines come without a good certificate. The certificate's id in a request's or
    connection's line comes from the authorizer: a peer cannot write it.
    """
    if value is None or value.get("kind") not in _KINDS:
        return Sender(key=UNKNOWN_SOURCE, kind=EventType.ACCESS_MALFORMED, limited=True)
    flags = str(value.get("flags")).split(",")
    remote = value.get("remote")
    if value["kind"] == LOG_KIND_HANDSHAKE:
        if not _tells_of_handshake(value):
            return None
        claimed = _text(value.get("server_name"))
        return Sender(
            key=source_key(host_of(remote)), kind=EventType.HANDSHAKE_FAILED, limited=True, claimed=claimed
        )
    certificate = _id(value.get("certificate"))
    is_connection = value["kind"] == LOG_KIND_CONNECTION
    kind = EventType.CONNECTION_CLOSED if is_connection else EventType.REQUEST_ANSWERED
    if certificate is None or value.get("application") == ENROL_CHAIN:
        return Sender(key=source_key(host_of(remote)), kind=kind, limited=True)
    return Sender(key=certificate, kind=kind, limited=RATE_LIMITED in flags)


def is_certificate(key: str) -> bool:
    """Return whether a key of counted events is the id of a certificate."""
    return key.startswith("crt_")


def malformed(line: bytes, gateway_id: str, reason: str) -> AccessLine:
    """Return the event that a line could not be read."""
    shown = printable(line[:SHOWN_OF_MALFORMED].decode("utf-8", "replace"))
    return AccessLine(
        type=EventType.ACCESS_MALFORMED,
        data={
            "gateway": gateway_id,
            "reason": reason,
            "length": len(line),
            "sha256": hashlib.sha256(line).hexdigest(),
        },
        personal={"line": shown} if shown else {},
    )


def _request(value: dict[str, Any], gateway_id: str) -> AccessLine:
    status, reason = outcome_of(value)
    data: dict[str, Any] = {
        "gateway": gateway_id,
        "method": _token(value.get("method")) or "UNREADABLE",
        "status": status,
    }
    application = value.get("application")
    _put(data, "application", _id(application))
    for name in ("principal", "certificate", "decision"):
        _put(data, name, _id(value.get(name)))
    for name in ("connection", "request", "protocol"):
        _put(data, name, _token(value.get(name)))
    for name in ("duration_ms", "bytes_sent", "bytes_received"):
        _put(data, name, _number(value.get(name)))
    _put(data, "attempts", attempts if (attempts := _number(value.get("attempts")) or 0) > 1 else None)
    rule = _token(value.get("rule"))
    _put(data, "rules", [rule] if rule else None)
    _put(data, "reason", reason)
    _put(data, "detail", _text(value.get("detail")))
    _put(data, "response_flags", _token(value.get("flags")))
    _put(data, "started_at", _moment(value.get("time")))
    personal = {"source": host_of(value.get("remote"))}
    if application != ENROL_CHAIN:
        personal["path"] = _text(value.get("path"))
    actor = data.get("principal") or "system"
    return AccessLine(type=EventType.REQUEST_ANSWERED, data=data, personal=_filled(personal), actor=actor)


def outcome_of(value: dict[str, Any]) -> tuple[int, str | None]:
    """Return the status of a request's line, and the reason if the door refused the request."""
    refusal = _REFUSALS.get(str(value.get("route"))) or _BY_DETAIL.get(str(value.get("detail")))
    status = _status(value, refusal)
    return status, _refused_by(value, status) or (refusal.word if refusal else None)


def _refused_by(value: dict[str, Any], status: int) -> str | None:
    """Return the reason if the door refused the request, and None if the application answered it."""
    if value.get("route") in (FOREIGN_ORIGIN, PREFLIGHT_REFUSED):
        return str(value["route"])
    if value.get("route") == PAGE and (_number(value.get("status")) or 0) >= _REFUSED_STATUS:
        return "connection-refused"  # the reasons are in the decision about the connection
    if value.get("cleared") == "denied":
        return "deny-rule"
    if value.get("moved") == "denied":
        return "destination-not-allowed"
    if not _text(value.get("detail")).startswith(_RULES_REFUSED):
        return None
    return FACTOR_MISSING if status in _ASKED_FOR_A_FACTOR else "no-allow-rule"


def _status(value: dict[str, Any], refusal: Refusal | None) -> int:
    """Return the HTTP status; for a refused gRPC call the status of its code, not the 200 that carries the code."""
    status, code = _number(value.get("status")) or 0, _number(value.get("grpc"))
    if not code or value.get("detail") == _FORWARDED:
        return status
    return refusal.status if refusal else _GRPC_STATUSES.get(code, 500)


def _connection(value: dict[str, Any], gateway_id: str) -> AccessLine:
    data: dict[str, Any] = {"gateway": gateway_id}
    for name in ("application", "principal", "certificate", "decision"):
        _put(data, name, _id(value.get(name)))
    _put(data, "connection", _token(value.get("connection")))
    for name in ("duration_ms", "bytes_sent", "bytes_received"):
        _put(data, name, _number(value.get(name)))
    refused = _text(value.get("detail")).startswith(_RULES_REFUSED)
    _put(data, "reason", RULES_REFUSED if refused else None)
    _put(data, "response_flags", _token(value.get("flags")))
    _put(data, "started_at", _moment(value.get("time")))
    personal = {"source": host_of(value.get("remote"))}
    actor = data.get("principal") or "system"
    return AccessLine(type=EventType.CONNECTION_CLOSED, data=data, personal=_filled(personal), actor=actor)


def _tells_of_handshake(value: dict[str, Any]) -> bool:
    """Return whether a line of the listener is about a handshake that failed or did not begin."""
    return bool(
        _text(value.get("failure"))
        or "NR" in str(value.get("flags")).split(",")
        or value.get("application") == FOREIGN_PROTOCOL_CHAIN
    )


def _handshake(value: dict[str, Any], gateway_id: str) -> AccessLine | None:
    if not _tells_of_handshake(value):
        return None
    failure = _text(value.get("failure"))
    found = _TLS_REASON.search(failure)
    reason = (
        found.group(1).strip().lower().replace("_", "-").replace(" ", "-") if found else "handshake-failed"
    )
    if _SYSTEM_ERROR in failure:
        reason = "connection-lost"
    if not failure:
        reason = "server-name-unknown"
    if value.get("application") == FOREIGN_PROTOCOL_CHAIN:
        reason = "application-protocol-refused"
    data: dict[str, Any] = {"gateway": gateway_id, "reason": reason}
    _put(data, "application", _id(value.get("application")))
    _put(data, "connection", _token(value.get("connection")))
    _put(data, "detail", failure or None)
    _put(data, "tls_version", _token(value.get("tls")))
    sha256 = _text(value.get("claimed_sha256")).lower()
    _put(data, "claimed_sha256", sha256 if _HEX.fullmatch(sha256) else None)
    _put(data, "claimed_serial", _token(value.get("claimed_serial")))
    _put(data, "started_at", _moment(value.get("time")))
    personal = {
        "source": host_of(value.get("remote")),
        "claimed_subject": _text(value.get("claimed_subject")),
        "claimed_issuer": _text(value.get("claimed_issuer")),
        "claimed_san": _text(value.get("claimed_uri")),
        "claimed_server_name": _text(value.get("server_name")),
    }
    return AccessLine(type=EventType.HANDSHAKE_FAILED, data=data, personal=_filled(personal))


def _put(data: dict[str, Any], name: str, value: object) -> None:
    if value is not None and value != "":
        data[name] = value


def _filled(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _text(value: object) -> str:
    # Envoy writes an unknown value as null in JSON, and as "-" inside text.
    return "" if value is None or value == "-" else printable(str(value)[:1024])


def _token(value: object) -> str | None:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if _TOKEN.fullmatch(text) and text != "-" else None


def _id(value: object) -> str | None:
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _number(value: object) -> int | None:
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER
        else None
    )


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):  # no date, or a date before the year 1 in UTC
        return None


def host_of(value: object) -> str:
    """Return the address of `address:port`, without the brackets of IPv6; empty if there is none."""
    return _text(value).rpartition(":")[0].strip("[]")
