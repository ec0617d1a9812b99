"""What the log said of an incident, kept so that `doorward explain` can find it: a small file of JSON lines.

Not here: what is safe to say of an error (`web.problems`). The file is bounded; the oldest incidents go.
"""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_BYTES = 256 * 1024
"""Some hundred incidents; there are two files of this size at most."""


class IncidentFile:
    """A processor of the log: lines that name an incident are written down as well.

    Args:
        path: the file; its former half lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(
        self, _logger: object, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Write a line down; a failure here must not stop the log."""
        if "incident" in line:
            with suppress(OSError, ValueError, TypeError):
                self._append(json.dumps(dict(line), default=str, sort_keys=True).encode() + b"\n")
        return line

    def _append(self, text: bytes) -> None:
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            os.write(descriptor, text)
            full = os.fstat(descriptor).st_size > MOST_BYTES
        finally:
            os.close(descriptor)
        if full:
            self._path.replace(_former(self._path))


def find_incident(path: Path, incident: str) -> dict[str, Any] | None:
    """Return what was logged of an incident, None if nothing is known any more."""
    for file in (path, _former(path)):
        with suppress(OSError):
            for line in file.read_bytes().splitlines():
                with suppress(ValueError):
                    value = json.loads(line)
                    if isinstance(value, dict) and value.get("incident") == incident:
                        return value
    return None


def _former(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")
