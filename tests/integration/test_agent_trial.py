"""A new pair is tried at an application: real TLS listeners that accept it, refuse it, or speak no HTTP."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorward.agent.link import Server
from doorward.agent.trial import try_application, try_files
from doorward.core.errors import IntegrityError, Unavailable
from doorward.demo.ports import free_port
from tests.support.certificates.issuing import CertifiedKey, around_now, certify, toy_ca
from tests.support.enrol_door import Front
from tests.support.refusals import refused


@pytest.fixture(scope="module")
def root() -> CertifiedKey:
    """An authority of the present."""
    return certify("Root", **around_now(200))


@contextmanager
def application(
    root: CertifiedKey, folder: Path, answer: bytes, *, trusts: CertifiedKey | None = None
) -> Iterator[Server]:
    """Run an application that asks for a client certificate of an authority, and answers with these bytes."""
    chain, key = root.server("localhost", **around_now(10)).write(folder, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    context.load_verify_locations(cadata=(trusts or root).pem.decode())
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(peer: object) -> None:
        with context.wrap_socket(peer, server_side=True) as secure:  # type: ignore[call-overload]
            secure.recv(4096)
            secure.sendall(answer)

    front = Front(serve)
    try:
        yield Server(host="localhost", port=front.port)
    finally:
        front.close()


def tried(root: CertifiedKey, folder: Path) -> Callable[[Server], None]:
    """Return a trial of a client's pair."""
    chain, key = root.leaf("alice", **around_now(10)).write(folder, "client")
    try_files(chain, key)
    return lambda server: try_application(server, chain, key, (root.certificate,))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"220 mail\r\n" * 9,
    ],
)
def test_whatever_an_application_answers_the_pair_was_accepted(
    root: CertifiedKey, tmp_path: Path, answer: bytes
) -> None:
    """A good answer, a refusal of the request, another protocol: TLS took the certificate."""
    with application(root, tmp_path, answer) as server:
        tried(root, tmp_path)(server)


def test_an_application_of_another_authority_refuses_it(root: CertifiedKey, tmp_path: Path) -> None:
    """In TLS 1.3 the refusal comes after the client's handshake; it is seen all the same."""
    other = toy_ca("Other", **around_now(200))
    with (
        application(root, tmp_path, b"HTTP/1.1 200 OK\r\n\r\n", trusts=other) as server,
        refused(Unavailable, "trial-failed"),
    ):
        tried(root, tmp_path)(server)


def test_nginxs_answer_to_a_wrong_certificate_is_a_refusal(root: CertifiedKey, tmp_path: Path) -> None:
    """495 and 496 are about the certificate."""
    with (
        application(root, tmp_path, b"HTTP/1.1 495 x\r\nContent-Length: 0\r\n\r\n") as server,
        refused(Unavailable, "trial-failed") as caught,
    ):
        tried(root, tmp_path)(server)
    assert "495" in str(caught.value)


def test_an_application_that_is_away_is_no_proof(root: CertifiedKey, tmp_path: Path) -> None:
    """Nothing listens: the trial failed."""
    with refused(Unavailable, "trial-failed"):
        tried(root, tmp_path)(Server(host="localhost", port=free_port()))


def test_two_files_that_do_not_match_are_found(root: CertifiedKey, tmp_path: Path) -> None:
    """OpenSSL loads the pair, or it is not used."""
    chain, _ = root.leaf("alice", **around_now(10)).write(tmp_path, "a")
    _, key = root.leaf("alice", **around_now(10)).write(tmp_path, "b")
    with refused(IntegrityError, "pair-unusable"):
        try_files(chain, key)
