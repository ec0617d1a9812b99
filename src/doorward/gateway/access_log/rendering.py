"""The fast way from a request's line to its leaf: no value object and no dictionary for each line.

Not here: the meaning of a line (`lines`), which decides every case that is not plain. A line takes the fast way only if

    1. it has the fields of a request's line and no other, each of its type,
    2. its certificate was found good, and it was not refused by a rate limit (such lines are counted, `lines.sender_of`),
    3. every text matches an expression without quote, backslash, control and non-ASCII character, so that it stands
       in JSON as it is.

For every other line `render` returns None, and the caller takes the way through `lines` and `audit.leaf`. The bytes of the
leaf are the same on both ways (a property test compares them). What is the same in many lines of a connection is one object in
the line (`names.LOG_ABOUT`). It is decoded, checked and rendered once, and found by its bytes after that: only what was accepted
is remembered, so its size is bounded.

Standard: RFC 8785 (the form of a leaf, `audit.leaf`).
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec

from doorward.audit.block import BlockBuilder
from doorward.audit.leaf import SALT_BYTES, commitment
from doorward.audit.values import ID
from doorward.enforcement.envoy.names import LOG_ABOUT, LOG_KIND_REQUEST
from doorward.gateway.access_log.lines import LARGEST_NUMBER, RATE_LIMITED, host_of, outcome_of

LONGEST = 8192
"""Bytes of a line on the fast way; an ordinary line has 560."""
_REMEMBERED = 1024
"""As many as a block has lines (`selection.BATCH_EVENTS`). What repeats repeats within a block: the lines of a connection, of a
millisecond. With many people in random order nearly every line brings new values, and a larger memory only costs time."""

_PLAIN_TOKEN = re.compile(r"[!#-\[\]-~]{1,256}", re.ASCII)
_PLAIN_TEXT = re.compile(r"[ !#-\[\]-~]{1,1024}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)
_ABSENT = "-"
"""Envoy's word for an unknown value inside text."""

Number = int | float | None
"""A float is not taken (`_number`, `render`); without it here, the decoder would read 1.0 as 1, which JSON readers do not agree on."""


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of a request's line, as in `enforcement.envoy.logs`."""

    about: msgspec.Raw
    kind: Literal["request"]
    path: str
    time: str
    bytes_received: int | float
    bytes_sent: int | float
    duration_ms: int | float
    request: str | None = None


