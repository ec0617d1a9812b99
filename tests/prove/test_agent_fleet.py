"""A fleet of agents over a year: real agents, the real enrolment host and its database, one clock that is turned by hand.

Each agent has its folder and its own state; requests go through the web surface in this process, without sockets. The host
is away for two days in between. `DOORWARD_FLEET` is the number of agents. The host's wish for the next report is lengthened, because a year has 1,460 reports an agent.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.identity_condition import read_condition
from doorward.agent.keeper import Keeper
from doorward.agent.link import Server
from doorward.agent.options import IdentityOptions, Machine
from doorward.agent.renewal import Exchange
from doorward.agent.store import CERTIFICATE, CHAIN, ROOT, SERVER, IdentityFolder
from doorward.agent.transport import Response
from doorward.authority import founding, issuing
from doorward.authority.inventory import root_certificate
from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.core.ports import KeyKind
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr
from doorward.web.app import build_enrolment_app
from doorward.web.pool import UseCasePool
from tests.support.certificates.issuing import pem_of
from tests.support.ports import NOON, PlainKeys
from tests.support.renewal_server import pair_of
from tests.support.sql_store import sql_work, sqlite_database
from tests.support.world import OPERATOR, STATUS_URL, World, empty_world, operator_claim

T = TypeVar("T")
AGENTS = int(os.environ.get("DOORWARD_FLEET", "1000"))
DAYS = 365
LIFE = timedelta(days=90)
AWAY = (NOON + timedelta(days=60), NOON + timedelta(days=62))
"""In the middle of the first renewals of the whole fleet, which was enrolled in one day."""


class Inline(UseCasePool):
    """A pool that runs a use case in the caller's thread: everything here is one after the other anyway."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run it."""
        return work()


