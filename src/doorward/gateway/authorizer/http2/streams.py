"""One request and its response, and the flow control of both.

Standard: RFC 9113 sections 5.2 and 6.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from doorward.gateway.authorizer.http2.fields import RequestFields

_NOTHING = memoryview(b"")


@dataclass(slots=True)
class Request:
    """A whole request.

    Args:
        stream: its number; `ServerConnection.respond` takes it.
        fields: its fields.
        body: its octets; empty if it is too large.
        is_too_large: fields or body are longer than the limit.
    """

    stream: int
    fields: RequestFields
    body: bytes
    is_too_large: bool = False


@dataclass(slots=True)
class Stream:
    """A stream that is not closed.

    Args:
        number: of the stream.
        fields: of the request.
        until: when it ends if its request is not complete, or its response cannot be sent; monotonic seconds.
        parts: what has arrived of the body.
        size: octets of the body that have arrived, also those that were dropped.
        received: the same as flow control counts it, with padding.
        is_complete: the whole request has arrived.
        is_too_large: the request is longer than the limit; the rest of it is dropped.
        window: how much more of the response the peer takes than its SETTINGS_INITIAL_WINDOW_SIZE says, less what was
            sent. So a change of that setting costs nothing for each stream.
        unsent: what is left to send of the response's body.
        trailers: header block behind the response's body.
    """

    number: int
    fields: RequestFields
    until: float
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    received: int = 0
    is_complete: bool = False
    is_too_large: bool = False
    window: int = 0
    unsent: memoryview = _NOTHING
    trailers: bytes = b""
