"""The log at the edges: JSON lines, on standard error, without secrets in traces."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from doorward.runtime.logging import configure_logging


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the log of the other tests as it was."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def log_of(level: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> structlog.stdlib.BoundLogger:
    """A logger that writes to a stream."""
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(level, role="test")
    return structlog.get_logger("doorward.test")


def fail(password: str) -> None:
    """Fail with a secret at hand."""
    derived = password * 2
    raise ValueError(f"it failed after {len(derived)} characters")


def test_lines_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line is one JSON object with level, time in UTC and role; results stay alone on standard output."""
    stream = io.StringIO()
    log_of("info", stream, monkeypatch).info("the door is open", listen="127.0.0.1:1\n")
    value = json.loads(stream.getvalue())
    assert value["event"] == "the door is open"
    assert value["level"] == "info"
    assert value["role"] == "test"
    assert value["listen"] == "127.0.0.1:1\n"
    assert value["timestamp"].endswith("Z")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_what_is_below_the_level_is_left_out(level: str, shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The level decides what is written."""
    stream = io.StringIO()
    log = log_of(level, stream, monkeypatch)
    for word in ("debug", "info", "warning", "error"):
        getattr(log, word)("said")
    assert len(stream.getvalue().splitlines()) == shown


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["file", "terminal"])
def test_traces_hold_no_values(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace of an exception says where it came from, and never what was in the variables."""
    log = log_of("info", stream, monkeypatch)
    try:
        fail("esroh-tcerroc"[::-1])
    except ValueError:
        log.exception("a job failed")
    text = stream.getvalue()
    assert "it failed after 26 characters" in text
    assert "fail" in text
    assert "correct-horse" not in text


@pytest.mark.parametrize("closed", [False, True], ids=["full", "closed"])
def test_a_line_that_cannot_be_written_is_lost(
    closed: bool,  # noqa: FBT001  a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full disk or a closed stream ends no thread that logs."""
    with Path("/dev/full").open("w", buffering=1, encoding="utf-8") as full:
        log = log_of("info", full, monkeypatch)  # type: ignore[arg-type]
        if closed:
            with contextlib.suppress(OSError):
                full.close()
        log.info("the door is open")
        log.info("and stays so")
        if not closed:  # what is buffered cannot be written at the end either
            with contextlib.suppress(OSError):
                full.close()
