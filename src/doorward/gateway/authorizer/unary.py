"""gRPC for one method that takes one message and answers one.

What is wrong with a call is answered by a status of gRPC, or of HTTP where gRPC says so, and never by words about our
inside.
Standard: gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md).

Not here: HTTP/2 (http2), the messages (reading, rendering).
"""

from __future__ import annotations

import re
import struct
from functools import cache

from doorward.gateway.authorizer.http2.streams import Request
from doorward.gateway.grpc_status import GrpcStatus

_PREFIX = struct.Struct(">BI")
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_CONTENT = "application/grpc"
_STATIC_STATUS, _STATIC_OK, _STATIC_CONTENT_TYPE = 8, b"\x88", 31


class CallRefused(Exception):
    """A call that cannot be answered; `block` is the header block of the response."""

    def __init__(self, block: bytes) -> None:
        super().__init__()
        self.block = block


def read_message(request: Request, path: str) -> bytes:
    """Return the message of a call.

    Args:
        request: whole.
        path: of the method.

    Raises:
        CallRefused: another method, another kind of content, a compressed message, too large, or not one message.
    """
    fields = request.fields
    if request.is_too_large:
        raise CallRefused(render_refusal(GrpcStatus.RESOURCE_EXHAUSTED))
    if fields.method != "POST":
        raise CallRefused(_http_refusal("405"))
    kind = fields.content_type
    if not kind.startswith(_CONTENT) or kind[len(_CONTENT) : len(_CONTENT) + 1] not in {"", "+", ";"}:
        raise CallRefused(_http_refusal("415"))
    if fields.path != path:
        raise CallRefused(render_refusal(GrpcStatus.UNIMPLEMENTED))
    if fields.encoding != "identity":
        raise CallRefused(_ENCODING_REFUSED)
    body = request.body
    if len(body) < _PREFIX.size:
        raise CallRefused(render_refusal(GrpcStatus.INTERNAL))
    compressed, length = _PREFIX.unpack_from(body)
    if compressed or length != len(body) - _PREFIX.size:
        raise CallRefused(render_refusal(GrpcStatus.INTERNAL))
    return body[_PREFIX.size :]


def read_timeout(text: str) -> float | None:
    """Return the seconds that a caller waits; None if it does not say.

    Raises:
        CallRefused: it is no timeout.
    """
    if not text:
        return None
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise CallRefused(render_refusal(GrpcStatus.INVALID_ARGUMENT))
    return int(found[1]) * _UNITS[found[2]]


def render_body(message: bytes) -> bytes:
    """Return the body of a response with one message."""
    return _PREFIX.pack(0, len(message)) + message


def _literal(name: str, value: str) -> bytes:
    """Return a field of a header block that no table keeps (RFC 7541 section 6.2.2); both texts are shorter than 127."""
    return b"\x00" + bytes((len(name),)) + name.encode("ascii") + bytes((len(value),)) + value.encode("ascii")


def _content_type() -> bytes:
    return bytes((0x0F, _STATIC_CONTENT_TYPE - 0x0F, len(_CONTENT))) + _CONTENT.encode("ascii")


HEAD = _STATIC_OK + _content_type()
"""Header block at the start of a response with a message."""
TRAILERS = _literal("grpc-status", str(GrpcStatus.OK.value))
"""Header block at its end."""


@cache
def render_refusal(status: GrpcStatus) -> bytes:
    """Return the header block of a response that has a status alone."""
    return HEAD + _literal("grpc-status", str(status.value))


_ENCODING_REFUSED = render_refusal(GrpcStatus.UNIMPLEMENTED) + _literal("grpc-accept-encoding", "identity")


@cache
def _http_refusal(status: str) -> bytes:
    return bytes((_STATIC_STATUS, len(status))) + status.encode("ascii")
