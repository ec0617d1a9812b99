"""Only this gateway's Envoys may ask the authorizer, and what is asked cannot be read or answered by others."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from structlog.testing import capture_logs

from doorward.gateway.authorizer.calls import Call, CheckResult
from doorward.gateway.authorizer.http2 import limits
from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.runtime.world import SystemClock
from tests.support.attacks import AUTHORIZER, changed
from tests.support.authorizer_peers import OK, Judge, ask
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.doorway import open_doorway, short_folder
from tests.support.envoy_process import ToyAuthorizer, facts_of


class TestPeers:
    """Only our own Envoys may ask."""

    def test_the_socket_of_a_running_door(self) -> None:
        """This process, of the same user, is refused before one octet and told of in `status`."""
        with open_doorway() as door:
            path = door.installation.layout.authorizer_socket
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(20)
                peer.connect(str(path))
                assert peer.recv(1) == b""
            with pytest.raises(grpc.RpcError):
                ask(path)
            assert any(f"process {os.getpid()} " in one.replace(",", " ") for one in door.gateway.trouble())

    def test_without_the_question_to_the_kernel_it_would_be_answered(self) -> None:
        """A server that takes every process of its user answers this one."""
        with short_folder() as folder:
            path = Path(folder) / "run" / "s"
            judge = Judge()
            server = AuthorizerServer(judge, path, clock=SystemClock(), admit=lambda _pid: True)
            server.start()
            try:
                assert ask(path).status.code == OK
            finally:
                server.stop()
            assert len(judge.asked) == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
    def test_another_user_is_refused_at_an_open_socket(self) -> None:
        """If folder and socket are open by mistake, and its process id is taken by mistake, the kernel says who asks."""
        with short_folder() as folder:
            folder.chmod(0o711)
            path = folder / "run" / "s"
            server = AuthorizerServer(Judge(), path, clock=SystemClock(), admit=lambda _pid: True)
            server.start()
            try:
                path.parent.chmod(0o711)
                path.chmod(0o666)
                assert _octets_for(os.geteuid(), path) > 0
                with capture_logs() as logs:
                    assert _octets_for(NOBODY, path) == 0
            finally:
                server.stop()
            (told,) = [one for one in logs if one["event"] == "authorizer-connection-refused"]
            assert told["uid"] == NOBODY
            assert f"process {told['pid']}, user {NOBODY}" in server.trouble()


NOBODY = 65534
PEER = """
import os, socket, sys
os.setgroups([])
os.setresgid(*[int(sys.argv[2])] * 3)
os.setresuid(*[int(sys.argv[2])] * 3)
with socket.socket(socket.AF_UNIX) as peer:
    peer.settimeout(20)
    peer.connect(sys.argv[1])
    print(len(peer.recv(100)))
"""


def _octets_for(uid: int, path: Path) -> int:
    """How many octets of the server's settings, which come first, a process of this user gets."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PEER, str(path), str(uid)],
        cwd="/",
        check=True,
        capture_output=True,
        timeout=60,
    )
    return int(done.stdout)


LARGEST_CHAIN = 100_000
"""Octets of certificates that BoringSSL takes of a client, about."""
LONGEST_METADATA = 400
"""Octets, if nothing in it is longer than two IPv6 addresses and the names of an application and a browser."""


class _OurServer(ToyAuthorizer):
    """Our own server at Envoy's question; it notes how long the metadata was."""

    @contextmanager
    def serving(self, path: Path) -> Iterator[ToyAuthorizer]:
        """Serve on a unix socket for as long as the block runs."""
        self.lengths: list[int] = []
        server = AuthorizerServer(self, path, clock=SystemClock())
        server.start()
        try:
            yield self
        finally:
            server.stop(0)

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Answer with the facts of the test."""
        for call in calls:
            self.lengths.append(sum(map(len, call.metadata.values())))
            call.reply(CheckResult(facts=self.facts, reasons=()))


def _junk(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, octets: int) -> bytes:
    """Small certificates that belong to nothing, as many as fit."""
    digest = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    nobody, made, room = x509.Name([]), b"", octets
    for number in range(1, octets):
        one = (
            x509.CertificateBuilder(nobody, nobody, key.public_key(), number)
            .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
            .sign(key, digest)
        )
        room -= len(one.public_bytes(serialization.Encoding.DER)) + 5
        if room < 0:
            break
        made += one.public_bytes(serialization.Encoding.PEM)
    return made


def _add_links(door: CompiledDoor, *, small: bool) -> str:
    """Write a copy of the client's certificate with further ones behind it; return its name."""
    key = ed25519.Ed25519PrivateKey.generate() if small else ec.generate_private_key(ec.SECP256R1())
    folder, name = door.site.folder, f"large-{small}"
    pem = (folder / "p256.pem").read_bytes() + _junk(key, LARGEST_CHAIN - 2_000)
    (folder / f"{name}.pem").write_bytes(pem)
    shutil.copy(folder / "p256.key", folder / f"{name}.key")
    return name


class TestLargeChains:
    """A stranger may add any certificates to his own; the question to the authorizer does not grow with them."""

    @pytest.mark.parametrize("small", [False, True], ids=["P-256", "Ed25519"])
    def test_they_change_nothing(self, kept: Kept, *, small: bool) -> None:
        """The leaf is judged, and the metadata is as long as that of another client."""
        door = kept(name="large chains", authorizer=_OurServer(facts_of(TELLER, CLEARED)))
        ours = door.authorizer
        assert isinstance(ours, _OurServer)
        name = _add_links(door, small=small)
        mark = len(ours.lengths)
        assert door.ask("/accounts/7") == door.ask("/accounts/7", certificate=name) == 200
        assert len(ours.lengths) == mark + 2
        assert all(length < LONGEST_METADATA for length in ours.lengths[mark:])

    def test_if_each_link_is_named_the_question_grows_with_them(self, kept: Kept) -> None:
        """With the fingerprint of each link only that client is refused, on the connection that all share."""
        line = {"key": "x-chain", "value": "%DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256%"}
        named = changed(*AUTHORIZER, "grpc_service", "initial_metadata", to=lambda old: [*old, line])
        door = kept(named, name="named links", authorizer=_OurServer(facts_of(TELLER, CLEARED)))
        ours = door.authorizer
        assert isinstance(ours, _OurServer)
        few, many = _add_links(door, small=False), _add_links(door, small=True)
        assert door.ask("/accounts/7", certificate=few) == 200
        assert 20_000 < ours.lengths[-1] < limits.HEADER_LIST_BYTES
        mark = len(ours.lengths)
        assert door.ask("/accounts/7", certificate=many) == 0
        assert len(ours.lengths) == mark
        assert door.ask("/accounts/7") == 200
        found = door.envoy.admin.statistics("cluster.doorward_authorizer.upstream_cx")
        assert found["cluster.doorward_authorizer.upstream_cx_destroy"] == 0
        assert found["cluster.doorward_authorizer.upstream_cx_protocol_error"] == 0
