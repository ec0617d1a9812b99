"""An enrolment host that renews, without sockets: the client's side is tested with it, step by step.

    server = RenewalServer(clock)
    folder = server.enrolled(tmp_path / "id")     # an identity as `doorward enroll` makes it
    keeper = Keeper(IdentityOptions(directory=folder), server.machine())

It checks proofs with `pki.proof` as the real host does, and returns the same certificate for the same request key. It can
be away, slow down, refuse, and forget the answer on its way back. The real host is met in tests/integration/test_agent_door.py.
"""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.client import CHAIN_TYPE
from doorward.agent.keeper import Keeper
from doorward.agent.link import Server
from doorward.agent.options import Finished, IdentityOptions, Machine
from doorward.agent.renewal import Exchange
from doorward.agent.root_list import ROOT_LISTS_PATH
from doorward.agent.roots import ROOTS_PATH, ROOTS_TYPE, Roots
from doorward.agent.store import CERTIFICATE, CHAIN, ROOT, SERVER, IdentityFolder
from doorward.agent.transport import Response
from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.pki.keys import encode_public_key
from doorward.pki.proof import ProofUse, check_proof
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.killing import dying
from tests.support.ports import FakeClock, FakeRandom, PlainKeys

HOST = Server(host="enroll.corp.example", port=443)
PROBLEM = "application/problem+json"
LIFE = timedelta(days=90)


class RenewalServer:
    """The host.

    Args:
        clock: the server's own clock.
        life: of the certificates that it issues.
    """

    def __init__(self, clock: FakeClock, *, life: timedelta = LIFE) -> None:
        self.clock = clock
        self.life = life
        self.root = toy_ca(
            not_before=clock.now() - timedelta(days=1), not_after=clock.now() + timedelta(days=9999)
        )
        self.issuing = self.root.issuing(
            not_before=clock.now() - timedelta(days=1), not_after=clock.now() + timedelta(days=9000)
        )
        self.root_list = crl_of(self.root, number=1)
        self.last_lists: list[bytes] = []
        self.issued: dict[bytes, CertifiedKey] = {}
        self.asked: list[str] = []
        self.facts: list[dict[str, str]] = []
        self.away = False
        self.refusal: Response | None = None
        self.refused_paths: tuple[str, ...] = ("/renew", "/renew/report")
        self.lose_answers = 0
        self.stale_nonces = 0
        self.advice: dict[str, Any] = {}
        self.leaf_options: dict[str, Any] = {}
        self.commands: list[tuple[str, ...]] = []
        self.failing: dict[str, int] = {}
        self.offered: list[CertifiedKey] | None = None
        self.cross_pem = b""
        self.verified_by: tuple[x509.Certificate, ...] = ()
        self.away_paths: tuple[str, ...] = ()

    def enrolled(self, folder: Path, name: str = "alice", *, kind: KeyKind = KeyKind.P256) -> Path:
        """Make an identity as an enrolment does."""
        identity = IdentityFolder(folder)
        key = identity.begin(lambda: PlainKeys().generate(kind))
        leaf = self.issue(key.public_key(), name)
        files = {ROOT: self.root.pem, CHAIN: leaf.pem + self.issuing.pem, CERTIFICATE: leaf.pem}
        identity.finish({**files, f"{name}.p12": b"p12", SERVER: b"https://enroll.corp.example\n"})
        return folder

    def issue(self, key: Any, name: str = "alice") -> CertifiedKey:
        """Issue for a public key; the same key gets the same certificate."""
        known = encode_public_key(key)
        if known not in self.issued:
            now = self.clock.now()
            options = {
                "not_before": now - timedelta(minutes=5),
                "not_after": now + self.life,
                **self.leaf_options,
            }
            self.issued[known] = self.issuing.leaf(name, key=PublicOnly(key), **options)
        return self.issued[known]

    def machine(self, clock: FakeClock | None = None) -> Machine:
        """A machine that reaches this host, by its own clock."""
        return Machine(
            clock=clock or self.clock,
            random=FakeRandom(),
            factory=PlainKeys(),
            run=self.run,
            send=self.send,
            platform="linux",
            facts={"host_name": "sensor", "agent_version": "1"},
        )

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
        """Note a command; it fails if its first word is in `failing`."""
        self.commands.append(tuple(command))
        return Finished(status=self.failing.get(command[0], 0), output="said\x1b something")

    def send(self, server: Server, roots: Roots, exchange: Exchange) -> Response:
        """Answer as the enrolment host does; a client with none of the roots that verify it is refused."""
        self._connect(server, roots, exchange)
        if exchange.path == ROOTS_PATH:
            return self._roots()
        if exchange.path == ROOT_LISTS_PATH:
            return Response(
                status=200,
                media_type="application/x-pem-file",
                body=pem_of_lists(self.root_list, *self.last_lists),
            )
        if exchange.path == "/renew/nonce":
            return _json({"nonce": f"nonce-{len(self.asked)}", "time": self._time()})
        if self.refusal is not None and exchange.path in self.refused_paths:
            return self.refusal
        members = json.loads(exchange.body or b"")
        if self.stale_nonces:
            self.stale_nonces -= 1
            return problem(400, "nonce-stale")
        if exchange.path == "/renew":
            return self._renew(members)
        return self._report(members)

    def _connect(self, server: Server, roots: Roots, exchange: Exchange) -> None:
        assert server == HOST
        if not set(roots) & set(self.verified_by or (self.root.certificate,)):
            raise RequestRefused("server-not-trusted", "the server's certificate is not verified")
        if exchange.path not in (ROOT_LISTS_PATH, ROOTS_PATH):
            self.asked.append(exchange.path)
        if self.away or exchange.path in self.away_paths:
            raise Unavailable("server-unreachable", "the server cannot be reached", hint="wait")
        if exchange.root_list is not None and exchange.root_list.revokes([self.issuing.der, self.root.der]):
            raise RequestRefused("server-not-trusted", "an authority that was retired")

    def _roots(self) -> Response:
        if self.offered is None:  # a host of an earlier version
            return problem(404, "path-unknown")
        return Response(status=200, media_type=ROOTS_TYPE, body=b"".join(one.pem for one in self.offered))

    def _renew(self, members: dict[str, str]) -> Response:
        message = self._proved(members, ProofUse.RENEW, "request")
        if message is None:
            return problem(403, "proof-invalid")
        request = x509.load_der_x509_csr(message)
        name = x509.load_der_x509_certificate(b64decode(members["certificate"])).subject
        leaf = self.issue(request.public_key(), str(next(iter(name)).value))
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("server-unreachable", "the connection was closed")
        return Response(status=201, media_type=CHAIN_TYPE, body=leaf.pem + self.issuing.pem + self.cross_pem)

    def _report(self, members: dict[str, str]) -> Response:
        message = self._proved(members, ProofUse.REPORT, "facts")
        if message is None:
            return problem(403, "proof-invalid")
        self.facts.append(json.loads(message))
        usual = {"renew": "later", "renew_at": None, "check_again_seconds": 6 * 3600, "reason": ""}
        return _json({**usual, "time": self._time(), **self.advice})

    def _proved(self, members: dict[str, str], use: ProofUse, name: str) -> bytes | None:
        message, certificate = b64decode(members[name]), b64decode(members["certificate"])
        leaf = x509.load_der_x509_certificate(certificate)
        known = leaf.public_bytes(Encoding.DER) in {one.der for one in self.issued.values()}
        good = check_proof(
            b64decode(members["signature"]),
            use,
            nonce=members["nonce"],
            certificate=certificate,
            message=message,
        )
        return message if good and known else None

    def _time(self) -> str:
        return f"{self.clock.now():%Y-%m-%dT%H:%M:%SZ}"


