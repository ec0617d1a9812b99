"""A small file of JSON lines with the log entries of incidents, for `doorward explain`.

The file is bounded: the oldest incidents are dropped. Not here: what a peer is told about an error (`web.problems`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_DIGITS = re.compile("[0-9a-f]{8}")
_SIGNS = str.maketrans("", "", "- \u2010\u2011\u2013")

MOST_BYTES = 256 * 1024
"""Some hundred incidents; there are two files of this size at most."""


class IncidentFile:
    """A processor of the log that also writes lines with an incident into a file.

    Args:
        path: the file; its older half is beside it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(
        self, _logger: object, _method: str, line: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Write a line; a failure here must not stop the log."""
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


def parse_incident(text: str) -> str:
    """Return the eight hexadecimal digits of an incident id; empty if it is none.

    Args:
        text: as a person types or dictates it: `3f2a-9c1b`, in capitals, with spaces, or without the hyphen.
    """
    digits = text.translate(_SIGNS).lower()
    return digits if _DIGITS.fullmatch(digits) else ""


def incident_of(request: str) -> str:
    """Return the incident id that a page showed for a request; empty if there is none for such an id."""
    digits = parse_incident(request[:8])
    return f"{digits[:4]}-{digits[4:]}" if digits else ""


def find_incident(path: Path, incident: str) -> dict[str, Any] | None:
    """Return the log entry of an incident; None if it is not kept."""
    wanted = parse_incident(incident) or incident
    for file in (path, _former(path)):
        with suppress(OSError):
            for line in file.read_bytes().splitlines():
                with suppress(ValueError):
                    value = json.loads(line)
                    if isinstance(value, dict) and _is(value.get("incident"), wanted):
                        return value
    return None


def _is(found: object, wanted: str) -> bool:
    return isinstance(found, str) and (parse_incident(found) or found) == wanted


def _former(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")
