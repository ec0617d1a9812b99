"""Reading, verifying and exporting the evidence of an installation, for the command line and the demo.

Not here: any of the checking (audit.verifying, audit.export).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from doorward.audit.events import printable
from doorward.audit.export import read_lines, render_export, verify_export
from doorward.audit.log import EventStore
from doorward.audit.report import LogFault, LogFaultCode, VerificationReport
from doorward.audit.verifying import verify_log
from doorward.core.errors import Unavailable
from doorward.runtime.compose import Installation
from doorward.runtime.private_files import create_private, refuse_existing
from doorward.runtime.verify_processes import SMALL_LOG, RangeProcesses, count_cores

Progress = Callable[[int, int], None]
_BLOCK = 1000
SIGNED_BY_SERVE = "`doorward serve`, also as a part of `up`, signs one within seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export holds; `checkpoint` is empty if none was signed yet."""

    events: int
    checkpoint: str


class Evidence:
    """The log of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._log = installation.event_log

    def size(self) -> int:
        """Return the number of events in the tree."""
        with self._log.read() as store:
            return store.tree_size()

    def events(self, start: int, limit: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield the events from a number on, up to the newest, with the personal data that is kept.

        Args:
            start: the first number.
            limit: the number to stop before; None goes on to the end.
        """
        while True:
            with self._log.read() as store:
                end = min(store.tree_size(), start + _BLOCK, start + _BLOCK if limit is None else limit)
                found = read_events(store, start, end)
            yield from found
            if not found:
                return
            start = int(found[-1]["number"]) + 1

    def verifier_key(self) -> str:
        """Return the log's verifier key, one line."""
        return self._installation.log_verifier_key()

    def checkpoint(self) -> str | None:
        """Return the newest signed checkpoint."""
        with self._log.read() as store:
            return store.latest_checkpoint()

    def verify(
        self,
        *,
        checkpoint: str | None = None,
        key: str | None = None,
        progress: Progress | None = None,
        jobs: int | None = None,
    ) -> VerificationReport:
        """Verify the log at rest; without `key`, with the key of this installation's founding.

        The database around it is checked as well: a trigger in it could swallow the next event.

        Args:
            checkpoint: a signed note that the caller has kept.
            key: a verifier key.
            progress: called with the number of leaves checked and of all.
            jobs: how many processes check the log, 1 for none but this one; None takes all cores. A small log is
                checked in this process.
        """
        with self._log.read() as store, ExitStack() as stack:
            count = count_cores() if jobs is None else jobs
            checker = None
            if count > 1 and store.tree_size() >= SMALL_LOG:
                place = (self._installation.settings.database, self._installation.layout.database)
                checker = stack.enter_context(RangeProcesses(*place, count))
            report = verify_log(
                store,
                checkpoint=checkpoint,
                verifier_key=self.verifier_key() if key is None else key,
                progress=progress,
                checker=checker,
            )
        database = self._installation.database
        with database.read() as connection:
            found = [
                (LogFaultCode.SCHEMA_ALTERED, text) for text in database.catalogue.find_faults(connection)
            ]
            found += [
                (LogFaultCode.STORE_DAMAGED, text) for text in database.catalogue.find_damage(connection)
            ]
        faults = [LogFault(code=code, message=printable(text)) for code, text in found]
        return replace(report, faults=(*report.faults, *faults))

    def unchecked(self) -> str:
        """Return what `verify` cannot check here, as a sentence; empty if it checks everything."""
        return self._installation.database.catalogue.unchecked

    def export(
        self,
        file: BinaryIO,
        *,
        checkpoint_out: Path | None = None,
        personal: bool = False,
        progress: Progress = lambda _done, _total: None,
    ) -> Exported:
        """Write an export, and its checkpoint into a file of its own.

        Args:
            file: where the lines go.
            checkpoint_out: a new file for the checkpoint. An existing file is an older checkpoint that was kept: a
                rewriting would be found by it, so it is not overwritten.
            personal: include the personal data that is still kept.
            progress: called with the number of events written and of all.

        Raises:
            RequestRefused: `file-exists`, before anything is written.
            Unavailable: `checkpoint-missing` if one is asked for and none was signed yet; also before anything is written.
        """
        if checkpoint_out:
            refuse_existing(checkpoint_out, option="--checkpoint-out")
        with self._log.read() as store:
            # From the same snapshot: a checkpoint that is signed meanwhile would cover more than the export.
            checkpoint, size = store.latest_checkpoint() or "", store.tree_size()
            if checkpoint_out and not checkpoint:
                raise Unavailable(
                    "checkpoint-missing",
                    "no checkpoint of this log was signed yet",
                    hint=SIGNED_BY_SERVE,
                )
            for done, line in enumerate(render_export(store, self.verifier_key(), personal=personal)):
                file.write(line)
                if done % _BLOCK == 0:
                    progress(done, size)
        if checkpoint_out:
            create_private(checkpoint_out, checkpoint.encode("utf-8"), option="--checkpoint-out")
        return Exported(events=size, checkpoint=checkpoint)


def read_events(store: EventStore, start: int, end: int) -> list[dict[str, Any]]:
    """Return the events of a range of numbers, with the personal data that is kept."""
    opened: dict[int, dict[str, str]] = {}
    for number, opening in store.openings(start, end):
        opened.setdefault(number, {})[opening.field] = opening.value
    events = []
    for leaf in store.leaves(start, end):
        value = json.loads(leaf.leaf)
        value.pop("personal", None)
        events.append({"number": leaf.number, **value, "personal": opened.get(leaf.number, {})})
    return events


def verify_file(path: Path, *, checkpoint: str | None, key: str | None) -> VerificationReport:
    """Verify an export alone; nothing of the installation is needed."""
    with path.open("rb") as file:
        return verify_export(read_lines(file), checkpoint=checkpoint, verifier_key=key)


def refuse_empty(report: VerificationReport) -> None:
    """Raise `Unavailable` (`checkpoint-missing`) if there was nothing to verify: no event and no signature."""
    if not (report.faults or report.size or report.signature_verified):
        raise Unavailable(
            "checkpoint-missing",
            "the log holds no event yet and no checkpoint: there is nothing to verify",
            hint=SIGNED_BY_SERVE,
        )


def report_value(report: VerificationReport) -> dict[str, Any]:
    """Return a report for `--json`."""
    return {
        "verified": report.verified,
        "consistent": not report.faults,
        "origin": report.origin,
        "size": report.size,
        "root": report.root.hex(),
        "anchored_size": report.anchored_size,
        "signature_verified": report.signature_verified,
        "opened": report.opened,
        "redacted": report.redacted,
        "faults": [
            {
                "code": fault.code.value,
                "message": fault.message,
                "number": fault.number,
                "event_id": fault.event_id,
                "event_type": fault.event_type,
                "field": fault.field,
            }
            for fault in report.faults
        ],
        "faults_omitted": report.faults_omitted,
    }
