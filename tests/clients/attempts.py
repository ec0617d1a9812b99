"""One thing that one outside client tries, and the line that tells the result.

attempt = Attempt(client="curl", programs=("curl",), tried="fetch the authority's certificates", act=fetch)
result = attempt.run(doorway, folder)
result.outcome       OK, OURS, THEIRS or ABSENT
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from tests.support.commands import run_program
from tests.support.doorway import Doorway

NOTE_LIMIT = 300


class Outcome(Enum):
    """How an attempt ended, as the line says it."""

    OK = "ok"
    OURS = "NOT OK: our fault"
    THEIRS = "not ok: their fault"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of an attempt; `note` is one line."""

    client: str
    version: str
    tried: str
    outcome: Outcome
    note: str = ""

    def line(self) -> str:
        """Return it as one line."""
        words = f"{self.outcome.value:<20} {self.client:<16} {self.version:<10} {self.tried}"
        return f"{words}: {self.note}" if self.note else words


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What a client tries.

    Args:
        client: its name.
        programs: without one of these programs, or files with a whole path, it is absent.
        tried: in words.
        act: tries it in an empty folder; any exception means that it did not work.
        version: the words that print the version; the first number with a dot in their output is it.
        theirs: why a failure is the client's fault; empty means that a failure is ours.
    """

    client: str
    programs: tuple[str, ...]
    tried: str
    act: Callable[[Doorway, Path], None]
    version: tuple[str, ...]
    theirs: str = ""

    @property
    def missing(self) -> list[str]:
        """The programs and files that are not here."""
        return [one for one in self.programs if shutil.which(one) is None and not Path(one).is_file()]

    def run(self, door: Doorway, folder: Path) -> Result:
        """Try it."""
        if self.missing:
            return self._result(Outcome.ABSENT, f"not installed: {', '.join(self.missing)}", version="")
        try:
            self.act(door, folder)
        except Exception as error:  # noqa: BLE001 - each failure becomes one line
            told = " ".join(str(error).split())[-NOTE_LIMIT:] or type(error).__name__
            if self.theirs:
                return self._result(Outcome.THEIRS, f"{self.theirs} ({told})")
            return self._result(Outcome.OURS, told)
        return self._result(Outcome.OK, "it works now: it is marked as their fault" if self.theirs else "")

    def _result(self, outcome: Outcome, note: str, *, version: str | None = None) -> Result:
        found = _version_of(self.version) if version is None else version
        return Result(client=self.client, version=found, tried=self.tried, outcome=outcome, note=note)


def exit_code(results: Sequence[Result]) -> int:
    """Return 0 if no failure is ours."""
    return int(any(one.outcome is Outcome.OURS for one in results))


def call(*command: str | Path, code: int = 0, **more: Any) -> str:
    """Run a program; return all that it wrote; fail with it if the exit code is another."""
    done = run_program([str(one) for one in command], **more)
    said = done.stdout + done.stderr
    assert done.returncode == code, f"{Path(str(command[0])).name} ended with {done.returncode}: {said}"
    return said


def _version_of(command: Sequence[str]) -> str:
    done = run_program(command)
    for word in (done.stdout + " " + done.stderr).split():
        text = word.strip("v(),;")
        if text[:1].isdigit() and "." in text:
            return text
    return "?"
