"""Issuing certificates, durable and audited, against signing alone and against OpenBao, in turn in one run.

Ours is the whole of `authority.issuing.issue`: the claim, lint, the intent with its event, the signature, the OCSP answers,
the certificate with its event, on a database file with fsync. Signing alone is what a program without a record would
do: read the request, build the certificate, sign it with the same key. Both issue for requests that were made before.

- *One by one*: each certificate waits for its two commits.
- *64 in flight*: 64 threads, as 64 devices at the EST host; requests that wait are issued together. Each thread is a plain loop, so that
  making the load costs next to nothing.
- *OpenBao* (`bench.openbao`), only if it is installed: `pki/sign` with the same kinds of keys, one by one and 64 in flight. Its clients have
  the other core, so it is asked over HTTP, while ours is called in the process of the load.

Times are wall-clock times, because waiting for the disk is part of the work. If other programs used the measured core too,
the ratios are by CPU time, and the rows say so.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.machine import CACHE, MEASURED, REST, on_core, process_seconds
from bench.openbao import Bao, bao_name, open_bao, render_body
from bench.rows import Goal, Of, Row, compare_rates, single
from bench.scene import Round, Scene, busy_on, choose_rates
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
PINNED = ("Everything of ours on one core.",)
RECORDS = (
    "OpenBao on the same core, its clients on the other one.",
    "Ours records, each durably before the next step, the intent and its event, then the certificate, its event and OCSP responses.",
    "OpenBao records the certificate, durably, and two lines in its audit file, not synced; it signs no OCSP response.",
    "OpenBao is asked over HTTP, ours in its process.",
)


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    rounds = _measure(3 if scene.quick else ROUNDS, EACH // 2 if scene.quick else EACH)
    alone, flight = rounds["signing alone"], f"{IN_FLIGHT} in flight"
    yield single(
        "issuing one by one",
        [one.rate for one in rounds["one by one"]],
        unit="a second",
        goal=Goal(number=300, of=Of.OURS),
        notes=PINNED,
    )
    yield _compare(
        f"issuing, {flight}",
        rounds[flight],
        alone,
        peer_name="signing alone, in the same process",
        goal=Goal(number=0.5),
    )
    for way in ("one by one", flight):
        name = f"issuing, {way}, against OpenBao"
        if f"OpenBao, {way}" in rounds:
            peer = rounds[f"OpenBao, {way}"]
            yield _compare(name, rounds[way], peer, notes=RECORDS, peer_name=bao_name())
        else:
            missing = (
                "OpenBao is not installed: tools/openbao.sh, which `make bench` calls, could not fetch it"
            )
            yield Row(name=name, missing=missing)


def _compare(
    name: str, ours: list[Round], peer: list[Round], *, notes: tuple[str, ...] = (), **more: Any
) -> Row:
    rates, disturbed = choose_rates(ours, peer)
    costs = [statistics.median(one.cpu_us for one in side) for side in (ours, peer)]
    by_cpu = (
        f"CPU for each: ours {costs[0]:.0f} µs, peer {costs[1]:.0f} µs: {costs[1] / costs[0]:.2f} x by CPU."
    )
    unit = "a second of CPU" if disturbed else "a second"
    said = (*([disturbed] if disturbed else []), by_cpu, *PINNED, *notes)
    return compare_rates(name, *rates, unit=unit, notes=said, **more)


def _measure(rounds: int, each: int) -> dict[str, list[Round]]:
    """Return what each side did, round by round."""
    requests = [build_csr(ec.generate_private_key(ec.SECP256R1()), "bench") for _ in range(each)]
    with (
        tempfile.TemporaryDirectory(prefix="issuing-", dir=CACHE) as place,
        on_core(MEASURED),
        closing(_found(Path(place))) as installation,
        open_bao(Path(place)) as bao,
    ):
        sides = [*_sides_of_ours(installation, requests), *(_sides_of_bao(bao, requests) if bao else ())]
        found: dict[str, list[Round]] = {one.name: [] for one in sides}
        for _ in range(rounds):
            for one in sides:
                found[one.name].append(_round(one))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """What is measured: `work` is called `count` times by `at_once` threads on `core`, and `pid` does it."""

    name: str
    work: Callable[[int], None]
    at_once: int
    count: int
    core: int = MEASURED
    pid: int = field(default_factory=os.getpid)


def _sides_of_ours(installation: Installation, requests: list[bytes]) -> Iterator[_Side]:
    services, each = installation.services, len(requests)
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

    yield _Side(name="signing alone", work=alone, at_once=1, count=LONGER * each)
    yield _Side(name="one by one", work=ours, at_once=1, count=each)
    yield _Side(name=f"{IN_FLIGHT} in flight", work=ours, at_once=IN_FLIGHT, count=LONGER * each)


def _sides_of_bao(bao: Bao, requests: list[bytes]) -> Iterator[_Side]:
    bodies = [render_body(_to_pem(one)) for one in requests]

    def theirs(number: int) -> None:
        bao.sign(bodies[number % len(bodies)])

    for way, at_once, count in (("one by one", 1, 1), (f"{IN_FLIGHT} in flight", IN_FLIGHT, LONGER)):
        yield _Side(
            name=f"OpenBao, {way}",
            work=theirs,
            at_once=at_once,
            count=count * len(bodies),
            core=REST,
            pid=bao.pid,
        )


def _round(side: _Side) -> Round:
    before = process_seconds(side.pid)
    with busy_on(MEASURED) as core, on_core(side.core):
        rate = _rate(side.work, side.at_once, side.count)
    used = process_seconds(side.pid) - before
    each = used / side.count * 1e6
    return Round(rate=rate, cpu_us=each, edge_us=each, foreign=core.share(less=used))


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
