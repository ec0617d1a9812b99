"""Reading, verifying and exporting the evidence of an installation, for the command line and the demo.

Not here: any of the checking (audit.verifying, audit.export).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from doorward.audit.export import read_lines, render_export, verify_export
from doorward.audit.report import VerificationReport
from doorward.audit.verifying import verify_log
from doorward.runtime.compose import Installation

Progress = Callable[[int, int], None]
_BLOCK = 1000


class Evidence:
    """The log of one installation."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._log = installation.event_log

    def size(self) -> int:
        """Return the number of events in the tree."""
        with self._log.read() as store:
            return store.tree_size()

    def events(self, start: int) -> Iterator[dict[str, Any]]:
        """Yield the events from a number on, as far as there are any now, with the personal data that is kept."""
        while True:
            with self._log.read() as store:
                end = min(store.tree_size(), start + _BLOCK)
                opened: dict[int, dict[str, str]] = {}
                for number, opening in store.openings(start, end):
                    opened.setdefault(number, {})[opening.field] = opening.value
                leaves = list(store.leaves(start, end))
            for leaf in leaves:
                value = json.loads(leaf.leaf)
                value.pop("personal", None)
                yield {"number": leaf.number, **value, "personal": opened.get(leaf.number, {})}
            if not leaves:
                return
            start = leaves[-1].number + 1

    def verifier_key(self) -> str:
        """Return the log's verifier key, one line."""
        return self._installation.log_verifier_key()

    def checkpoint(self) -> str | None:
        """Return the newest signed checkpoint."""
        with self._log.read() as store:
            return store.latest_checkpoint()

    def verify(
        self, *, checkpoint: str | None = None, key: str | None = None, progress: Progress | None = None
    ) -> VerificationReport:
        """Verify the log at rest; without `key`, by the key that this installation was founded with."""
        with self._log.read() as store:
            return verify_log(
                store, checkpoint=checkpoint, verifier_key=key or self.verifier_key(), progress=progress
            )

    def export(self, *, personal: bool = False) -> Iterator[bytes]:
        """Yield the lines of an export, each with its line feed."""
        with self._log.read() as store:
            yield from render_export(store, self.verifier_key(), personal=personal)


def verify_file(path: Path, *, checkpoint: str | None, key: str | None) -> VerificationReport:
    """Verify an export alone; nothing of the installation is needed."""
    with path.open("rb") as file:
        return verify_export(read_lines(file), checkpoint=checkpoint, verifier_key=key)


def report_value(report: VerificationReport) -> dict[str, Any]:
    """Return a report for `--json`."""
    return {
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
