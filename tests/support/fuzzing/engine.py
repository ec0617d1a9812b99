"""A fuzzer: feeds a parser broken inputs, keeps those that reach something new, and makes more of them.

New is a line of ours that no input reached, or an answer (error, its cause in the library) that none had:
the library's errors tell the place inside the DER, so that the native parsers guide the search too.
What is held of every input:
1. nothing escapes but errors of ours (and what the target names beside them), whatever was asked of it;
2. it takes less than the target's seconds of processor time and `WALL_SECONDS` of any;
3. the process stays below `MEMORY_BYTES`.
An input that breaks a rule lies in the file that was named when the process began, also where the process
was killed for it: it is written there before it is tried.

Not here: the parsers (targets), how broken inputs are made (mutating).
"""

from __future__ import annotations

import faulthandler
import mmap
import random
import re
import resource
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import doorward
from doorward.core.errors import DoorwardError
from tests.support.fuzzing.mutating import LARGEST, mutate
from tests.support.fuzzing.targets import Harness, Target

WALL_SECONDS = 120.0
"""Of one input, on a machine that has other things to do; what waits for ever is found."""
MEMORY_BYTES = 1 << 30
CORPUS_LIMIT = 3000

_OURS = str(Path(doorward.__file__).parent)
_CHANGING = re.compile(r"[0-9]+|0x[0-9a-f]+")


class Broken(Exception):
    """An input broke a rule; the cause is what escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a run did: inputs tried, inputs kept, lines of ours reached, different answers, seconds of the slowest."""

    tried: int
    kept: int
    lines: int
    answers: int
    slowest: float


def answer_of(harness: Harness, data: bytes) -> str:
    """Try one input and return in a word what came of it; raise `Broken` if it breaks the first rule."""
    try:
        return f"value {harness.judge(data)}"[:200]
    except DoorwardError as error:
        cause = _CHANGING.sub("#", repr(error.__cause__))[:200]
        return f"{type(error).__name__} {error.code} {_CHANGING.sub('#', error.detail)[:80]} {cause}"
    except harness.allowed as error:
        return type(error).__name__
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a native library is no Exception
        raise Broken(f"{type(error).__module__}.{type(error).__name__}: {error}"[:500]) from error


def try_some(target: Target, *, seed: int, count: int) -> int:
    """Try the seeds and `count` inputs made of them, in this process and without search; return how many."""
    harness, source = target.prepare(), random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the library warns of odd certificates; at a door these warnings go nowhere
        for data in harness.seeds:
            answer_of(harness, data)
        for _ in range(count):
            data = mutate(source.choice(harness.seeds), harness.seeds, target.shape, source)
            try:
                answer_of(harness, data)
            except Broken as broken:
                broken.add_note(f"{target.name}, seed {seed}, input {data!r}")
                raise
    return len(harness.seeds) + count


def search(target: Target, *, seed: int, seconds: float, kept_in: Path) -> Tally:
    """Fuzz one target for a time, in a process that does nothing else: it may be killed by its limits.

    Args:
        target: whom.
        seed: of all choices.
        seconds: wall clock.
        kept_in: the file that holds the input which is being tried.

    Raises:
        Broken: an input broke the first or third rule; for the second the process dies of SIGPROF or SIGALRM.
    """
    warnings.simplefilter("ignore")
    harness, source = target.prepare(), random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (4 * MEMORY_BYTES, 4 * MEMORY_BYTES))
    for number in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(number, chain=True)
    corpus = list(harness.seeds)
    waiting = list(harness.seeds)
    trace = _Trace()
    answers: set[str] = set()
    tried, slowest, end = 0, 0.0, time.monotonic() + seconds
    with _open_box(kept_in) as box:
        while waiting or time.monotonic() < end:
            data = waiting.pop() if waiting else mutate(_choose(corpus, source), corpus, target.shape, source)
            _put(box, data)
            begin = time.process_time()
            _limit(target.cpu_seconds, WALL_SECONDS)
            with trace:
                answer = answer_of(harness, data)
            _limit(0, 0)
            tried, slowest = tried + 1, max(slowest, time.process_time() - begin)
            if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > MEMORY_BYTES:
                raise Broken(f"the process has more than {MEMORY_BYTES} bytes")
            if trace.take_news() | (answer not in answers):
                answers.add(answer)
                if len(corpus) < CORPUS_LIMIT:
                    corpus.append(data)
                else:
                    corpus[source.randrange(len(harness.seeds), CORPUS_LIMIT)] = data
    return Tally(tried=tried, kept=len(corpus), lines=len(trace.known), answers=len(answers), slowest=slowest)


def _choose(corpus: list[bytes], source: random.Random) -> bytes:
    """Half of all from the newest: what was reached last has been explored least."""
    return source.choice(corpus[-40:] if source.random() < 0.5 else corpus)


def _limit(cpu: float, wall: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, cpu)
    signal.setitimer(signal.ITIMER_REAL, wall)


@contextmanager
def _open_box(path: Path) -> Iterator[mmap.mmap]:
    """Yield a file in memory: the kernel keeps what was written though the process is killed."""
    path.write_bytes(bytes(8 + LARGEST))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as box:
        yield box


def _put(box: mmap.mmap, data: bytes) -> None:
    box[:8] = len(data).to_bytes(8)
    box[8 : 8 + len(data)] = data


def take_out(path: Path) -> bytes:
    """Return the input that such a file holds."""
    raw = path.read_bytes()
    return raw[8 : 8 + int.from_bytes(raw[:8])]


class _Trace:
    """Which lines of ours were run; a context manager around what is watched."""

    def __init__(self) -> None:
        self.known: set[tuple[int, int]] = set()
        self._seen: set[tuple[int, int]] = set()
        self._codes: dict[int, tuple[types.CodeType, bool]] = {}

    def __enter__(self) -> None:
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def take_news(self) -> bool:
        """Return whether a line was reached that was not known, and know it from now on."""
        news = not self._seen <= self.known
        self.known |= self._seen
        self._seen.clear()
        return news

    def _enter(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        kept = self._codes.get(id(code))
        if kept is None or kept[0] is not code:
            kept = self._codes[id(code)] = (code, code.co_filename.startswith(_OURS))
        return self._line if kept[1] else None

    def _line(self, frame: types.FrameType, _event: str, _argument: Any) -> Any:
        self._seen.add((id(frame.f_code), frame.f_lineno))
        return self._line
