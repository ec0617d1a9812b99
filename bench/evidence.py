"""Evidence at line rate: from the lines of Envoy's log to a signed checkpoint, on a database file with fsync.

The lines have the form that our Envoy writes: 400 people, 12 applications, 64 connections with 1 to 100 requests each. One process
does what the gateway and `serve` do in turn: it records the lines, places the leaves in the tree, indexes them, signs the head. The run
ends when nothing is left to record or to place.

- *CPU for a leaf*: everything from the line to the checkpoint.
- *bytes for a leaf*: the growth of the database file, after the write-ahead log was copied into it.
- *verify*: every leaf, hash, personal value, and entry of the search index, as `doorward audit verify` does it on both cores. What
  a person waits for is time by the clock, so the goal is of that; the CPU of all processes is beside it. Starting the processes is
  included, and counts three times in the figure for a million.
- *proof*: one leaf, its inclusion proof, and its verification; the slowest of 50.
"""

from __future__ import annotations

import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.machine import CACHE, MEASURED, REST, on_core
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene
from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.merkle import inclusion_proof, leaf_hash, root_hash, verify_inclusion
from doorward.audit.note import render_verifier_key, verifier_key
from doorward.audit.verifying import verify_log
from doorward.gateway.access_log.ingest import Ingest
from doorward.runtime.indexing import index_next
from doorward.runtime.serve import SEQUENCED_AT_ONCE
from doorward.runtime.verify_processes import RangeProcesses, count_cores
from doorward.runtime.world import SoftwareKeys, SystemClock, SystemRandom
from doorward.storage.event_store import SqlEventLog
from doorward.storage.schema_versions import migrate
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.unit_of_work import SqlUnitOfWork
from doorward.stores.services import Services

LINES = 300_000
ORIGIN = "bench.example/audit"
GATEWAY = "gtw_" + "g" * 20
PROOFS = 50


class _Quiet:
    def announce(self) -> None:
        """Nobody waits."""

    def notify(self) -> None:
        """Nobody waits."""


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    count = scene.count(LINES)
    with tempfile.TemporaryDirectory(prefix="evidence-", dir=CACHE) as place, on_core(MEASURED):
        folder = Path(place)
        (folder / "access.log").write_bytes(b"".join(_lines(count)))
        database = SqliteDatabase(folder / "doorward.db")
        with closing(database):
            migrate(database)
            yield from _measure(database, folder, count)


def _measure(database: SqliteDatabase, folder: Path, count: int) -> Iterator[Row]:
    random_source = SystemRandom()
    services = Services(
        work=SqlUnitOfWork(database, random=random_source, notifier=_Quiet()),
        clock=SystemClock(),
        random=random_source,
        factory=SoftwareKeys(),
    )
    log, key = SqlEventLog(database), Ed25519PrivateKey.generate()
    ingest = Ingest(services, GATEWAY, folder, lambda: None)
    empty = _size(folder)
    began, began_at = time.process_time(), time.perf_counter()
    recording = 0.0
    more = True
    while more:
        since = time.process_time()
        more = ingest.take()
        recording += time.process_time() - since
        with log.change() as store:
            while sequence(store, SEQUENCED_AT_ONCE) >= SEQUENCED_AT_ONCE:
                pass
    since = time.process_time()
    while index_next(log):
        pass
    indexing = time.process_time() - since
    with log.change() as store:
        sign_checkpoint(store, key, ORIGIN, services.clock.now())
    cpu, wall = time.process_time() - began, time.perf_counter() - began_at
    size = _size(folder) - empty
    with log.read() as store:
        if store.tree_size() != count:
            raise SystemExit(f"{store.tree_size()} leaves of {count} lines")
    verifier = render_verifier_key(verifier_key(ORIGIN, key.public_key()))
    alone = _verify(log, folder, verifier, 1)
    os.sched_setaffinity(0, {MEASURED, REST})  # until the end of `on_core`
    together = _verify(log, folder, verifier, count_cores())
    os.sched_setaffinity(0, {MEASURED})
    slowest = max(_prove(log, random.randrange(count), count) for _ in range(PROOFS))
    yield single(
        "access events, line to checkpoint",
        [count / cpu],
        unit="a second of CPU",
        goal=Goal(number=25_000, of=Of.OURS),
        notes=(
            (
                f"{count:,} lines; {cpu / count * 1e6:.1f} µs each, of which recording {recording / count * 1e6:.1f} and "
                f"the search index {indexing / count * 1e6:.1f}; "
                f"{count / wall:.0f} a second by the clock."
            ),
        ),
    )
    yield single(
        "bytes for a leaf on disk",
        [size / count],
        unit="bytes",
        goal=Goal(number=250, of=Of.OURS, at_most=True),
    )
    yield single(
        "verifying 1,000,000 leaves",
        [together.wall / count * 1e6],
        unit="s by the clock",
        goal=Goal(number=10, of=Of.OURS, at_most=True),
        notes=(
            (
                f"From {count:,} leaves, with {together.processes} processes on as many cores, which used "
                f"{together.cpu / count * 1e6:.1f} s of CPU for a million. In one process: {alone.wall / count * 1e6:.1f} s by the clock, "
                f"{alone.cpu / count * 1e6:.1f} of CPU."
            ),
        ),
    )
    yield single(
        f"slowest of {PROOFS} proofs of a leaf",
        [slowest * 1e3],
        unit="ms",
        goal=Goal(number=50, of=Of.OURS, at_most=True),
    )


