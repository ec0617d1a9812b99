"""What a target of the fuzzer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.fuzzing.mutating import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """A target made ready.

    Args:
        seeds: sound inputs to begin with, one at least.
        judge: gives one input to the parser and asks the result all that production asks; what it returns
            tells answers apart (kept short).
        allowed: exceptions besides ours that the callers of the parser catch.
    """

    seeds: Sequence[bytes]
    judge: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Parsers that are fuzzed together.

    Args:
        name: in the command line and in failures.
        covers: `module.function` of each, below `doorward`.
        shape: of its inputs.
        prepare: makes keys and sound inputs; called once in each process.
        cpu_seconds: of one input, under the tracer, which makes our own code some five times slower.
    """

    name: str
    covers: tuple[str, ...]
    shape: Shape
    prepare: Callable[[], Harness]
    cpu_seconds: float = 5.0
