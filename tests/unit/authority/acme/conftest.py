"""An authority that has a gateway's orders filled by a strict ACME server, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from doorward.access import policies
from doorward.authority.acme.filling import AcmeFilling
from doorward.authority.acme.ports import AcmeAnswer, AcmeOptions, AcmeRefusal
from doorward.authority.acme.renewal import ask_for_windows
from doorward.authority.acme.showing import list_http_challenges
from doorward.authority.orders import OrderRequest, order_status, place_orders
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr
from doorward.policy.server_certificates import CertificateSource, CertifiedBy
from doorward.stores.acme_protocols import AcmeChallengeRecord, AcmeOrderRecord
from doorward.wire.acme import ChallengeKind
from tests.support.acme_server import AcmeServer
from tests.support.world import OPERATOR, World, found_world

HOST = "shop.corp.example"
DOCUMENT = """\
trust_domain: corp.example
apps:
  shop:
    hosts: [shop.corp.example]
    upstream: http://127.0.0.1:9000
    certificates: {from: acme}
"""


class Killed(BaseException):
    """The process ends here."""


@dataclass
class DirectTransport:
    """Calls the server; `down` makes it unreachable, `before` sees each request."""

    server: AcmeServer
    down: bool = False
    lost_at: int = 0  # which request from now on gets no answer
    killed_at: int = 0  # which request from now on ends the process; 0 is none
    others: dict[str, AcmeServer] = field(default_factory=dict)  # further servers, by their host and port
    spend: Callable[[str, float], None] = lambda _url, _seconds: None  # before each request; may take time

    def send(self, method: str, url: str, body: bytes | None = None, *, seconds: float) -> AcmeAnswer:
        self.spend(url, seconds)
        self.lost_at -= 1
        if self.down or self.lost_at == 0:
            raise AcmeRefusal("acme-unreachable", "the server cannot be reached", is_network=True)
        self.killed_at -= 1
        if self.killed_at == 0:
            raise Killed
        media_type = "application/jose+json" if body is not None else ""
        server = self.others.get(urlsplit(url).netloc, self.server)
        status, fields, data = server.answer(method, urlsplit(url).path, body or b"", media_type)
        return AcmeAnswer(status=status, fields={key.lower(): one for key, one in fields.items()}, body=data)


@dataclass
class ListProver:
    """Notes what is shown."""

    shown: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)

    def present(self, challenge: AcmeChallengeRecord) -> None:
        self.shown.append(challenge.host)

    def withdraw(self, challenge: AcmeChallengeRecord) -> None:
        self.withdrawn.append(challenge.host)


@dataclass
class Site:
    """What a test holds."""

    world: World
    server: AcmeServer
    transport: DirectTransport
    prover: ListProver
    filling: AcmeFilling

    def order(
        self,
        hosts: tuple[str, ...] = (HOST,),
        *,
        purpose: str = "",
        directory: str = "",
        gateway: str = "gateway",
    ) -> str:
        """Order as a gateway does; return the order's id."""
        services = self.world.services
        key = services.factory.generate(KeyKind.P256)
        source = CertificateSource(by=CertifiedBy.ACME, directory=directory)
        purpose = purpose or self.world.application_id("shop")
        csr = build_csr(key, hosts[0], dns=hosts)
        request = OrderRequest(purpose=purpose, hosts=hosts, csr=csr, source=source)
        (placed,) = place_orders(services, self.world.gateway(gateway).id, [request])
        return placed.id

    def apply(self, text: str) -> None:
        policies.apply_document(self.world.services, text, file="test.yaml", actor=OPERATOR)

    def record(self, order_id: str) -> AcmeOrderRecord:
        """Return the record of an order."""
        with self.world.services.work.read() as stores:
            return stores.acme.orders([order_id])[order_id]

    def chain(self, order_id: str) -> list[x509.Certificate]:
        """Return what the gateway gets."""
        status = order_status(self.world.services, order_id)
        return [x509.load_der_x509_certificate(one) for one in status.chain_der]

    def filled(self, order_id: str) -> bool:
        return bool(order_status(self.world.services, order_id).chain_der)

    def make(self, *, is_alone: bool = False, **options: object) -> AcmeFilling:
        """Return another process of the authority, with other options."""
        services = self.world.services

        def wait(seconds: float) -> None:
            self.world.clock.turn(seconds=seconds)

        told = AcmeOptions(**{"directory": self.server.directory, **options})  # type: ignore[arg-type]
        provers = dict.fromkeys(ChallengeKind, self.prover)
        self.filling = AcmeFilling(services, told, self.transport, provers, wait, is_alone=is_alone)
        return self.filling

    def ask(self) -> None:
        """Ask for renewal windows."""
        filling = self.filling
        ask_for_windows(self.world.services, filling.accounts, filling.pauses, self.server.directory)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A founded authority with one application, and a server that asks it over nothing."""
    world = found_world()
    server = AcmeServer(tmp_path, now=world.clock.now)
    server.look_up = lambda token: next(
        (one.authorization for one in list_http_challenges(world.services) if one.token == token), None
    )
    made = Site(world, server, DirectTransport(server), ListProver(), None)  # type: ignore[arg-type]
    made.make()
    made.apply(DOCUMENT)
    return made
