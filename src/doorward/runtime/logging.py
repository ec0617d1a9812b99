"""Logging at the edges: JSON lines, or readable lines on a terminal; to standard error.

Never logged, by the code that calls this: keys, tokens, links, codes, whole headers. Traces of
exceptions are logged without the values of local variables, which may be any of these.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(level: str, *, role: str) -> None:
    """Set up structlog for this process.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        role: what this process is; part of every line.
    """
    terminal = sys.stderr.isatty()
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    errors: list[structlog.types.Processor] = (
        [] if terminal else [structlog.processors.ExceptionRenderer(traces)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *errors,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
