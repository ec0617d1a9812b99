"""What is wrong with what a peer sent, as HTTP/2 tells it apart.

Standard: RFC 9113 section 5.4.
"""

from __future__ import annotations

from doorward.gateway.authorizer.http2.frames import ErrorCode


class ConnectionFailed(Exception):
    """The connection cannot go on: the peer gets GOAWAY with this code. `why` is for our log."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class StreamFailed(Exception):
    """One stream cannot go on: the peer gets RST_STREAM with this code."""

    def __init__(self, stream: int, code: ErrorCode) -> None:
        super().__init__(stream, code)
        self.stream = stream
        self.code = code
