"""An installation with 1,000,000 certificates, half of them revoked: memory of its processes, pages of lists, look-ups, the CRL.

The lists and look-ups are those of the use cases that the command line calls; there is no console yet. The command is measured
as a person would wait for it.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from bench import seeding
from bench.installation import Door
from bench.machine import MEASURED, ROOT, on_core, pss_mb
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene
from doorward.authority.inventory import find_certificate, list_certificates
from doorward.authority.revocation import revoke
from doorward.authority.status.crls import publish_crls
from doorward.authority.status.partitions import FULL, delta_of
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.services import Services
from tests.support.doorway import ACTOR

LOOKS = 200
CHANGES = 100
CONNECTIONS = 1_000
_PAGE = Goal(number=100, of=Of.OURS, at_most=True)
_MEMORY = {"gateway": 300, "serve": 400}


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    reason = seeding.missing(quick=scene.quick)
    if reason:
        yield Row(name="1,000,000 certificates", missing=reason)
        return
    seconds = seeding.seed()
    door = scene.million()
    with on_core(MEASURED):
        yield from _lists(door.house.services, scene.count(LOOKS))
        yield _crl(door.house.services)
        yield _delta(door.house.services)
    door.send("new", 64, scene.count(CONNECTIONS), leaves_each=2)
    yield from _memory(door, seconds)
    yield _command(door)


def _lists(services: Services, count: int) -> Iterator[Row]:
    chosen = random.Random(3)
    some = _some(services)
    states = [None, CertificateState.VALID, CertificateState.REVOKED]
    filters = [
        CertificateFilter(state=chosen.choice(states), after_id=chosen.choice(["", chosen.choice(some).id]))
        for _ in range(count)
    ]
    filters += [CertificateFilter(principal_id=chosen.choice(some).principal_id) for _ in range(count // 4)]
    wanted = iter(filters)
    yield _p95(
        "a page of the list, 1,000,000 certificates",
        len(filters),
        lambda: list_certificates(services, next(wanted)),
    )
    prefixes = [_prefix(chosen, chosen.choice(some)) for _ in range(count)]
    texts = iter(prefixes)
    yield _p95(
        "a look-up by a prefix, 1,000,000 certificates",
        count,
        lambda: find_certificate(services, next(texts)),
    )


def _some(services: Services) -> list[CertificateRecord]:
    """Return certificates from many places of the list."""
    found: list[CertificateRecord] = []
    for state in (CertificateState.VALID, CertificateState.REVOKED):
        after = ""
        for _ in range(10):
            page = list_certificates(services, CertificateFilter(state=state, after_id=after, limit=1000))
            found += page
            after = page[-1].id
    return found


def _prefix(chosen: random.Random, one: CertificateRecord) -> str:
    text = chosen.choice([one.id, one.sha256, f"{one.serial:x}"])
    return text[:16]


def _p95(name: str, count: int, look: Callable[[], object]) -> Row:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        look()
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return single(
        f"{name}, p95",
        [times[int(count * 0.95)]],
        unit="ms",
        goal=_PAGE,
        notes=(f"{count} of them: median {statistics.median(times):.1f} ms, slowest {times[-1]:.0f} ms.",),
    )


def _crl(services: Services) -> Row:
    began, cpu = time.perf_counter(), time.process_time()
    (made,) = publish_crls(services).values()
    seconds = time.perf_counter() - began
    return single(
        "building the CRL, 500,000 entries",
        [seconds],
        unit="s",
        goal=Goal(number=1.5, of=Of.OURS, at_most=True),
        notes=(
            f"{time.process_time() - cpu:.1f} s of it CPU; {len(made.der) / 1e6:.0f} MB; stored, with its event.",
        ),
    )


def _delta(services: Services) -> Row:
    """Publish a CRL that names a delta, revoke some certificates, and measure the delta; remove it afterwards."""
    on = replace(services, crl_deltas=True)
    complete = publish_crls(on)[FULL]
    wanted = CertificateFilter(state=CertificateState.VALID, limit=CHANGES)
    for one in list_certificates(services, wanted):
        revoke(services, one.id, RevocationReason.SUPERSEDED, ACTOR)
    began, cpu = time.perf_counter(), time.process_time()
    made = publish_crls(on, (delta_of(FULL),))[delta_of(FULL)]
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    with services.work.change() as stores:  # the installation is kept for the next run
        stores.deltas.end(made.authority_id, made.partition)
        stores.deltas.drop_bases(made.authority_id, FULL, before=made.number, now=made.this_update)
    publish_crls(services)  # otherwise `serve` would, while its memory is measured
    return single(
        f"building a delta CRL of {CHANGES} entries, base of 500,000",
        [seconds * 1e3],
        unit="ms",
        goal=Goal(number=100, of=Of.OURS, at_most=True),
        notes=(
            f"{cpu * 1e3:.0f} ms of it CPU; {len(made.der) / 1e3:.1f} KB instead of {len(complete.der) / 1e6:.0f} MB.",
        ),
    )


def _memory(door: Door, seconds: float) -> Iterator[Row]:
    for part, most in _MEMORY.items():
        used = pss_mb(door.house.pid(part))
        name = f"memory of {part}, 1,000,000 certificates"
        if used is None:
            yield Row(name=name, missing="only root may read the memory map of these processes")
        else:
            goal = Goal(number=most, of=Of.OURS, at_most=True)
            notes = ("PSS after new connections.", f"The certificates were seeded in {seconds:.0f} s.")
            yield single(name, [used], unit="MB", goal=goal, notes=notes)


def _command(door: Door) -> Row:
    words = [sys.executable, "-m", "doorward.cli", "cert", "list", "--data", str(door.house.data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - began)
    return single(
        "`doorward cert list`, 1,000,000 certificates",
        times,
        unit="s",
        notes=("By the clock, the first page.",),
    )
