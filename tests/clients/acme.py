"""ACME authorities of others (RFC 8555) that certify the hosts of a door: pebble, strict, with rejected nonces, and Caddy.

pebble and pebble-challtestsrv (github.com/letsencrypt/pebble) are in no package: build them and put them into PATH. Tag v2.4.0
builds with Debian's Go from its own vendor folder. Caddy asks fixed ports, so it is tried in a network of its own (root).
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from doorward.demo.ports import free_port
from tests.clients.attempts import Attempt
from tests.support.acme_authorities import run_apart
from tests.support.certificates.issuing import around_now, toy_ca
from tests.support.doorway import Doorway, eventually, open_doorway

STRICT = {"PEBBLE_WFE_NONCEREJECT": "20", "PEBBLE_VA_NOSLEEP": "1"}
WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pebble:
    """A running authority: its directory, the root of its own TLS certificate, and where it asks for http-01."""

    directory: str
    root: Path
    http_port: int


@contextmanager
def pebble(folder: Path, *, tls_port: int) -> Iterator[Pebble]:
    """Run pebble, and a name server by which every name is this machine."""
    listen, manage, names, other, http = (free_port() for _ in range(5))
    root = toy_ca("Pebble's own TLS", **around_now())
    chain, key = root.server("localhost", **around_now()).write(folder, "pebble")
    (folder / "pebble-root.pem").write_bytes(root.pem)
    config = {
        "listenAddress": f"127.0.0.1:{listen}",
        "managementListenAddress": f"127.0.0.1:{manage}",
        "certificate": str(chain),
        "privateKey": str(key),
        "httpPort": http,
        "tlsPort": tls_port,
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": config}))
    resolver = f"127.0.0.1:{names}"
    with ExitStack() as stack:
        stack.enter_context(
            _running(
                folder / "names.log",
                "pebble-challtestsrv",
                "-dns01",
                resolver,
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-management",
                f"127.0.0.1:{other}",
                "-defaultIPv6",
                "",
            )
        )
        stack.enter_context(
            _running(
                folder / "pebble.log",
                "pebble",
                "-strict",
                "-config",
                str(folder / "pebble.json"),
                "-dnsserver",
                resolver,
            )
        )
        assert eventually(lambda: _listens(listen)), (folder / "pebble.log").read_text()
        yield Pebble(
            directory=f"https://localhost:{listen}/dir", root=folder / "pebble-root.pem", http_port=http
        )


@contextmanager
def _running(log: Path, *command: str) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **STRICT}
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def certified_by(challenge: str) -> Callable[[Doorway, Path], None]:
    """Return an attempt: an application's host gets its certificate from pebble, by this challenge."""

    def act(_door: Doorway, folder: Path) -> None:
        port = free_port()
        with pebble(folder, tls_port=port) as authority:
            settings = {
                "gateway_listen": f"127.0.0.1:{port}",
                "acme_challenge": challenge,
                "acme_directory": authority.directory,
                "acme_http_listen": f"127.0.0.1:{authority.http_port}",
                "acme_ca_file": authority.root,
            }
            with open_doorway(settings=settings) as door:
                door.apply(certificates="{from: acme}")
                log = folder / "pebble.log"
                assert eventually(lambda: issuer_at(door).startswith("CN=Pebble"), WITHIN_SECONDS), (
                    log.read_text()
                )

    return act


def certified_by_caddy(challenge: str) -> Callable[[Doorway, Path], None]:
    """Return the same attempt with Caddy's server."""

    def act(_door: Doorway, folder: Path) -> None:
        assert os.geteuid() == 0, "only root can make a network of its own"
        command = [sys.executable, "-m", "tests.clients.caddy_authority", challenge]
        done = run_apart(command, folder, environ={}, seconds=4 * WITHIN_SECONDS)
        assert done.returncode == 0, done.stderr

    return act


def issuer_at(door: Doorway) -> str:
    """Return the issuer of the certificate at an application's host; empty if nothing answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with suppress(OSError), socket.create_connection(("127.0.0.1", door.port), 10) as raw:
        with context.wrap_socket(raw, server_hostname=door.host("app")) as secure:
            der = secure.getpeercert(binary_form=True) or b""
        return x509.load_der_x509_certificate(der).issuer.rfc4514_string()
    return ""


_CHALLENGES = ("http-01", "tls-alpn-01")
_TRIED = "certify the host of an application by {}"

ATTEMPTS = (
    *(
        Attempt(
            client="pebble",
            programs=("pebble", "pebble-challtestsrv"),
            version=("sh", "-c", "grep -a -o 'pebble/v*[0-9][0-9.]*' $(command -v pebble)"),
            tried=_TRIED.format(one),
            act=certified_by(one),
        )
        for one in _CHALLENGES
    ),
    *(
        Attempt(
            client="caddy",
            programs=("caddy", "unshare"),
            version=("caddy", "version"),
            tried=_TRIED.format(one),
            act=certified_by_caddy(one),
        )
        for one in _CHALLENGES
    ),
)
