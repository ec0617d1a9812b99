"""Slow readers of a large revocation list cost little memory, and delay no other client."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from doorward.authority import founding
from doorward.authority.status.crls import publish_crls
from doorward.storage.unit_of_work import SqlUnitOfWork
from doorward.stores.records import AuthorityKind, CrlRecord
from doorward.stores.services import Services
from doorward.web import protocol
from doorward.web.app import build_status_app
from doorward.web.downloads import PIECE_BYTES
from doorward.web.ocsp import OcspSurface
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import UseCasePool
from doorward.web.serving import TcpAddress, WebServer
from tests.support.doorway import eventually
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys
from tests.support.sql_store import sql_work, sqlite_database

LIST_BYTES = 16 * 1024 * 1024
"""More than the kernel keeps for a peer that does not read."""

READERS = 24


@dataclass(frozen=True, kw_only=True)
class Site:
    """A status listener over a real database that holds a large list."""

    server: WebServer
    work: SqlUnitOfWork
    crl: CrlRecord

    def connect(self) -> socket.socket:
        """A peer with as little room for what it does not read as the kernel allows."""
        assert isinstance(self.server.address, TcpAddress)
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.settimeout(60)
        peer.connect((self.server.address.host, self.server.address.port))
        return peer

    def begin(self, more: str = "") -> socket.socket:
        """A peer that asked for the list, got the first line and reads no further."""
        peer = self.connect()
        peer.sendall(f"GET /crl/{self.crl.authority_id}.crl HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        assert peer.recv(12) == b"HTTP/1.1 200"
        return peer

    def ask(self, path: str, *fields: str) -> bytes:
        """The whole answer to a GET."""
        with self.connect() as peer:
            lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *fields, "", ""]
            peer.sendall("\r\n".join(lines).encode())
            return read_all(peer)

    def replace_list(self) -> None:
        """Publish another list."""
        with self.work.change() as stores:
            newest = stores.status.crl(self.crl.authority_id)
            assert newest is not None
            newer = replace(newest, number=newest.number + 1, der=os.urandom(LIST_BYTES))
            stores.status.store_crl(newer)


def read_all(peer: socket.socket) -> bytes:
    """Everything until the server closes or resets."""
    parts = []
    with suppress(ConnectionResetError):
        while part := peer.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


@contextmanager
def open_site(folder: Path, *, downloads: int) -> Iterator[Site]:
    """Found an authority in a database and serve its status."""
    database = sqlite_database(folder)
    work = sql_work(database)
    services = Services(
        work=work, clock=FakeClock(), random=FakeRandom(), factory=PlainKeys(), keys=MemoryKeyStore()
    )
    founding.found(services, trust_domain="corp.example", status_url="http://pki.corp.example", actor="os:0")
    publish_crls(services)
    with work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
        assert issuing is not None
        crl = stores.status.crl(issuing.id)
    assert crl is not None
    pool = UseCasePool(workers=4)
    app = build_status_app(services, pool, downloads=downloads)
    ocsp = partial(OcspProtocol, OcspSurface(services, pool))
    server = WebServer(app, TcpAddress(host="127.0.0.1", port=0), name="status", protocol=ocsp)
    site = Site(server=server, work=work, crl=crl)
    site.replace_list()
    server.start()
    try:
        yield site
    finally:
        server.stop()
        pool.close()
        database.close()


def copies() -> int:
    """How many blocks of memory as large as the list there are."""
    return sum(trace.size >= LIST_BYTES // 2 for trace in tracemalloc.take_snapshot().traces)


def test_many_slow_readers_share_one_copy(tmp_path: Path) -> None:
    """However many read a list slowly there is one copy of it, and one of each older list that is still read."""
    with open_site(tmp_path, downloads=READERS) as site, ExitStack() as peers:
        tracemalloc.start()
        try:
            for _ in range(READERS - 1):
                peers.enter_context(site.begin())
            assert eventually(lambda: copies() == 1)
            held, _ = tracemalloc.get_traced_memory()
            # Each holds two pieces at most, and the kernel the rest of what was sent.
            assert held < LIST_BYTES + READERS * 4 * PIECE_BYTES
            site.replace_list()
            peers.enter_context(site.begin())
            assert eventually(lambda: copies() == 2)
            peers.close()
            assert eventually(lambda: copies() == 1)
        finally:
            tracemalloc.stop()


def test_readers_beyond_the_places_wait_and_others_do_not(tmp_path: Path) -> None:
    """If all places are taken, a list is answered by 503 with a time to come back; OCSP, certificates and health go on."""
    with open_site(tmp_path, downloads=3) as site, ExitStack() as peers:
        slow = [peers.enter_context(site.begin("Connection: close\r\n")) for _ in range(3)]
        refused = site.ask(f"/crl/{site.crl.authority_id}.crl")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 30\r\n" in refused
        assert b"downloads-exhausted" in refused
        for path in ("/ocsp/AAAA", f"/ca/{site.crl.authority_id}.cer", "/healthz"):
            assert site.ask(path).startswith(b"HTTP/1.1 200 "), path
        head, _, body = read_all(slow[0]).partition(b"\r\n\r\n")
        assert len(body) == LIST_BYTES
        tag = next(line for line in head.split(b"\r\n") if line.startswith(b"etag: ")).decode()[6:]
        known = site.ask(f"/crl/{site.crl.authority_id}.crl", f"If-None-Match: {tag}")
        assert known.startswith(b"HTTP/1.1 304 ")
        assert known.endswith(b"\r\n\r\n")
        peers.enter_context(site.begin())


def test_a_slow_reader_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time of a download is over its place is free, though the reader took a little now and then."""
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 6.0)
    with open_site(tmp_path, downloads=1) as site, site.begin() as slow:
        path = f"/crl/{site.crl.authority_id}.crl"
        assert site.ask(path).startswith(b"HTTP/1.1 503 ")
        taken = 0

        def is_free() -> bool:
            nonlocal taken
            taken += len(slow.recv(1024))
            return site.ask(path).startswith(b"HTTP/1.1 200 ")

        assert eventually(is_free)
        assert taken + len(read_all(slow)) < LIST_BYTES
