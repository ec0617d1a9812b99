"""The fast way from a request's line to its leaf: no value object and no dictionary for each line.

Not here: the meaning of a line (`lines`), which decides every case that is not plain. A line takes the fast way only if

    1. it has the fields of a request's line and no other, each of its type,
    2. its certificate was found good, and it was not refused by a rate limit (such lines are counted, `lines.sender_of`),
    3. every text matches an expression without quote, backslash, control and non-ASCII character, so that it stands
       in JSON as it is.

For every other line `render` returns None, and the caller takes the way through `lines` and `audit.leaf`. The bytes of the
leaf are the same on both ways (a property test compares them). Values that repeat from line to line (ids, methods, rules)
are checked and rendered once and remembered: only what was accepted is remembered, so its size is bounded.

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
from doorward.enforcement.envoy.names import LOG_KIND_REQUEST
from doorward.gateway.access_log.lines import LARGEST_NUMBER, RATE_LIMITED, host_of, outcome_of

LONGEST = 8192
"""Bytes of a line on the fast way; an ordinary line has 550."""
_REMEMBERED = 1024
"""Values of each kind: as many as a block has lines (`selection.BATCH_EVENTS`). What repeats repeats within a block: the lines of
a connection, of a person, of a second. With many people in random order nearly every line brings new values, and a larger
memory only costs time."""

_PLAIN_TOKEN = re.compile(r"[!#-\[\]-~]{1,256}", re.ASCII)
_PLAIN_TEXT = re.compile(r"[ !#-\[\]-~]{1,1024}", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII)
_ABSENT = "-"
"""Envoy's word for an unknown value inside text."""

Number = int | float | None
"""A float is not taken (`_count`); without it here, the decoder would read 1.0 as 1, which JSON readers do not agree on."""


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields of a request's line, as in `enforcement.envoy.logs`."""

    kind: Literal["request"]
    certificate: str
    remote: str
    path: str
    time: str
    method: str
    application: str | None = None
    attempts: Number = None
    bytes_received: Number = None
    bytes_sent: Number = None
    cleared: str | None = None
    connection: Number | str = None
    decision: str | None = None
    detail: str | None = None
    duration_ms: Number = None
    flags: str | None = None
    grpc: Number = None
    moved: str | None = None
    principal: str | None = None
    protocol: str | None = None
    request: str | None = None
    route: str | None = None
    rule: str | None = None
    status: Number = None


class RenderedRequest(NamedTuple):
    """What `render` added to the block; `refused`: the door refused the request."""

    certificate: str
    refused: bool


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

    def render(self, line: bytes, event_id: str, at: str, block: BlockBuilder) -> RenderedRequest | None:
        """Add the leaf of a line to a block; return None if the line must go the way through `lines`.

        Args:
            line: without its line feed.
            event_id: a new id, of the form of ids.
            at: the time of the event as in a leaf (`audit.values.render_moment`).
            block: gets the leaf and its openings.
        """
        if len(line) > LONGEST or not self._usable:
            return None
        try:
            one = _decode(line)
            leaf, actor, source, refused = self._begin(one, event_id, at)
        except (_NotPlainError, msgspec.MsgspecError, ValueError, RecursionError):
            return None
        salts = block.salts(actor, 2)
        leaf += (
            f'"path":"{commitment("path", one.path, salts[:SALT_BYTES])}",'
            f'"source":"{commitment("source", source, salts[SALT_BYTES:])}{self._end}'
        )
        block.append(event_id, leaf.encode(), ((actor, "path", one.path), (actor, "source", source)))
        return RenderedRequest(one.certificate, refused)

    def _begin(self, one: _Line, event_id: str, at: str) -> tuple[str, str, str, bool]:
        """Return the leaf up to its commitments, the actor, the source, and whether the door refused."""
        path, time = one.path, one.time
        if not _PLAIN_TEXT.fullmatch(path) or path == _ABSENT or not _TIME.fullmatch(time):
            raise _NotPlainError
        source, actor = _source(one.remote), _actor(one.principal)
        status, reason = _outcome(
            _number(one.status),
            _number(one.grpc),
            one.route,
            one.detail,
            one.cleared,
            one.moved,
        )
        attempts = _number(one.attempts) or 0
        leaf = (
            f'{{"actor":"{actor}","at":"{at}","data":{{{_application(one.application)}'
            f"{_count('attempts', attempts) if attempts > 1 else ''}"
            f"{_count('bytes_received', one.bytes_received)}{_count('bytes_sent', one.bytes_sent)}"
            f"{_connection(one.certificate, one.connection, one.decision)}{_detail(one.detail)}"
            f"{_count('duration_ms', one.duration_ms)}{self._gateway}"
            f"{_exchange(one.method, one.principal, one.protocol)}{reason}{_request_id(one.request)}"
            f'{_rules(one.flags, one.rule)}"started_at":"{_second(time[:19])}{time[19:23]}000Z",'
            f'"status":{status}}},"id":"{event_id}","personal":{{'
        )
        return leaf, actor, source, bool(reason)


