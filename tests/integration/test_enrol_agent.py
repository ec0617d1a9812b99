"""`doorward enroll` against a real TLS listener: what it gets, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12

from doorward.agent import transport
from doorward.agent.client import Enrolled, enroll
from doorward.agent.link import Link, parse_link, render_link
from doorward.agent.pkcs12 import Pkcs12Form
from doorward.agent.root_list import ROOT_LIST
from doorward.agent.store import IdentityFolder
from doorward.audit.events import EventType
from doorward.authority.status.root_crl import newest_root_lists
from doorward.core.certificate import CertificateState
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.demo.ports import free_port
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.certificates.status import crl_of
from tests.support.enrol_door import (
    Door,
    Front,
    copy_both_ways,
    enrolment_door,
    real_time_world,
    tls,
    write_server_certificate,
)
from tests.support.ports import FakeClock, FakeRandom, PlainKeys


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """The enrolment host, once for this file."""
    with enrolment_door() as running:
        yield running


def run(door: Door, link: Link, out: Path, **options: object) -> Enrolled:
    """Enrol as the command does."""
    arguments = {
        "clock": door.world.clock,
        "random": FakeRandom(),
        "factory": PlainKeys(),
        "seconds": 5.0,
        **options,
    }
    return enroll(link, out=out, **arguments)  # type: ignore[arg-type]  # keywords are passed through


def refusal(call: Callable[[], object]) -> DoorwardError:
    """Return the error with which something fails."""
    with pytest.raises(DoorwardError) as caught:
        call()
    return caught.value


def test_a_link_becomes_an_identity(door: Door, tmp_path: Path) -> None:
    """Key, certificate, chain, root and .p12 are there, fit together, and the inventory knows them."""
    got = run(door, parse_link(render_link(door.link())), tmp_path / "id")
    leaf = x509.load_pem_x509_certificate(got.certificate.read_bytes())
    key = load_pem_private_key(got.key.read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    assert x509.load_pem_x509_certificates(got.chain.read_bytes()) == [leaf, *got.credential.issuers]
    assert x509.load_pem_x509_certificate(got.root.read_bytes()) == door.root
    assert got.p12.name == "alice.p12"
    imported = pkcs12.load_pkcs12(got.p12.read_bytes(), got.p12_password.encode())
    assert imported.cert is not None
    assert imported.cert.certificate == leaf
    with door.world.work.read() as stores:
        record = stores.certificates.by_sha256(hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest())
    assert record is not None
    assert record.state is CertificateState.VALID
    assert got.p12_password not in repr(got)
    assert (tmp_path / "id" / ROOT_LIST).read_bytes() == newest_root_lists(door.world.services)[0]


def test_a_host_of_a_retired_authority_gets_no_token(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this machine knows that the root has revoked the host's authority, TLS ends before anything is sent.

    The list judges every later connection, also the one that asks for the next root.
    """
    judged: dict[str, bool] = {}

    def fetch(
        link: Link, method: str, path: str, context: ssl.SSLContext, **options: Any
    ) -> transport.Response:
        judged[path] = options.get("root_list") is not None
        return transport.fetch(link, method, path, context, **options)

    monkeypatch.setattr("doorward.agent.client.fetch", fetch)
    link, out = door.link(), tmp_path / "id"
    with door.world.work.read() as stores:
        issuing = stores.authorities.current(AuthorityKind.ISSUING)
    assert issuing is not None
    serial = x509.load_der_x509_certificate(issuing.der).serial_number
    root = CertifiedKey(certificate=door.root, key=door.world.keys.load("root-1"))
    out.mkdir(mode=0o700)
    (out / ROOT_LIST).write_bytes(crl_of(root, serial, number=99))
    error = refusal(lambda: run(door, link, out))
    assert (error.code, "was retired" in error.detail) == ("server-not-trusted", True)
    (out / ROOT_LIST).write_bytes(crl_of(root, serial + 1, number=100))
    assert run(door, link, out).credential.name == "alice"  # the token was not spent
    assert judged == {"/root.pem": False, "/roots.crl": True, "/v1/certificates": True, "/roots.pem": True}


@pytest.mark.parametrize("kind", [KeyKind.P384, KeyKind.RSA2048, KeyKind.ED25519])
def test_other_kinds_of_key(door: Door, tmp_path: Path, kind: KeyKind) -> None:
    """Every kind of requested key is certified."""
    got = run(door, door.link(), tmp_path, key_kind=kind, p12_form=Pkcs12Form.LEGACY)
    assert pkcs12.load_pkcs12(got.p12.read_bytes(), got.p12_password.encode()).key is not None


def test_a_used_link_is_refused_in_the_servers_words(door: Door, tmp_path: Path) -> None:
    """The second use of a link gets nothing, and leaves no identity."""
    link = door.link()
    run(door, link, tmp_path / "first")
    error = refusal(lambda: run(door, link, tmp_path / "second"))
    assert isinstance(error, RequestRefused)
    assert (error.code, bool(error.hint)) == ("invitation-invalid", True)
    assert not (tmp_path / "second" / "key.pem").exists()