class Fleet:
    """The host, the agents, and what was seen."""

    def __init__(self, folder: Path, pool: UseCasePool) -> None:
        world = empty_world(World)
        self.clock = world.clock
        self.services = replace(
            world.services, work=sql_work(sqlite_database(folder)), lifetimes={"device": LIFE}
        )
        founding.found(self.services, trust_domain="corp.example", status_url=STATUS_URL, actor=OPERATOR)
        self._app = build_enrolment_app(self.services, pool, origin="https://enroll.corp.example")
        self._loop = asyncio.new_event_loop()
        self.renewals: Counter[int] = Counter()
        self.requests: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.keepers = [
            self._enrol(folder / f"agent-{number}", f"sensor-{number}") for number in range(AGENTS)
        ]

    def _enrol(self, folder: Path, name: str) -> Keeper:
        principal = add_principal(self.services, PrincipalKind.DEVICE, name, groups=(), actor=OPERATOR)
        identity = IdentityFolder(folder)
        key = identity.begin(lambda: PlainKeys().generate(KeyKind.P256))
        issued = issuing.issue(self.services, build_csr(key, name), operator_claim(principal.value))
        leaf, *issuers = map(x509.load_der_x509_certificate, issued.chain_der)
        root = x509.load_der_x509_certificate(root_certificate(self.services).der)
        files = {
            ROOT: pem_of(root),
            CHAIN: pem_of(leaf, *issuers),
            CERTIFICATE: leaf.public_bytes(Encoding.PEM),
        }
        identity.finish({**files, SERVER: b"https://enroll.corp.example"})
        self.clock.turn(seconds=86400 / AGENTS)
        machine = Machine(
            clock=self.clock,
            random=self.services.random,
            factory=PlainKeys(),
            run=lambda *_, **__: pytest.fail("no command is configured"),
            send=self._send,
            facts={"host_name": name},
        )
        return Keeper(IdentityOptions(directory=folder), machine)

    def _send(self, _server: Server, _roots: tuple[x509.Certificate, ...], exchange: Exchange) -> Response:
        now = self.clock.now()
        hour = int((now - NOON) / timedelta(hours=1))
        if AWAY[0] <= now < AWAY[1]:
            raise Unavailable("server-unreachable", "the host is away")
        self.requests[hour] += 1
        status, media, body = self._loop.run_until_complete(self._ask(exchange))
        if status >= 400:
            self.refused[json.loads(body)["code"]] += 1
        elif exchange.path == "/renew":
            self.renewals[hour] += 1
        elif exchange.path == "/renew/report":
            body = json.dumps({**json.loads(body), "check_again_seconds": 7 * 86400}).encode()
        return Response(status=status, media_type=media, body=body)

    async def _ask(self, exchange: Exchange) -> tuple[int, str, bytes]:
        """Give a request to the web surface as its server does (ASGI); return status, media type and body."""
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": exchange.body or b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(dict(message))

        headers = [(b"accept", exchange.accept.encode()), (b"content-type", b"application/json")]
        headers += [
            (b"content-length", str(len(exchange.body or b"")).encode()),
            (b"host", b"enroll.corp.example"),
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": exchange.method,
            "scheme": "https",
            "path": exchange.path,
            "raw_path": exchange.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("192.0.2.1", 1),
            "server": ("enroll.corp.example", 443),
        }
        await self._app(scope, receive, send)
        start = said[0]
        media = dict(start["headers"]).get(b"content-type", b"").decode().partition(";")[0]
        return start["status"], media, b"".join(one.get("body", b"") for one in said[1:])

    def close(self) -> None:
        """End the loop of the surface."""
        self._loop.close()

    def live(self) -> None:
        """Step each agent at the time that it named, for a year."""
        wakes = [(self.clock.now(), number) for number in range(AGENTS)]
        ends = {number: self._end_of(number) for number in range(AGENTS)}
        heapq.heapify(wakes)
        while wakes[0][0] < NOON + timedelta(days=DAYS):
            wake, number = heapq.heappop(wakes)
            self.clock.turn(seconds=max(0.0, (wake - self.clock.now()).total_seconds()))
            assert self.clock.now() < ends[number], f"agent {number} has no valid certificate"
            before = self.renewals.total()
            heapq.heappush(wakes, (self.keepers[number].step(self.clock.now()), number))
            if self.renewals.total() > before:
                ends[number] = self._end_of(number)

    def _end_of(self, number: int):
        condition = read_condition(self.keepers[number].options.directory, self.clock.now())
        assert condition.ends_at is not None
        return condition.ends_at


@pytest.mark.timeout(3600)
def test_a_year_of_a_fleet() -> None:
    """No agent is without a valid certificate at any time; renewals are spread; no request is refused."""
    began = time.monotonic()
    logging.getLogger("doorward.agent").setLevel(logging.ERROR)
    pool = Inline(workers=1)
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        fleet = Fleet(Path(name), pool)
        try:
            fleet.live()
            fleet.close()
            serials = {pair_of(one.options.directory)[1] for one in fleet.keepers}
            with fleet.services.work.read() as stores:
                states = stores.certificates.counts()
        finally:
            pool.close()
    total = fleet.renewals.total()
    busiest = fleet.renewals.most_common(1)[0]
    print(
        f"{AGENTS} agents, {DAYS} days: {total} renewals, {fleet.requests.total()} requests; busiest hour {busiest[0]} with "
        f"{busiest[1]} renewals; refused {dict(fleet.refused)}; {time.monotonic() - began:.0f} s"
    )
    assert len(serials) == AGENTS
    assert not fleet.refused
    assert total == states[CertificateState.VALID.value] - AGENTS
    # Five or six lives of about 60 days.
    assert 5 * AGENTS <= total <= 6 * AGENTS
    # All were enrolled in one day. The first renewals are spread over six days, of which two were lost; the third of the
    # fleet that waited comes back within the longest pause.
    assert busiest[1] <= AGENTS / 8 + 10


if __name__ == "__main__":
    test_a_year_of_a_fleet()
