"""Logging at the edges: JSON lines, or readable lines on a terminal; to standard error.

Callers never log keys, tokens, links, codes or whole headers. Traces of exceptions are logged without the values of local
variables, which could be any of these.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

from doorward.core.untrusted_text import escape_unprintable
from doorward.runtime.incidents import IncidentFile


def configure_logging(level: str, *, role: str, incidents: Path | None = None) -> None:
    """Set up structlog for this process.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        role: what this process is; part of every line.
        incidents: a file for lines that name an incident; None for no file.
    """
    terminal = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=_write_trace)
        if terminal
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    last: list[structlog.types.Processor] = (
        [_show_texts] if terminal else [structlog.processors.ExceptionRenderer(traces)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([IncidentFile(incidents)] if incidents else []),
            *last,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)


class LossyStream:
    """A stream for logs that never fails: a line that cannot be written is lost.

    Standard error may be a file on the same full disk as the data. An error there would end the thread that logs it, and
    with it, for example, the withdrawal of access.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with suppress(OSError, ValueError):  # a closed stream is a ValueError
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or keep it."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def _show_texts(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape values, so that none can control the terminal; JSON lines are ASCII already."""
    return {
        name: escape_unprintable(value) if isinstance(value, str) else value for name, value in line.items()
    }


def _write_trace(stream: TextIO, error: Any) -> None:
    structlog.dev.plain_traceback(text := StringIO(), error)
    stream.write(escape_unprintable(text.getvalue(), keep_lines=True))