class PublicOnly:
    """A public key in the place of a pair, for `certify`."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def public_key(self) -> Any:
        """Return the key."""
        return self._key


def problem(status: int, code: str, retry_after: int | None = None) -> Response:
    """A refusal as the server writes it."""
    body = json.dumps({"code": code, "detail": f"no: {code}", "hint": "ask"}).encode()
    return Response(status=status, media_type=PROBLEM, body=body, retry_after_seconds=retry_after)


def _json(members: dict[str, Any]) -> Response:
    return Response(status=200, media_type="application/json", body=json.dumps(members).encode())


def pair_of(folder: Path) -> tuple[bytes, int]:
    """Return the public key of both files of a folder, and the serial number; fails if they do not match."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    leaf = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
    first = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())[0]
    mine, certified = encode_public_key(key.public_key()), encode_public_key(leaf.public_key())  # type: ignore[arg-type]
    assert mine == certified
    assert first == leaf
    return mine, leaf.serial_number


def die_and_go_on(server: RenewalServer, origin: Path, folder: Path, at: int) -> bool:
    """Renew a copy of an identity, die at the `at`-th change of the folder, and go on with another agent.

    The pair matches at each moment, and in the end there is exactly one new certificate, and no old key.

    Returns:
        Whether it died; False if the renewal has fewer changes.
    """
    shutil.copytree(origin, folder, symlinks=True)
    before, issued = pair_of(folder), len(server.issued)
    keeper = Keeper(IdentityOptions(directory=folder), server.machine())
    with dying(folder, at) as death:
        keeper.renew_now(server.clock.now())
    pair_of(folder)
    after = Keeper(IdentityOptions(directory=folder), server.machine())
    server.clock.turn(minutes=10)
    after.step(server.clock.now())
    if pair_of(folder) == before:
        after.renew_now(server.clock.now())
    assert pair_of(folder) != before
    assert len(server.issued) == issued + 1
    assert [one.name for one in folder.glob("generations/*")] == [(folder / "current").readlink().name]
    shutil.rmtree(folder)
    return death.happened


def pem_of_lists(*lists: bytes) -> bytes:
    """Revocation lists in PEM, as the enrolment host gives those of its roots."""
    return b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in lists)
