"""The generator of load (`load.c`), compiled when it is needed: what it is told, and what it says."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.machine import CACHE, REST, on_core

SOURCE = Path(__file__).with_name("load.c")
LONGEST_SECONDS = 1200
"""A stampede of 50,000 clients takes minutes if other programs run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the generator counted.

    Args:
        seconds: from the first connection (or request) to the last answer.
        cpu_seconds: that the generator used itself meanwhile.
        statuses: answers by HTTP status.
        refused: connections that ended without an answer.
        lacking: answers without the text that `Target.expected` asks for.
        why: what the first of them was told.
        latency_us: `p50`, `p95`, `p99`, `max`.
    """

    seconds: float
    cpu_seconds: float
    statuses: Mapping[str, int]
    refused: int
    lacking: int
    why: str
    latency_us: Mapping[str, float]

    @property
    def ok(self) -> int:
        """How many answers had the status 200 (204 included)."""
        return self.statuses.get("200", 0) + self.statuses.get("204", 0)

    @property
    def share(self) -> float:
        """The share of its core that the generator used."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


class LoadFailed(Exception):
    """Something else came than answers with status 200: then nothing was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the load goes.

    Args:
        port: on loopback.
        name: the server name.
        requests: the file of requests (`write_requests`).
        identities: pairs of files, chain and key, used in turn.
        expected: a text that every answer should contain, only for the mode `plain`; empty for none.
    """

    port: int
    name: str
    requests: Path
    identities: Sequence[tuple[Path, Path]] = ()
    expected: str = ""


def send(
    target: Target, mode: str, connections: int, count: int, *, ready: Callable[[], None] = lambda: None
) -> Loaded:
    """Send load from the other core, and return what came.

    Args:
        target: where it goes.
        mode: `new`, `storm`, `visit`, `keep` or `plain`, as `load.c` explains them.
        connections: at once.
        count: of connections (new) or requests.
        ready: called once the kept connections are open, before the load begins.

    Raises:
        LoadFailed: an answer was missing, or was not 200.
    """
    with _started(target, mode, connections, count) as generator:
        ready()
        found = _finished(generator)
    if (found.refused and mode not in {"storm", "visit"}) or found.ok < count:
        raise LoadFailed(
            f"{found.ok} of {count} answers with 200, {found.statuses}, {found.refused} refused: {found.why}"
        )
    return found


@contextmanager
def holding(target: Target, connections: int) -> Iterator[list[Loaded]]:
    """Keep so many connections open while the block runs, then send a request on each of them.

    Yields a list that gets what came of the requests at the end of the block. A connection that had ended counts as
    refused, and another one takes its place.
    """
    held: list[Loaded] = []
    with _started(target, "keep", connections, connections) as generator:
        yield held
        held.append(_finished(generator))


@contextmanager
def _started(target: Target, mode: str, connections: int, count: int) -> Iterator[subprocess.Popen[str]]:
    """Start the generator on the other core, and wait until it is ready."""
    words = [str(one) for pair in target.identities for one in pair]
    words += [target.expected] if target.expected else []
    command = [
        str(program()),
        mode,
        str(target.port),
        target.name,
        str(connections),
        str(count),
        str(target.requests),
        *words,
    ]
    with on_core(REST):
        generator = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    with generator:
        assert generator.stdout is not None
        if not generator.stdout.readline():
            _finished(generator)
            raise LoadFailed("the generator ended before the load")
        yield generator


def _finished(generator: subprocess.Popen[str]) -> Loaded:
    """Let the load begin, and return what came."""
    try:
        printed, said = generator.communicate("\n", LONGEST_SECONDS)
    except subprocess.TimeoutExpired:
        generator.kill()
        raise LoadFailed(f"the load did not end within {LONGEST_SECONDS} s") from None
    if generator.returncode:
        raise LoadFailed(said.strip() or f"the generator ended with {generator.returncode}")
    return parse(printed)


def parse(text: str) -> Loaded:
    """Parse what the generator prints."""
    return Loaded(**json.loads(text))


def write_requests(path: Path, requests: Sequence[bytes]) -> Path:
    """Write the file of requests; return its path."""
    path.write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in requests))
    return path


@cache
def program() -> Path:
    """Return the compiled generator; its name is the source's digest, because a checkout or a copy changes times.

    Raises:
        SystemExit: it cannot be compiled; what gcc said was printed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    made = CACHE / f"load-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if not made.exists():
        for old in CACHE.glob("load*"):
            old.unlink()
        command = [
            "gcc",
            "-std=gnu11",
            "-O2",
            "-Wall",
            "-Wextra",
            str(SOURCE),
            "-o",
            str(made),
            "-lssl",
            "-lcrypto",
        ]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(
                "bench: load.c cannot be compiled: gcc and OpenSSL's headers (libssl-dev) are needed"
            )
    return made
