"""One address cannot keep the enrolment host for itself, with the real Envoy and the real kernel."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from doorward.enforcement.plan import UNDECIDED_PER_SOURCE
from doorward.pki.csr import build_csr
from tests.support.doorway import ACTOR, DOMAIN, Doorway, Session, eventually, open_doorway
from tests.support.ports import PlainKeys

HOST = f"enroll.{DOMAIN}"
FLOODER, OTHER = "127.0.0.1", "127.0.0.2"
PLACES = 3 * UNDECIDED_PER_SOURCE
PER_SECOND = 40
PATIENCE_SECONDS = 60.0
"""Shorter than `STRANGER_SECONDS`: if somebody gets in, the flood was thinned out. Usually it takes two seconds."""
FLOOD_SECONDS = 9.0
"""How long a flood that is not thinned out is watched."""
STRANGER_SECONDS = 120
"""How long this door lets a stranger be silent."""


def narrowed(resource: dict[str, Any]) -> dict[str, Any]:
    """The same door with fewer places and more patience, so that a small flood fills it for long."""
    if "transport_socket_connect_timeout" in resource:  # a filter chain
        resource["transport_socket_connect_timeout"] = f"{STRANGER_SECONDS}s"
        filters = {one["name"]: one.get("typed_config") for one in resource["filters"]}
        filters["doorward.connections"]["max_connections"] = PLACES
        options = filters["doorward.http"]["common_http_protocol_options"]
        assert {"max_connection_duration", "idle_timeout"} <= options.keys()
        options.update(max_connection_duration=f"{STRANGER_SECONDS}s", idle_timeout=f"{STRANGER_SECONDS}s")
    return resource


def client_hello(door: Doorway) -> bytes:
    """The first message of a handshake with the enrolment host."""
    outgoing = ssl.MemoryBIO()
    begun = door.context(None).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST)
    with suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    return outgoing.read()


@contextmanager
def flooded(door: Doorway) -> Iterator[None]:
    """Open connections until the door ends the first, then some each second; each says hello and nothing more."""
    held: deque[socket.socket] = deque()
    stop, full = threading.Event(), threading.Event()
    hello, ended = client_hello(door), select.poll()

    def flood() -> None:
        while not stop.wait(1 / PER_SECOND if full.is_set() else 0):
            with suppress(OSError):
                peer = socket.create_connection(("127.0.0.1", door.port), 5, source_address=(FLOODER, 0))
                held.append(peer)
                ended.register(peer, select.POLLRDHUP)
                peer.sendall(hello)
            if not full.is_set() and ended.poll(0):
                full.set()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert full.wait(30)
        yield
    finally:
        stop.set()
        thread.join(10)
        for one in held:
            one.close()


def enrols(door: Doorway, token: str) -> bool:
    """Whether a client at another address gets a certificate."""
    csr = build_csr(PlainKeys().generate(KeyKind.P256), "x")
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/pkcs10"}
    try:
        plain = socket.create_connection(("127.0.0.1", door.port), 10, source_address=(OTHER, 0))
        with plain, door.context(None).wrap_socket(plain, server_hostname=HOST) as secure:
            answer = Session(secure, HOST, door.port).request(
                "POST", "/v1/certificates", headers=fields, body=csr
            )
    except OSError:
        return False
    assert answer.status in {200, 201}, answer.body
    return True


@pytest.mark.parametrize("thinned", [True, False], ids=["as-it-is", "behind-a-balancer"])
def test_a_flood_from_one_address_keeps_no_other_out(*, thinned: bool) -> None:
    """Endless silent connections use up the connections of their own address; if all may share one address, all of them."""
    settings = {} if thinned else {"max_connections_per_source": 100_000}
    with open_doorway(settings=settings, alter=narrowed) as door:
        add_principal(door.services, PrincipalKind.PERSON, "alice", actor=ACTOR)
        token = invite(door.services, "alice", lifetime=timedelta(hours=1), actor=ACTOR).token
        with flooded(door):
            seconds = PATIENCE_SECONDS if thinned else FLOOD_SECONDS
            assert eventually(lambda: enrols(door, token), seconds) is thinned
