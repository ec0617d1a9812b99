"""Real ACME servers certify the door: pebble (strict, with refused nonces) and Caddy, by http-01 and tls-alpn-01.

The programs are not packages of ours: `PEBBLE` and `CADDY` name them, otherwise they are looked for in PATH. They ask ports 80
and 443 and look names up, so the whole proof runs in a network of its own (root; `unshare`, loopback only).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from doorward.demo.ports import free_port
from doorward.stores.records import ChangeKind
from tests.support.certificates.issuing import toy_ca
from tests.support.doorway import DOMAIN, Doorway, eventually, open_doorway
from tests.support.walkthrough import ROOT

INSIDE = "DOORWARD_INSIDE_NETWORK"
WITHIN_SECONDS = 120.0
HOSTS = f"127.0.0.1 localhost acme.test app.{DOMAIN}\n"
WEBSOCKET = (
    "GET /live HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
KID, SECRET = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@dataclass
class Server:
    """A running server: its directory, and the roots of its own TLS certificate."""

    directory: str
    roots: Path


def program(name: str) -> str:
    """Return the path of an outside program; without it there is nothing to prove."""
    found = os.environ.get(name.upper()) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is absent: name it in {name.upper()}")
    return found


@contextmanager
def running(command: list[str], port: int, **more: object) -> Iterator[None]:
    """Run a program until it listens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more) as process:  # type: ignore[call-overload]
        try:

            def listens() -> bool:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    assert process.poll() is None, process.stdout.read()
                    return False
                return True

            assert eventually(listens, 30)
            yield
        finally:
            process.kill()


def pair(folder: Path) -> tuple[Path, Path, Path]:
    """Write a certificate for acme.test; return chain, key and root."""
    ca = toy_ca()
    issued = ca.server("acme.test")
    files = folder / "acme.pem", folder / "acme.key", folder / "acme-root.pem"
    for file, data in zip(files, (issued.pem, issued.key_pem, ca.pem), strict=True):
        file.write_bytes(data)
    return files


@contextmanager
def pebble(folder: Path, *, binding: bool = False) -> Iterator[Server]:
    """Pebble in its strict mode: a fifth of all nonces is refused."""
    chain, key, root = pair(folder)
    port = free_port()
    config = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{free_port()}",
        "certificate": str(chain),
        "privateKey": str(key),
        "httpPort": 80,
        "tlsPort": 443,
        "externalAccountBindingRequired": binding,
        "externalAccountMACKeys": {KID: SECRET},
    }
    file = folder / "pebble.json"
    file.write_text(json.dumps({"pebble": config}))
    environ = {**os.environ, "PEBBLE_WFE_NONCEREJECT": "20", "PEBBLE_VA_NOSLEEP": "1"}
    with running([program("pebble"), "-config", str(file), "-strict"], port, env=environ):
        yield Server(f"https://acme.test:{port}/dir", root)


@contextmanager
def caddy(folder: Path) -> Iterator[Server]:
    """Caddy's server."""
    chain, key, root = pair(folder)
    port = free_port()
    file = folder / "Caddyfile"
    file.write_text(
        "{\n admin off\n auto_https off\n skip_install_trust\n"
        f" storage file_system {folder}/caddy\n}}\n"
        f"https://acme.test:{port} {{\n tls {chain} {key}\n acme_server {{\n  ca local\n  lifetime 1h\n }}\n}}\n"
    )
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with running([program("caddy"), "run", "--config", str(file)], port, env=environ):
        yield Server(f"https://acme.test:{port}/acme/local/directory", root)


def shown(door: Doorway) -> x509.Certificate | None:
    """Return the certificate at the door."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", door.port), 10) as raw,
            context.wrap_socket(raw, server_hostname=door.host("app")) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except OSError:
        return None


def problems(door: Doorway) -> list[str]:
    """Return what went wrong so far."""
    with door.services.work.read() as stores:
        return [one.problem for one in stores.acme.every_order()]


def is_from_elsewhere(door: Doorway, *others: x509.Certificate) -> bool:
    """Return whether the door shows a certificate that is not ours and none of these."""
    found = shown(door)
    return found is not None and DOMAIN not in found.issuer.rfc4514_string() and found not in others


def certify_and_renew(server: Server, challenge: str, **settings: object) -> None:
    """Get a certificate, hold a WebSocket, renew."""
    told = {
        "acme_directory": server.directory,
        "acme_ca_file": server.roots,
        "acme_challenge": challenge,
        "gateway_listen": "127.0.0.1:443",
        "acme_http_listen": "127.0.0.1:80",
        **settings,
    }
    with open_doorway(settings=told) as door:
        door.person("anna", "staff")
        door.apply()
        own = shown(door)
        assert own is not None
        with door.connect(door.identities["anna"]) as live:
            live.sendall(WEBSOCKET.format(door.host("app")).encode())
            assert b"101 Switching" in live.recv(4096)
            began = time.monotonic()
            door.apply(certificates="{from: acme}")
            assert eventually(lambda: is_from_elsewhere(door, own), WITHIN_SECONDS), problems(door)
            took = time.monotonic() - began
            first = shown(door)
            assert first is not None
            now = datetime.now(UTC)
            with door.services.work.change() as stores:
                for one in stores.acme.every_order():
                    assert stores.acme.replace_order(replace(one, renew_at=now - timedelta(seconds=1)))
                    stores.changes.note(ChangeKind.ORDER, one.order_id, now)
            assert eventually(lambda: is_from_elsewhere(door, own, first), WITHIN_SECONDS), problems(door)
            for _ in range(3):
                assert live.recv(4096)
        print(f"{challenge}: first certificate after {took:.1f} s, issuer {first.issuer.rfc4514_string()}")


@pytest.fixture
def is_inside(request: pytest.FixtureRequest, tmp_path: Path) -> bool:
    """Return True in a network of our own; outside, run this one test again in one, and take its result."""
    if INSIDE in os.environ:
        return True
    if os.geteuid():
        pytest.skip("only root can make a network of its own")
    for name in ("pebble", "caddy"):
        if name in request.node.name:
            program(name)
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS)
    inner = f'ip link set lo up; mount --bind {hosts} /etc/hosts; exec "$@"'
    test = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", request.node.nodeid]
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", inner, "sh", *test],
        cwd=ROOT,
        env={**os.environ, INSIDE: "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return False


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_pebble(challenge: str, tmp_path: Path, *, is_inside: bool) -> None:
    """The reference server in its strict mode."""
    if not is_inside:
        return
    with pebble(tmp_path) as server:
        certify_and_renew(server, challenge)


def test_pebble_with_an_external_account(tmp_path: Path, *, is_inside: bool) -> None:
    """RFC 8555 section 7.3.4."""
    if not is_inside:
        return
    key = tmp_path / "eab"
    key.write_text(f"{SECRET}\n")
    with pebble(tmp_path, binding=True) as server:
        certify_and_renew(server, "tls-alpn-01", acme_eab_kid=KID, acme_eab_key_file=key)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_caddy(challenge: str, tmp_path: Path, *, is_inside: bool) -> None:
    """Another implementation, with certificates of an hour."""
    if not is_inside:
        return
    with caddy(tmp_path) as server:
        certify_and_renew(server, challenge)