class _Verified(NamedTuple):
    """Seconds by the clock, and of CPU of all processes."""

    processes: int
    wall: float
    cpu: float


def _verify(log: SqlEventLog, folder: Path, key: str, processes: int) -> _Verified:
    began, used = time.perf_counter(), _cpu()
    with log.read() as store, RangeProcesses("", folder / "doorward.db", processes) as checker:
        report = verify_log(store, verifier_key=key, checker=checker if processes > 1 else None)
        wall = time.perf_counter() - began
    if not report.verified:
        raise SystemExit(f"not verified: {report.faults[:3]}")
    return _Verified(processes, wall, _cpu() - used)


def _cpu() -> float:
    """Return the seconds of CPU of this process and of those below it that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def _prove(log: SqlEventLog, number: int, size: int) -> float:
    began = time.perf_counter()
    with log.read() as store:
        (row,) = store.leaves(number, number + 1)
        root = root_hash(size, store.nodes)
        proof = inclusion_proof(number, size, store.nodes)
    if not verify_inclusion(leaf_hash(row.leaf), number, size, proof, root):
        raise SystemExit("a proof does not verify")
    return time.perf_counter() - began


def _size(folder: Path) -> int:
    """Return the bytes of the database file with the write-ahead log copied into it."""
    import sqlite3  # noqa: PLC0415  only here

    with closing(sqlite3.connect(folder / "doorward.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "doorward.db").stat().st_size


def _lines(count: int) -> Iterator[bytes]:
    chosen = random.Random(7)
    people, applications = [_id("per", chosen) for _ in range(400)], [_id("app", chosen) for _ in range(12)]
    connections = [_connection(chosen, people, applications, number) for number in range(64)]
    for number in range(count):
        place = chosen.randrange(64)
        left, facts = connections[place]
        if not left:
            left, facts = connections[place] = _connection(chosen, people, applications, number)
        connections[place] = (left - 1, facts)
        milliseconds = number // 20
        about = {
            **facts,
            "attempts": 1,
            "cleared": None,
            "detail": "via_upstream",
            "flags": "-",
            "grpc": None,
            "method": chosen.choice(["GET", "GET", "GET", "POST"]),
            "protocol": "HTTP/2",
            "route": "rules",
            "status": chosen.choice([200, 200, 200, 200, 404]),
        }
        line = {
            "about": dict(sorted(about.items())),
            "bytes_received": chosen.choice([0, 0, 0, 312]),
            "bytes_sent": chosen.randrange(80, 30_000),
            "duration_ms": chosen.randrange(1, 60),
            "kind": "request",
            "path": f"/accounts/{chosen.randrange(10**6)}/statements",
            "request": str(_uuid(chosen)),
            "time": f"2026-11-23T{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:"
            f"{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}Z",
        }
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _connection(
    chosen: random.Random, people: list[str], applications: list[str], number: int
) -> tuple[int, dict[str, Any]]:
    return chosen.randrange(1, 101), {
        "application": chosen.choice(applications),
        "certificate": _id("crt", chosen),
        "connection": number,
        "decision": _id("evt", chosen),
        "principal": chosen.choice(people),
        "remote": f"198.51.100.{chosen.randrange(256)}:{chosen.randrange(1024, 65536)}",
        "rule": _id("g", chosen)[2:],
    }


def _id(prefix: str, chosen: random.Random) -> str:
    return f"{prefix}_" + "".join(chosen.choices("abcdefghijklmnopqrstuvwxyz234567", k=20))


def _uuid(chosen: random.Random) -> str:
    digits = f"{chosen.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-9{digits[17:20]}-{digits[20:]}"
