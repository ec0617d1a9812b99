"""Large answers: many readers share one copy in memory, and the number of readers is limited.

Not here: the bytes (shared_crl), and the time limit for one answer (protocol).

A revocation list of 200,000 certificates has 7.5 MB, and any client may request it and read slowly. So
1. all answers share the body without copying it;
2. it is sent in pieces, the next one when the previous one was read;
3. the number of simultaneous downloads is limited; beyond it clients get 503 with Retry-After, and other answers go on.
Standard: RFC 9110 sections 9.3.2 (HEAD), 10.2.3 (Retry-After) and 15.6.4 (503).
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from doorward.core.errors import Unavailable

MAX_DOWNLOADS = 512
"""Half of `serving.MAX_CONNECTIONS`; each download holds two pieces at most, 64 MiB in total."""

PIECE_BYTES = 64 * 1024
"""asyncio's high-water mark: it accepts no more if this much waits to be sent."""

RETRY_SECONDS = 30


class Downloads:
    """The download limit of one server; all calls come from its event loop.

    Args:
        places: how many large answers may be sent at the same time.
    """

    def __init__(self, places: int) -> None:
        self._free = places

    def answer(self, request: Request, body: bytes, media_type: str, headers: Mapping[str, str]) -> Response:
        """Return the answer with this body; a body that fits in one piece does not count."""
        if request.method == "HEAD":
            headers = {**headers, "Content-Length": str(len(body))}
            return Response(media_type=media_type, headers=headers)
        if len(body) <= PIECE_BYTES:
            return Response(body, media_type=media_type, headers=headers)
        return _Download(self, body, media_type, headers)

    def enter(self) -> None:
        """Count a download.

        Raises:
            Unavailable: `downloads-exhausted` if the limit is reached.
        """
        if not self._free:
            raise Unavailable(
                "downloads-exhausted",
                "too many clients are downloading large lists at this moment",
                hint="try again in half a minute",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._free -= 1

    def leave(self) -> None:
        """Count a download less."""
        self._free += 1


class _Download(Response):
    """Sends a body piece by piece; it is counted from before the first piece until it ends or fails."""

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
