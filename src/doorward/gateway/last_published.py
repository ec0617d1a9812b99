"""Which revision Envoy last had in force, kept over restarts: what a start falls back to.

Not here: the document itself, which the database has. Nothing is let in on the word of this file:
the gate compares what is published with what is judged by, application by application.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from doorward.gateway.files import replace_file

_LONGEST = 20
_log = structlog.get_logger("doorward.publishing")


class LastPublished:
    """One number in one file of the gateway's own folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: int | None = None

    def number(self) -> int | None:
        """Return the revision that was last confirmed, None where nothing (readable) says so."""
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return int(text) if text.isdigit() and len(text) <= _LONGEST else None

    def note(self, number: int) -> None:
        """Keep a number durably; where that fails, a later start has nothing, or less, to fall back to."""
        if number == self._known:
            return
        try:
            replace_file(self._path, f"{number}\n".encode(), durable=True)
            self._known = number
        except OSError as error:
            _log.error("the published revision could not be noted", why=error.strerror)