class _About(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields that are the same in many lines of a connection."""

    certificate: str
    remote: str
    method: str
    application: str | None = None
    attempts: Number = None
    cleared: str | None = None
    connection: Number | str = None
    decision: str | None = None
    detail: str | None = None
    flags: str | None = None
    grpc: Number = None
    moved: str | None = None
    principal: str | None = None
    protocol: str | None = None
    route: str | None = None
    rule: str | None = None
    status: Number = None


class RenderedRequest(NamedTuple):
    """What `render` added to the block; `refused`: the door refused the request."""

    certificate: str
    refused: bool


class _Rendered(NamedTuple):
    """What is rendered of an `_About`: the parts of a leaf between the values of a line, in their order."""

    actor: str
    source: str
    begin: str
    before_numbers: str
    after_sent: str
    after_duration: str
    after_request: str
    after_start: str
    result: RenderedRequest


class RequestRenderer:
    """Renders the lines of one gateway.

    Args:
        gateway_id: the gateway of the Envoy that wrote the lines.
        tenant: the tenant of the events.
    """

    def __init__(self, gateway_id: str, tenant: str) -> None:
        self._usable = bool(ID.fullmatch(gateway_id) and ID.fullmatch(tenant))
        self._gateway = f'"gateway":"{gateway_id}",'
        self._end = f'"}},"tenant":"{tenant}","type":"request:answered","v":1}}'
        self._rendered = lru_cache(_REMEMBERED)(self._render_about)

    def render(self, line: bytes, event_id: str, block: BlockBuilder) -> RenderedRequest | None:
        """Add the leaf of a line to a block; return None if the line must go the way through `lines`.

        Args:
            line: without its line feed.
            event_id: a new id, of the form of ids.
            block: gets the leaf and its openings; its time is the event's.
        """
        if len(line) > LONGEST or not self._usable:
            return None
        try:
            one = _decode(line)
            about = self._rendered(bytes(one.about))
            received, sent, took, path = one.bytes_received, one.bytes_sent, one.duration_ms, one.path
            if not (
                type(received) is type(sent) is type(took) is int
                and 0 <= received <= LARGEST_NUMBER
                and 0 <= sent <= LARGEST_NUMBER
                and 0 <= took <= LARGEST_NUMBER
                and _PLAIN_TEXT.fullmatch(path)
                and path != _ABSENT
            ):
                return None
            started, request = _started_at(one.time), _token("request", one.request)
        except (_NotPlainError, msgspec.MsgspecError, ValueError, RecursionError):
            return None
        (
            actor,
            source,
            begin,
            before_numbers,
            after_sent,
            after_duration,
            after_request,
            after_start,
            result,
        ) = about
        salts = block.salts(actor, 2)
        leaf = (
            f'{begin}{block.at_text}{before_numbers}{received},"bytes_sent":{sent},{after_sent}{took},{after_duration}{request}'
            f'{after_request}{started}{after_start}{event_id}","personal":{{'
            f'"path":"{commitment("path", path, salts[:SALT_BYTES])}",'
            f'"source":"{commitment("source", source, salts[SALT_BYTES:])}{self._end}'
        )
        block.append(event_id, leaf.encode(), ((actor, "path", path), (actor, "source", source)))
        return result

    def _render_about(self, about: bytes) -> _Rendered:
        """Return the parts of a leaf for the bytes of an `_About`; raises what `render` catches."""
        one = _decode_about(about)
        actor = one.principal if one.principal and _identifier("principal", one.principal) else "system"
        shown, reason = _outcome(one)
        result = RenderedRequest(one.certificate, bool(reason))
        return _Rendered(
            actor=actor,
            source=_source(one.remote),
            begin=f'{{"actor":"{actor}","at":"',
            before_numbers=f'","data":{{{_identifier("application", one.application)}'
            f'{_attempts(one.attempts)}"bytes_received":',
            after_sent=f'{_connection(one)}{_detail(one.detail)}"duration_ms":',
            after_duration=f"{self._gateway}{_exchange(one)}{reason}",
            after_request=f'{_rules(one.flags, one.rule)}"started_at":"',
            after_start=f'","status":{shown}}},"id":"',
            result=result,
        )


class _NotPlainError(Exception):
    """The line does not take the fast way."""


_decode = msgspec.json.Decoder(_Line).decode
_decode_about = msgspec.json.Decoder(_About).decode
assert LOG_KIND_REQUEST == "request"
assert LOG_ABOUT == "about"


def _number(value: Number) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value <= LARGEST_NUMBER:
        return value
    raise _NotPlainError


def _identifier(name: str, value: str | None) -> str:
    if value is None or value == _ABSENT:
        return ""
    if not ID.fullmatch(value):
        raise _NotPlainError
    return f'"{name}":"{value}",'


def _token(name: str, value: str | None) -> str:
    if value is None or value == _ABSENT:
        return ""
    if not _PLAIN_TOKEN.fullmatch(value):
        raise _NotPlainError
    return f'"{name}":"{value}",'


def _source(remote: str) -> str:
    source = host_of(remote) if _PLAIN_TEXT.fullmatch(remote) else ""
    if not source:
        raise _NotPlainError
    return source


def _connection(one: _About) -> str:
    if not ID.fullmatch(one.certificate):
        raise _NotPlainError
    connection = one.connection
    if not isinstance(connection, str):
        number = _number(connection)
        connection = None if number is None else str(number)
    return f'"certificate":"{one.certificate}",{_token("connection", connection)}{_identifier("decision", one.decision)}'


def _attempts(value: Number) -> str:
    number = _number(value)
    return f'"attempts":{number},' if number is not None and number > 1 else ""


def _detail(detail: str | None) -> str:
    if detail is None or detail == _ABSENT:
        return ""
    if not _PLAIN_TEXT.fullmatch(detail):
        raise _NotPlainError
    return f'"detail":"{detail}",'


def _exchange(one: _About) -> str:
    if one.method == _ABSENT:
        raise _NotPlainError
    return f"{_token('method', one.method)}{_identifier('principal', one.principal)}{_token('protocol', one.protocol)}"


def _rules(flags: str | None, rule: str | None) -> str:
    shown = _token("response_flags", flags)
    if flags is not None and RATE_LIMITED in flags.split(","):
        raise _NotPlainError
    allowed = _token("rules", rule)
    return shown if not allowed else f'{shown}"rules":["{rule}"],'


def _outcome(one: _About) -> tuple[int, str]:
    """Return the status, and the pair of the reason; empty if the application answered."""
    shown, reason = outcome_of(
        {
            "status": _number(one.status),
            "grpc": _number(one.grpc),
            "route": one.route,
            "detail": one.detail,
            "cleared": one.cleared,
            "moved": one.moved,
        }
    )
    return shown, _token("reason", reason)


@lru_cache(_REMEMBERED)
def _started_at(time: str) -> str:
    """Return the time of a line as it stands in a leaf; raises ValueError if there is no such time."""
    if not _TIME.fullmatch(time) or datetime.fromisoformat(time[:19]).isoformat() != time[:19]:
        raise _NotPlainError
    return f"{time[:23]}000Z"
