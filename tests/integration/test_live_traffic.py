"""Live traffic through changes that take nothing from anybody: a WebSocket, an event stream and an upload go on."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from doorward.directory.principals import add_member, create_group
from doorward.gateway.publishing import server_pairs
from tests.support.doorway import (
    ACTOR,
    DOMAIN,
    Doorway,
    Identity,
    Session,
    eventually,
    open_doorway,
    render_document,
)

UPGRADE = (
    f"GET /live HTTP/1.1\r\nHost: app.{DOMAIN}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
EVENTS = f"GET /events HTTP/1.1\r\nHost: app.{DOMAIN}\r\n\r\n"
UPLOAD = f"POST /take HTTP/1.1\r\nHost: app.{DOMAIN}\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"400\r\n" + b"x" * 1024 + b"\r\n"
RULES = (
    "- {allow: {groups: [staff]}, to: {paths: [/live, /events, /take, /kept]}}\n"
    "- {allow: {groups: [more]}, to: {paths: [/gained]}}\n"
)


MOST = 8


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A door with two applications, and a drain that would end before a test does."""
    with open_doorway(settings={"drain_time": "1s", "max_connections_per_principal": MOST}) as opened:
        opened.apply_document(document(opened))
        create_group(opened.services, "more", actor=ACTOR)
        yield opened


def document(door: Doorway, *, hosts: str = "", others: str = "") -> str:
    """The policy; `hosts` are more hosts of the application that is used, `others` of the other one."""
    return render_document(
        door.app("app", RULES, hosts=f"app.{DOMAIN}{hosts}"),
        door.app("other", RULES, hosts=f"other.{DOMAIN}{others}"),
    )


@dataclass
class Traffic:
    """The open connections of one person."""

    web_socket: ssl.SSLSocket
    events: ssl.SSLSocket
    upload: ssl.SSLSocket
    kept: Session

    def goes_on(self, rounds: int = 3) -> None:
        """See that every stream brings something new, and that the upload is taken."""
        for _ in range(rounds):
            for stream in (self.web_socket, self.events):
                assert stream.recv(65536)
            self.upload.sendall(PIECE)
            assert self.kept.request("GET", "/kept").status == 200

    def finish(self) -> None:
        """End the upload, and see that the application had all of it."""
        self.upload.sendall(b"0\r\n\r\n")
        assert self.upload.recv(65536).startswith(b"HTTP/1.1 200")


@contextlib.contextmanager
def traffic(door: Doorway, who: Identity) -> Iterator[Traffic]:
    """Open everything."""
    with contextlib.ExitStack() as stack:
        streams = []
        for head, status in ((UPGRADE, b"101"), (EVENTS, b"200"), (UPLOAD, b"")):
            stream = stack.enter_context(door.connect(who))
            stream.sendall(head.encode())
            if status:
                assert stream.recv(65536).startswith(b"HTTP/1.1 " + status)
            streams.append(stream)
        kept = stack.enter_context(door.session(who))
        opened = Traffic(*streams, kept)
        opened.goes_on()
        yield opened


def test_a_gained_group_ends_nothing_and_works_at_once(door: Doorway) -> None:
    """A person who joins a group has the new right on the connection that is open, without a new one."""
    alice = door.person("alice", "staff")
    with traffic(door, alice) as live:
        assert live.kept.request("GET", "/gained").status == 403
        add_member(door.services, "more", "alice", actor=ACTOR)
        assert eventually(lambda: live.kept.request("GET", "/gained").status == 200)
        live.goes_on()
        live.finish()


def test_a_gain_is_one_persons(door: Doorway) -> None:
    """Another of the same class, admitted by the same grants, gets nothing by it; nor does a later connection."""
    dave, erin = door.person("dave", "staff"), door.person("erin", "staff")
    with door.session(dave) as one, door.session(erin) as other:
        assert one.request("GET", "/kept").status == other.request("GET", "/kept").status == 200
        add_member(door.services, "more", "dave", actor=ACTOR)
        assert eventually(lambda: one.request("GET", "/gained").status == 200)
        assert other.request("GET", "/gained").status == 403
        with door.session(erin) as later:
            assert later.request("GET", "/gained").status == 403


def test_a_host_of_another_application_ends_nothing(door: Doorway) -> None:
    """Chains are by application: a change of one ends no stream of another, also after the drain."""
    carol = door.person("carol", "staff")
    with traffic(door, carol) as live:
        door.apply_document(document(door, others=f", second.{DOMAIN}"))
        assert door.get(carol, "/kept", app="second").status == 200
        ended = door.services.clock.monotonic() + 3
        while door.services.clock.monotonic() < ended:
            live.goes_on()
        live.finish()


def test_a_host_of_the_same_application_ends_nothing(door: Doorway) -> None:
    """The new host is another name for the same chain: no stream of the application ends, and both hosts answer."""
    grace = door.person("grace", "staff")

    def answers() -> bool:
        with contextlib.suppress(OSError):  # its certificate comes a moment later
            return door.get(grace, "/kept", app="third").status == 200
        return False

    with traffic(door, grace) as live:
        door.apply_document(document(door, hosts=f", third.{DOMAIN}"))
        assert eventually(answers)
        ended = door.services.clock.monotonic() + 3
        while door.services.clock.monotonic() < ended:
            live.goes_on()
        live.finish()


def test_a_renewed_server_certificate_ends_nothing(door: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections get the new certificate; open ones go on, because Envoy's chain is the same."""
    frank = door.person("frank", "staff")

    def shown() -> bytes | None:
        with door.connect(frank) as one:
            return one.getpeercert(binary_form=True)

    with traffic(door, frank) as live:
        before = shown()
        monkeypatch.setattr(server_pairs, "renewal_time", lambda begin, _end, _key: begin)
        door.gateway.publishing.requests.order_changed()
        assert eventually(lambda: shown() != before)
        monkeypatch.undo()
        ended = door.services.clock.monotonic() + 3
        while door.services.clock.monotonic() < ended:
            live.goes_on()
        live.finish()


def test_one_principal_has_a_share_of_an_address(door: Doorway) -> None:
    """A person with as many connections as allowed gets no more; another person at the same address does."""
    heidi, ivan = door.person("heidi", "staff"), door.person("ivan", "staff")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(door.session(heidi)) for _ in range(MOST)]
        assert {one.request("GET", "/kept").status for one in held} == {200}
        with pytest.raises(OSError):
            door.get(heidi, "/kept")
        assert door.get(ivan, "/kept").status == 200
        assert {one.request("GET", "/kept").status for one in held} == {200}
    assert eventually(lambda: door.lets_in(heidi, "/kept"))