class _NotPlainError(Exception):
    """The line does not take the fast way."""


_decode = msgspec.json.Decoder(_Line).decode
assert LOG_KIND_REQUEST == "request"


def _number(value: Number) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value <= LARGEST_NUMBER:
        return value
    raise _NotPlainError


def _count(name: str, value: Number) -> str:
    if value is None:
        return ""
    if type(value) is int and 0 <= value <= LARGEST_NUMBER:
        return f'"{name}":{value},'
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


@lru_cache(_REMEMBERED)
def _source(remote: str) -> str:
    source = host_of(remote) if _PLAIN_TEXT.fullmatch(remote) else ""
    if not source:
        raise _NotPlainError
    return source


@lru_cache(_REMEMBERED)
def _actor(principal: str | None) -> str:
    return principal if principal and _identifier("principal", principal) else "system"


@lru_cache(_REMEMBERED)
def _application(application: str | None) -> str:
    return _identifier("application", application)


@lru_cache(_REMEMBERED, typed=True)  # 1.0 is not 1, which was taken before
def _connection(certificate: str, connection: Number | str, decision: str | None) -> str:
    if not ID.fullmatch(certificate):
        raise _NotPlainError
    if not isinstance(connection, str):
        number = _number(connection)
        connection = None if number is None else str(number)
    return (
        f'"certificate":"{certificate}",{_token("connection", connection)}{_identifier("decision", decision)}'
    )


@lru_cache(_REMEMBERED)
def _detail(detail: str | None) -> str:
    if detail is None or detail == _ABSENT:
        return ""
    if not _PLAIN_TEXT.fullmatch(detail):
        raise _NotPlainError
    return f'"detail":"{detail}",'


@lru_cache(_REMEMBERED)
def _exchange(method: str, principal: str | None, protocol: str | None) -> str:
    if method == _ABSENT:
        raise _NotPlainError
    return f"{_token('method', method)}{_identifier('principal', principal)}{_token('protocol', protocol)}"


def _request_id(request: str | None) -> str:
    return _token("request", request)


@lru_cache(_REMEMBERED)
def _rules(flags: str | None, rule: str | None) -> str:
    shown = _token("response_flags", flags)
    if flags is not None and RATE_LIMITED in flags.split(","):
        raise _NotPlainError
    allowed = _token("rules", rule)
    return shown if not allowed else f'{shown}"rules":["{rule}"],'


@lru_cache(_REMEMBERED)
def _outcome(  # noqa: PLR0917  the cache's key is made of positions faster than of names
    status: int | None,
    grpc: int | None,
    route: str | None,
    detail: str | None,
    cleared: str | None,
    moved: str | None,
) -> tuple[int, str]:
    """Return the status, and the pair of the reason; empty if the application answered."""
    shown, reason = outcome_of(
        {
            "status": status,
            "grpc": grpc,
            "route": route,
            "detail": detail,
            "cleared": cleared,
            "moved": moved,
        }
    )
    return shown, _token("reason", reason)


@lru_cache(_REMEMBERED)
def _second(text: str) -> str:
    """Return the text of a second; raises ValueError if there is no such second."""
    if datetime.fromisoformat(text).isoformat() != text:
        raise _NotPlainError
    return text
