"""What all tests share: outside programs that a test needs, and signals that reach their children.

A missing program skips the tests that need it, with a line that says so; with CI=true it fails them,
so that a green run cannot hide what was never run. A further judge that is too large to be installed
everywhere (`needs(..., must=False)`: Java, 190 MB for one test of two) is skipped in CI as well, with the same line.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.support.postgresql import Server

settings.register_profile("doorward", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("doorward")  # a slow machine must not fail a test


def pytest_configure() -> None:
    """Hear Ctrl-C: a background job of a shell without job control ignores it, and so would its children.

    Tests send it to programs that they start; what is ignored here would never reach them.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    structlog.configure = functools.partial(_configure_uncached, structlog.configure)


def _configure_uncached(configure: Callable[..., None], **given: Any) -> None:
    """A logger that was kept on first use could not be listened to by any later test of the process."""
    configure(**{**given, "cache_logger_on_first_use": False})


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Leave what is loaded with the tests out of every search for garbage: it is most of the memory, and it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold a long test."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin with a log of all levels; skip, or in CI fail, if a program that `needs` names is not here."""
    structlog.reset_defaults()
    wanted = {
        str(program): bool(marker.kwargs.get("must", True))
        for marker in item.iter_markers("needs")
        for program in marker.args
    }
    missing = [program for program in wanted if shutil.which(program) is None]
    if not missing:
        return
    words = f"not installed: {', '.join(missing)}"
    if os.environ.get("CI") == "true" and any(wanted[program] for program in missing):
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder with a short path."""
    from tests.support.doorway import short_folder

    with short_folder() as made:
        yield made


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of this test process."""
    from tests.support.postgresql import running_server

    with running_server() as server:
        yield server


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_address(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the setting `database` says, for each kind of database: an empty one."""
    if request.param == "sqlite":
        yield ""
        return
    server: Server = request.getfixturevalue("postgresql")
    with server.durable():
        yield server.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty database of each kind is, for several processes: see `sql_store.database_at`."""
    if request.param == "sqlite":
        return tmp_path
    server: Server = request.getfixturevalue("postgresql")
    return server.cleared()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases of each conformance suite ran: a suite that shrank must not pass for a whole one."""
    lines = [
        str(value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "suite" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("conformance suites")
        for line in sorted(lines):
            terminalreporter.write_line(line)
