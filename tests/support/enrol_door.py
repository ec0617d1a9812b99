"""A founded authority behind a real TLS listener: the enrolment host as clients meet it, without Envoy.

    with enrolment_door() as door:
        link = door.link("alice")          # an Invitation's link to https://enroll.localhost:PORT
        door.world                         # the authority behind it

The web surface runs under its real server on a unix socket; before it stands a TLS terminator of a few
lines with a server certificate by the authority, as the gateway has one. Time is the real time,
standing still: OpenSSL and curl look at their own clocks.
"""

from __future__ import annotations

import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.link import Link
from doorward.authority import founding, orders
from doorward.authority.inventory import root_certificate
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.web.app import build_enrolment_app
from doorward.web.pool import UseCasePool
from doorward.web.serving import SocketPath, WebServer
from tests.support.certificates.issuing import key_pem_of, pem_of
from tests.support.ports import PlainKeys
from tests.support.world import OPERATOR, STATUS_URL, World, empty_world

HOST = "enroll.localhost"


class Front:
    """Accepts connections on a free port of 127.0.0.1 and hands each to `serve`, in threads."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self.connections += 1
                self._threads.append(threading.Thread(target=self._answer, args=(peer,)))
                self._threads[-1].start()

    def _answer(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            peer.settimeout(10)
            self._serve(peer)

    def close(self) -> None:
        """Take no more connections, and wait for those that are served."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join(15)
        self._listener.close()


def tls(certificate: Path, serve: Callable[[ssl.SSLSocket], None]) -> Callable[[socket.socket], None]:
    """Return what serves a connection under TLS, with the key and chain of a PEM file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer(peer: socket.socket) -> None:
        with context.wrap_socket(peer, server_side=True) as secure:
            serve(secure)

    return answer


def copy_both_ways(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes until one side ends."""
    sides = {one: other, other: one}
    while True:
        waiting = [side for side in sides if isinstance(side, ssl.SSLSocket) and side.pending()]
        for side in waiting or select.select(list(sides), [], [], 10)[0] or [None]:
            data = side.recv(65536) if side else b""
            if not data or not side:
                return
            sides[side].sendall(data)


@dataclass
class Door:
    """A running enrolment host and the authority behind it."""

    world: World
    front: Front
    folder: Path

    @property
    def root(self) -> x509.Certificate:
        """The root certificate."""
        return x509.load_der_x509_certificate(root_certificate(self.world.services).der)

    def link(self, name: str = "alice", *, host: str = HOST, pin: str = "") -> Link:
        """Invite somebody and return the link."""
        token = invite(self.world.services, name, actor=OPERATOR).token
        root = sha256(self.root.public_bytes(Encoding.DER)).hexdigest()
        return Link(host=host, port=self.front.port, token=token, root_sha256=pin or root)


def write_server_certificate(world: World, path: Path, host: str = HOST) -> None:
    """Order and issue a server certificate as a gateway does; write it with its key."""
    gateway = world.gateway()
    key = PlainKeys().generate(KeyKind.P256)
    order = orders.place_order(world.services, gateway.id, "enrolment", [host], build_csr(key, host, [host]))
    chain = orders.fill_order(world.services, order.id, actor=OPERATOR).chain_der
    pem = key_pem_of(key)
    pem += pem_of(*map(x509.load_der_x509_certificate, chain))
    path.write_bytes(pem)


def real_time_world() -> World:
    """A founded authority of the trust domain `localhost`, with alice, at the present moment."""
    world = empty_world()
    world.clock.present = datetime.now(UTC).replace(microsecond=0)
    founding.found(world.services, trust_domain="localhost", status_url=STATUS_URL, actor=OPERATOR)
    add_principal(world.services, PrincipalKind.PERSON, "alice", groups=(), actor=OPERATOR)
    add_principal(world.services, PrincipalKind.DEVICE, "sensor-1", groups=(), actor=OPERATOR)
    return world


@contextmanager
def enrolment_door() -> Iterator[Door]:
    """Run the enrolment host."""
    world = real_time_world()
    pool = UseCasePool(workers=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_server_certificate(world, folder / "server.pem")
        app = build_enrolment_app(world.services, pool, origin=f"https://{HOST}")
        server = WebServer(app, SocketPath(path=folder / "enrol.sock"), name="enrolment")
        server.start()
        front = Front(tls(folder / "server.pem", lambda secure: _pass_on(secure, folder / "enrol.sock")))
        try:
            yield Door(world=world, front=front, folder=folder)
        finally:
            front.close()
            server.stop()
            pool.close()


def _pass_on(secure: ssl.SSLSocket, path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as inner:
        inner.connect(str(path))
        copy_both_ways(secure, inner)