def test_a_run_that_died_can_be_repeated(door: Door, tmp_path: Path) -> None:
    """The key that was made before the network failed is the one that is certified."""
    link = door.link()
    gone = Link(host=link.host, port=free_port(), token=link.token, root_sha256=link.root_sha256)
    assert refusal(lambda: run(door, gone, tmp_path)).code == "server-unreachable"
    pending = (tmp_path / ".enrolling" / "key.pem").read_bytes()
    got = run(door, link, tmp_path)
    assert got.key.read_bytes() == pending


def test_an_answer_that_could_not_be_installed_is_not_lost(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is spent when the disk fails; the next run installs what was received, without the network."""
    link = door.link()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(IdentityFolder, "finish", full)
        with pytest.raises(OSError, match="No space"):
            run(door, link, tmp_path)
    before = door.front.connections
    got = run(door, link, tmp_path)
    assert got.credential.name == "alice"
    assert door.front.connections == before


def test_a_certificate_received_for_another_authority_is_requested_again(door: Door, tmp_path: Path) -> None:
    """Leftovers that do not fit the link are not installed."""
    folder = IdentityFolder(tmp_path)
    folder.begin(lambda: PlainKeys().generate(KeyKind.P256))
    other = toy_ca()
    folder.keep("root.pem", other.pem)
    folder.keep("chain.pem", other.leaf().pem)
    assert x509.load_pem_x509_certificate(run(door, door.link(), tmp_path).root.read_bytes()) == door.root


def test_another_root_than_the_links_is_refused_before_the_token_is_sent(door: Door, tmp_path: Path) -> None:
    """A link with another SHA-256: nothing but /root.pem was asked."""
    refused = len(door.world.events(EventType.INVITATION_REFUSED))
    link = door.link(pin="0" * 64)
    assert refusal(lambda: run(door, link, tmp_path)).code == "root-not-pinned"
    assert len(door.world.events(EventType.INVITATION_REFUSED)) == refused
    root = hashlib.sha256(door.root.public_bytes(Encoding.DER)).hexdigest()
    right = Link(host=link.host, port=link.port, token=link.token, root_sha256=root)
    assert run(door, right, tmp_path).credential.name == "alice"


def test_a_server_of_the_authority_with_another_name_is_refused(door: Door, tmp_path: Path) -> None:
    """The root is right, the host is not: a broken-into neighbour does not get the token."""
    error = refusal(lambda: run(door, door.link(host="other.localhost"), tmp_path))
    assert error.code == "server-not-trusted"
    assert "somebody may intercept" in error.hint


def test_a_man_in_the_middle_gets_no_token(door: Door, tmp_path: Path) -> None:
    """A man in the middle passes the true root on and is found out by his own certificate."""
    evil = toy_ca(not_before=door.world.clock.now())
    leaf = evil.server("enroll.localhost", not_before=door.world.clock.now())
    seen: list[bytes] = []

    def serve(secure: ssl.SSLSocket) -> None:
        seen.append(secure.recv(65536))
        body = door.root.public_bytes(Encoding.PEM)
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with listening(tmp_path / "evil.pem", leaf.key_pem + leaf.pem, serve) as front:
        true = door.link()
        link = Link(host=true.host, port=front.port, token=true.token, root_sha256=true.root_sha256)
        assert refusal(lambda: run(door, link, tmp_path / "id")).code == "server-not-trusted"
    assert len(seen) == 1
    assert true.token.encode() not in b"".join(seen)


@contextmanager
def listening(path: Path, pem: bytes, serve: Callable[[ssl.SSLSocket], None]) -> Iterator[Front]:
    """Run a TLS server of our own making."""
    path.write_bytes(pem)
    front = Front(tls(path, serve))
    try:
        yield front
    finally:
        front.close()


def fetch_from(
    door: Door, tmp_path: Path, answer: bytes, seconds: float = 5.0, drip: float = 0.0
) -> transport.Answer:
    """GET from a server that answers with these bytes, all at once or one by one."""
    pause = threading.Event()

    def serve(secure: ssl.SSLSocket) -> None:
        secure.recv(65536)
        for part in [answer] if not drip else [answer[at : at + 1] for at in range(len(answer))]:
            secure.sendall(part)
            pause.wait(drip)

    write_server_certificate(door.world, tmp_path / "server.pem")
    with listening(tmp_path / "front.pem", (tmp_path / "server.pem").read_bytes(), serve) as front:
        link = Link(host="enroll.localhost", port=front.port, token="A" * 43, root_sha256="0" * 64)
        try:
            return transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=seconds)
        finally:
            pause.set()


def test_a_redirect_is_an_answer_and_is_not_followed(door: Door, tmp_path: Path) -> None:
    """No redirect sends the agent elsewhere with the token."""
    answer = fetch_from(
        door, tmp_path, b"HTTP/1.1 302 Found\r\nLocation: https://evil\r\nContent-Length: 0\r\n\r\n"
    )
    assert answer.status == 302


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n" * 9, "server-answer-malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "server-unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70000, "server-answer-malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort", "server-unreachable"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "server-answer-malformed"),
        (b"", "server-unreachable"),
    ],
)
def test_answers_that_are_none_are_refused(door: Door, tmp_path: Path, answer: bytes, code: str) -> None:
    """Not HTTP, cut short, too much, or nothing."""
    error = refusal(lambda: fetch_from(door, tmp_path, answer))
    assert error.code == code
    assert isinstance(error, MalformedInput if "malformed" in code else Unavailable)
    assert ("closed the connection" in error.detail) is (code == "server-unreachable")


def test_a_server_that_drips_does_not_hold_us(door: Door, tmp_path: Path) -> None:
    """The time is for the whole request: bytes that keep coming do not stretch it."""
    error = refusal(lambda: fetch_from(door, tmp_path, b"HTTP/1.1 200 OK\r\n" * 100, seconds=0.5, drip=0.05))
    assert isinstance(error, Unavailable)
    assert error.code == "server-too-slow"


def test_a_server_that_is_silent_does_not_hold_us(door: Door) -> None:
    """A listener that never speaks TLS is given up."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = Link(host="127.0.0.1", port=silent.getsockname()[1], token="A" * 43, root_sha256="0" * 64)
        error = refusal(
            lambda: transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=0.3)
        )
    assert error.code == "server-too-slow"


