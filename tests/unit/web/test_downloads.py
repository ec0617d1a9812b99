"""Large answers count against the limit, small ones do not, and every count is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from doorward.core.errors import Unavailable
from doorward.web.downloads import MAX_DOWNLOADS, PIECE_BYTES, RETRY_SECONDS, Downloads
from doorward.web.serving import MAX_CONNECTIONS

LARGE = b"x" * (3 * PIECE_BYTES + 1)
Sender = Callable[[Message], Awaitable[None]]


def request(method: str = "GET") -> Request:
    """A request of that method."""
    return Request({"type": "http", "method": method, "headers": []})


async def silent() -> Message:
    """A peer that says nothing."""
    return {"type": "http.disconnect"}


def start(downloads: Downloads, body: bytes, send: Sender, method: str = "GET") -> Awaitable[None]:
    """Begin to answer."""
    answer = downloads.answer(request(method), body, "application/pkix-crl", {"ETag": '"1"'})
    return answer(request(method).scope, silent, send)


class Reader:
    """Takes what is sent; a slow one waits after the first piece until it may continue."""

    def __init__(self, *, slow: bool = False) -> None:
        self.messages: list[Message] = []
        self.goes_on = asyncio.Event()
        if not slow:
            self.goes_on.set()

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        if message.get("more_body"):
            await self.goes_on.wait()

    @property
    def body(self) -> bytes:
        """What came."""
        return b"".join(one.get("body", b"") for one in self.messages)

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The header fields."""
        return dict(self.messages[0]["headers"])


def test_a_large_body_comes_in_pieces_and_whole() -> None:
    """No piece is larger than the buffer that a slow reader may fill; the length is said ahead."""

    async def run() -> None:
        reader = Reader()
        await start(Downloads(1), LARGE, reader)
        assert reader.body == LARGE
        assert reader.fields[b"content-length"] == str(len(LARGE)).encode()
        assert reader.fields[b"etag"] == b'"1"'
        assert max(len(one.get("body", b"")) for one in reader.messages) == PIECE_BYTES
        assert not reader.messages[-1].get("more_body")

    asyncio.run(run())


def test_beyond_the_places_readers_are_told_to_come_back() -> None:
    """A place is taken from the first byte to the last; small answers and HEAD need none."""

    async def run() -> None:
        downloads = Downloads(2)
        slow = [Reader(slow=True) for _ in range(2)]
        tasks = [asyncio.ensure_future(start(downloads, LARGE, one)) for one in slow]
        await asyncio.sleep(0)
        late = Reader()
        with pytest.raises(Unavailable) as caught:
            await start(downloads, LARGE, late)
        assert caught.value.code == "downloads-exhausted"
        assert caught.value.context["retry_after_seconds"] == RETRY_SECONDS
        assert late.messages == []  # nothing was begun, so that the edge can still answer 503
        for body, method in ((b"x" * PIECE_BYTES, "GET"), (LARGE, "HEAD")):
            other = Reader()
            await start(downloads, body, other, method)
            assert other.fields[b"content-length"] == str(len(body)).encode()
        slow[0].goes_on.set()
        await tasks[0]
        await start(downloads, LARGE, late)
        assert late.body == LARGE
        slow[1].goes_on.set()
        await tasks[1]

    asyncio.run(run())


@pytest.mark.parametrize("ends", [ConnectionResetError, asyncio.CancelledError])
def test_a_reader_that_goes_away_gives_its_place_back(ends: type[BaseException]) -> None:
    """However an answer ends, the next one may begin."""

    async def broken(message: Message) -> None:
        if message.get("more_body"):
            raise ends

    async def run() -> None:
        downloads = Downloads(1)
        for _ in range(3):
            with pytest.raises(ends):
                await start(downloads, LARGE, broken)
        await start(downloads, LARGE, Reader())

    asyncio.run(run())


def test_downloads_leave_connections_to_others() -> None:
    """When all places are taken, half of the connections are still there for OCSP."""
    assert MAX_DOWNLOADS * 2 <= MAX_CONNECTIONS
