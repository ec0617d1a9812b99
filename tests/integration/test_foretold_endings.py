"""What a change of the document ends, and that `doorward diff` had said so: live WebSockets of two applications.

Not here: a renewed server certificate, which changes no document (test_live_traffic).
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.support.doorway import DOMAIN, Doorway, open_doorway, render_document

DRAIN_SECONDS = 1
PATIENCE_SECONDS = 30.0
ENDS = "all connections to {} end"


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A door before `pay` and `wiki`, and alice, who may use both."""
    settings = {"drain_time": f"{DRAIN_SECONDS}s"}
    with open_doorway(settings=settings, quick=False) as opened:  # commands open its key store
        opened.apply_document(document(opened))
        opened.person("alice", "staff")
        yield opened


def document(
    door: Doorway, *, hosts: str = "", more: Sequence[str] = (), without: str = "", **of_pay: str
) -> str:
    """The document: `hosts` and `of_pay` change `pay`, `more` are added, and one may be left out."""
    pay = door.app("pay", hosts=f"pay.{DOMAIN}{hosts}", **of_pay)
    apps = {"pay": pay, "wiki": door.app("wiki"), **{one: door.app(one) for one in more}}
    return render_document(*(text for name, text in apps.items() if name != without))


def foretold(door: Doorway, text: str) -> str:
    """What `doorward diff` says of endings, on one line."""
    path = door.folder / "next.yaml"
    path.write_text(text, encoding="utf-8")
    said = door.command("diff", "-f", str(path))
    assert said.exit_code in {0, 1}, said.output
    return " ".join(said.output.split())


@contextlib.contextmanager
def web_sockets(door: Doorway) -> Iterator[dict[str, ssl.SSLSocket]]:
    """Hold a WebSocket to each application open; the application sends something on it many times a second."""
    with contextlib.ExitStack() as stack:
        held = {}
        for app in ("pay", "wiki"):
            held[app] = stack.enter_context(door.connect(door.identities["alice"], app=app))
            fields = (
                f"Host: {door.host(app)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            )
            held[app].sendall(f"GET /live HTTP/1.1\r\n{fields}\r\n".encode())
            assert held[app].recv(65536).startswith(b"HTTP/1.1 101")
        yield held


def ended(held: dict[str, ssl.SSLSocket], awaited: set[str]) -> set[str]:
    """Read from all until the awaited ones end, then for the time of a drain, and return which ended."""
    gone: set[str] = set()
    limit = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < limit:
        if awaited <= gone:
            limit, awaited = time.monotonic() + DRAIN_SECONDS + 2, {"none more"}
        for app in held.keys() - gone:
            try:
                lives = bool(held[app].recv(65536))
            except OSError:
                lives = False
            if not lives:
                gone.add(app)
    return gone


def ends_of(door: Doorway, text: str, *awaited: str) -> tuple[str, set[str]]:
    """Return what was said of the endings of a change, and which WebSockets it ended; then the former document is back.

    The WebSockets of `awaited` should end; any others have the time of a drain to do so.
    """
    said = foretold(door, text)
    with web_sockets(door) as held:
        door.apply_document(text)
        gone = ended(held, set(awaited))
    door.apply_document(document(door))
    return said, gone


def test_a_host_more_ends_none(door: Doorway) -> None:
    """A host of an application is not in its chain; nothing is said, and nothing ends."""
    said, gone = ends_of(door, document(door, hosts=f", money.{DOMAIN}"))
    assert "connections" not in said
    assert gone == set()


def test_an_application_more_ends_none(door: Doorway) -> None:
    """The others' chains stay, and so do their connections."""
    said, gone = ends_of(door, document(door, more=["mail"]))
    assert "connections" not in said
    assert gone == set()


def test_an_application_less_ends_its_own(door: Doorway) -> None:
    """Its connections end at once, those of the other go on, and both was said."""
    said, gone = ends_of(door, document(door, without="pay"), "pay")
    assert ENDS.format("pay") in said
    assert "wiki" not in said
    assert gone == {"pay"}


def test_another_way_to_refuse_ends_its_own(door: Doorway) -> None:
    """What is in a chain (here the handshake) drains the connections of its application, and this was said."""
    said, gone = ends_of(door, document(door, on_refusal="page"), "pay")
    assert f"{ENDS.format('pay')} within" in said
    assert gone == {"pay"}
