"""Withdraws authority from another process, as the command line does: `python -m tests.support.withdrawer DATA`.

with Withdrawer(data) as withdrawer:
    made = withdrawer.withdraw("revoke", certificate=certificate_id)

The process has the installation open and does one line of JSON after the other. Apart from the tests' process, because the
threads of that one hold its interpreter for some milliseconds each, and a commit would wait for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from doorward.access.policies import apply_document
from doorward.authority.revocation import hold, revoke
from doorward.core.certificate import RevocationReason
from doorward.directory.nesting import unnest
from doorward.directory.principals import remove_member, suspend
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings
from doorward.stores.services import Services
from tests.support.doorway import ACTOR

ROOT = Path(__file__).parents[2]
KINDS = ("revoke", "hold", "suspend", "group taken away", "inner group out", "deny added")


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """One change: its number, its commit time, and when the call returned (seconds of the machine's clock)."""

    seq: int
    at: float
    returned: float


class Withdrawer:
    """The process, as long as the block runs."""

    def __init__(self, data: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.withdrawer", str(data)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self._output.readline() == "ready\n"
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)

    def withdraw(self, kind: str, *, certificate: str = "", document: str = "") -> Withdrawn:
        """Withdraw authority from `victim` in one of the `KINDS`: by this certificate, or by this document."""
        assert self._process.stdin is not None
        print(json.dumps([kind, certificate, document]), file=self._process.stdin, flush=True)
        return Withdrawn(**json.loads(self._output.readline()))

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


def _withdraw(services: Services, kind: str, certificate: str, document: str) -> int:
    match kind:
        case "revoke":
            return revoke(services, certificate, RevocationReason.KEY_COMPROMISE, ACTOR)
        case "hold":
            return hold(services, certificate, ACTOR)
        case "suspend":
            return suspend(services, "victim", actor=ACTOR).seq
        case "group taken away":
            return remove_member(services, "staff", "victim", actor=ACTOR).seq
        case "inner group out":
            return unnest(services, "staff", "crew", actor=ACTOR).seq
        case _:
            return apply_document(services, document, file="test.yaml", actor=ACTOR).seq


def _committed_at(services: Services, seq: int) -> float:
    with services.work.read() as stores:
        (change,) = stores.changes.since(seq - 1, 1)
    assert change.seq == seq
    return change.at.timestamp()


def main(data: Path) -> None:
    """Do one line of standard input after the other, and print what came of it."""
    with closing(Installation(load_settings(environ={}, data=data))) as installation:
        installation.unlock()
        services = installation.services
        _ = installation.tenant()  # opens the database
        print("ready", flush=True)
        for line in sys.stdin:
            seq = _withdraw(services, *json.loads(line))
            returned = time.time()
            made = {"seq": seq, "at": _committed_at(services, seq), "returned": returned}
            print(json.dumps(made), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
