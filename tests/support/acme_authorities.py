"""Real ACME authorities for tests: pebble in its strict mode, and Caddy; and a network of its own for them.

The programs are not packages of ours: `PEBBLE` and `CADDY` name them, otherwise they are looked for in PATH. They ask ports 80
and 443 and look names up, so what uses them runs in a network of its own (root; `unshare`, loopback only).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from doorward.demo.ports import free_port
from tests.support.certificates.issuing import toy_ca
from tests.support.doorway import DOMAIN, eventually
from tests.support.walkthrough import ROOT

MOST_ROUNDS = 500
"""Of a proof that needs a new host in each round."""
KID, SECRET = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


@dataclass
class Server:
    """A running server: its directory, the roots of its own TLS certificate, its port, and what it says."""

    directory: str
    roots: Path
    port: int
    log: Path


def program(name: str) -> str:
    """Return the path of an outside program; without it there is nothing to prove."""
    found = os.environ.get(name.upper()) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is absent: name it in {name.upper()}")
    return found


@contextmanager
def running(command: list[str], port: int, log: Path, *, env: Mapping[str, str]) -> Iterator[None]:
    """Run a program until it listens; it writes into a file."""
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(env)) as process,
    ):
        try:

            def listens() -> bool:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    assert process.poll() is None, log.read_text()
                    return False
                return True

            assert eventually(listens)
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
    """Pebble in its strict mode: a fifth of all nonces is refused, and no authorization is used again."""
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
    environ = {
        **os.environ,
        "PEBBLE_WFE_NONCEREJECT": "20",
        "PEBBLE_VA_NOSLEEP": "1",
        "PEBBLE_AUTHZREUSE": "0",
    }
    log = folder / "pebble.log"
    with running([program("pebble"), "-config", str(file), "-strict"], port, log, env=environ):
        yield Server(f"https://acme.test:{port}/dir", root, port, log)


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
    log = folder / "caddy.log"
    with running([program("caddy"), "run", "--config", str(file)], port, log, env=environ):
        yield Server(f"https://acme.test:{port}/acme/local/directory", root, port, log)


def round_host(number: int) -> str:
    """Return one of the hosts that are this machine in a network of its own."""
    assert number < MOST_ROUNDS
    return f"r{number}.{DOMAIN}"


def run_apart(
    command: Sequence[str], folder: Path, *, environ: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command as root in a network of its own, in which `acme.test` and the door's host are this machine."""
    hosts = folder / "hosts"
    names = ["localhost", "acme.test", f"app.{DOMAIN}", *map(round_host, range(MOST_ROUNDS))]
    hosts.write_text("".join(f"127.0.0.1 {one}\n" for one in names))
    inner = f'ip link set lo up; mount --bind {hosts} /etc/hosts; exec "$@"'
    return subprocess.run(
        ["unshare", "-n", "-m", "sh", "-ec", inner, "sh", *command],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
