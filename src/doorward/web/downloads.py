"""Large answers: many readers, one copy in memory, and a number of places.

Not here: which bytes (shared_crl), and how long one answer may take (protocol).

A revocation list of 200,000 certificates has 7.5 MB, and anybody may ask for it and read slowly. So
1. the body is given as it is to all readers, who hold a reference and no copy;
2. each takes a piece at a time, and the next one when it has read that;
3. so many read at once; who comes then is told to come back, and every other answer goes on.
Standard: RFC 9110 sections 9.3.2 (HEAD), 10.2.3 (Retry-After) and 15.6.4 (503).
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from doorward.core.errors import Unavailable

MAX_DOWNLOADS = 512
"""Half of `serving.MAX_CONNECTIONS`; each holds two pieces at most, 64 MiB in all."""

PIECE_BYTES = 64 * 1024
"""asyncio stops taking more when so much waits to be sent (its high-water mark)."""

RETRY_SECONDS = 30


class Downloads:
    """The places of one server; all calls come from its event loop.

    Args:
        places: how many large answers are sent at once.
    """

    def __init__(self, places: int) -> None:
        self._free = places

    def answer(self, request: Request, body: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
        """Return the answer with this body; what fits in one piece takes no place."""
        if request.method == "HEAD":
            headers = {**headers, "Content-Length": str(len(body))}
            return Response(media_type=media_type, headers=headers)
        if len(body) <= PIECE_BYTES:
            return Response(body, media_type=media_type, headers=headers)
        return _Download(self, body, media_type, headers)

    def enter(self) -> None:
        """Take a place.

        Raises:
            Unavailable: `downloads-exhausted` where none is free.
        """
        if not self._free:
            raise Unavailable(
                "downloads-exhausted",
                "too many are downloading at this moment",
                hint="try again in half a minute",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._free -= 1

    def leave(self) -> None:
        """Give it back."""
        self._free += 1


class _Download(Response):
    """Sends a body piece by piece, in a place that it takes before the first and gives back in any case."""

    def __init__(
        self, downloads: Downloads, body: bytes, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(media_type=media_type, headers={**headers, "Content-Length": str(len(body))})
        self._downloads = downloads
        self._whole = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        self._downloads.enter()
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            view = memoryview(self._whole)
            for start in range(0, len(view), PIECE_BYTES):
                piece = bytes(view[start : start + PIECE_BYTES])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._downloads.leave()
