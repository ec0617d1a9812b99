"""A revocation is in every OCSP answer that is asked for after it, while many clients ask over kept connections."""

from __future__ import annotations

import http.client
import threading
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from doorward.authority import founding, issuing, revocation
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.stores.services import Services
from doorward.web.app import build_status_app
from doorward.web.ocsp import OcspSurface
from doorward.web.ocsp_protocol import OcspProtocol
from doorward.web.pool import UseCasePool
from doorward.web.serving import TcpAddress, WebServer
from tests.support.ocsp_listener import OCSP_TYPE, ocsp_request
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys
from tests.support.sql_store import sql_work, sqlite_database

CLIENTS, ROUNDS = 8, 3
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


class Clients:
    """Threads that ask about one certificate as fast as they can; some of them with a nonce."""

    def __init__(self, port: int, chain: tuple[bytes, bytes]) -> None:
        self.withdrawn = threading.Event()
        self.wrong: list[str] = []
        self.before = threading.Semaphore(0)
        self.after = threading.Semaphore(0)
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(port, ocsp_request(*chain, nonce=nonce)), daemon=True)
            for nonce in [None, b"0123456789abcdef"] * (CLIENTS // 2)
        ]

    def __enter__(self) -> Self:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for one in self._threads:
            one.join(30)

    def wait(self, which: threading.Semaphore) -> None:
        """Wait until every client may have had some answers."""
        for _ in range(20 * CLIENTS):
            assert which.acquire(timeout=60)

    def _run(self, port: int, request: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not self._stop.is_set():
            late = self.withdrawn.is_set()
            connection.request("POST", "/ocsp", request, {"Content-Type": OCSP_TYPE})
            status = ocsp.load_der_ocsp_response(connection.getresponse().read()).certificate_status
            if status is not REVOKED and (late or status is not GOOD):
                self.wrong.append(f"{status} {late}")
            (self.after if late else self.before).release()
        connection.close()


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_a_revocation_is_in_every_later_answer(tmp_path: Path, _round: int) -> None:
    """No answer to a request that was sent after the commit says good, from memory or signed for a nonce."""
    database = sqlite_database(tmp_path)
    services = Services(
        work=sql_work(database),
        clock=FakeClock(),
        random=FakeRandom(),
        factory=PlainKeys(),
        keys=MemoryKeyStore(),
    )
    founding.found(services, trust_domain="corp.example", status_url="http://pki.corp.example", actor="os:0")
    holder = add_principal(services, PrincipalKind.DEVICE, "sensor", actor="os:0").value
    claim = issuing.OperatorClaim(actor="os:0", holder=holder.id, name=holder.name)
    issued = issuing.issue(services, build_csr(ec.generate_private_key(ec.SECP256R1()), "sensor"), claim)
    pool = UseCasePool(workers=2)
    server = WebServer(
        build_status_app(services, pool),
        TcpAddress(host="127.0.0.1", port=0),
        name="status",
        protocol=partial(OcspProtocol, OcspSurface(services, pool)),
    )
    server.start()
    assert isinstance(server.address, TcpAddress)
    try:
        with Clients(server.address.port, (issued.chain_der[0], issued.chain_der[1])) as clients:
            clients.wait(clients.before)
            # Another unit of work, as another process has.
            others = Services(
                work=sql_work(database),
                clock=services.clock,
                random=services.random,
                factory=services.factory,
                keys=services.keys,
            )
            revocation.revoke(others, issued.record.id, RevocationReason.KEY_COMPROMISE, "os:0")
            clients.withdrawn.set()
            clients.wait(clients.after)
        assert clients.wrong == []
    finally:
        server.stop()
        pool.close()
        database.close()