def test_a_root_that_is_not_served_is_the_servers_problem(door: Door, tmp_path: Path) -> None:
    """A refusal of /root.pem comes through in the server's words."""
    body = json.dumps({"code": "not-founded", "detail": "there is no authority here yet"}).encode()

    def serve(secure: ssl.SSLSocket) -> None:
        secure.recv(65536)
        head = b"HTTP/1.1 503 x\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n"
        secure.sendall(head % len(body) + body)

    with listening(tmp_path / "front.pem", (door.folder / "server.pem").read_bytes(), serve) as front:
        link = Link(host="127.0.0.1", port=front.port, token="A" * 43, root_sha256="0" * 64)
        error = refusal(lambda: run(door, link, tmp_path / "id"))
    assert isinstance(error, Unavailable)
    assert error.code == "not-founded"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, door: Door) -> Iterator[list[bytes]]:
    """An HTTP proxy in the environment that leads every tunnel to the door; returns what it was asked."""
    asked: list[bytes] = []

    def tunnel(peer: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += peer.recv(1024)
        asked.append(head)
        if b"refuse" in head:
            peer.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        elif b"vanish" not in head:
            peer.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
            with socket.create_connection(("127.0.0.1", door.front.port)) as inner:
                copy_both_ways(peer, inner)

    front = Front(tunnel)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", f"http://us%65r:pass@127.0.0.1:{front.port}")
    yield asked
    front.close()


def test_this_machine_is_reached_without_the_proxy(door: Door, tmp_path: Path, proxy: list[bytes]) -> None:
    """`.localhost` never leaves the machine, with any proxy in the environment."""
    run(door, door.link(), tmp_path)
    assert proxy == []


def test_other_hosts_are_reached_through_the_proxy(door: Door, proxy: list[bytes]) -> None:
    """The proxy gets the host's name and its own password, then TLS that it cannot read."""
    link = Link(host="enroll.corp.example", port=8443, token="A" * 43, root_sha256="0" * 64)
    answer = transport.fetch(link, "GET", "/root.pem", transport.unverified_context(), seconds=5.0)
    assert x509.load_pem_x509_certificate(answer.body) == door.root
    assert proxy[0].startswith(
        b"CONNECT enroll.corp.example:8443 HTTP/1.1\r\nHost: enroll.corp.example:8443\r\n"
    )
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in proxy[0]


def test_an_exempted_host_is_not_asked_of_the_proxy(
    door: Door, proxy: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """no_proxy counts."""
    monkeypatch.setenv("no_proxy", "corp.example")
    link = Link(host="enroll.corp.example", port=1, token="A" * 43, root_sha256="0" * 64)
    error = refusal(lambda: transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=5.0))
    assert error.code == "server-unreachable"
    assert proxy == []


@pytest.mark.parametrize("host", ["refuse.example", "vanish.example", "2001:db8::1"])
def test_a_proxy_that_does_not_tunnel_is_named(proxy: list[bytes], host: str) -> None:
    """A refusal, a hang-up, and for IPv6 brackets in the request."""
    link = Link(host=host, port=1, token="A" * 43, root_sha256="0" * 64)
    if ":" in host:
        transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=5.0)
        assert proxy[0].startswith(b"CONNECT [2001:db8::1]:1 ")
        return
    error = refusal(lambda: transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=5.0))
    assert error.code == "server-unreachable"
    assert "proxy" in error.detail


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy address that we do not speak is an error, not a silent way round it."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
    link = Link(host="enroll.corp.example", port=1, token="A" * 43, root_sha256="0" * 64)
    error = refusal(lambda: transport.fetch(link, "GET", "/", transport.unverified_context(), seconds=5.0))
    assert "not an http:// address" in error.detail


def test_the_world_of_these_tests_has_its_own_clock() -> None:
    """The door's clock is the machine's, so that OpenSSL agrees with it."""
    assert real_time_world().clock.now() != FakeClock().now()
