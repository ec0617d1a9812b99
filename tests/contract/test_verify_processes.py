"""Verifying in several processes gives the report of one process, and fails if a process does."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from doorward.audit import verifying
from doorward.audit.index import SPAN_LEAVES
from doorward.audit.indexing import index_leaves
from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.merkle import leaf_hash
from doorward.audit.report import VerificationReport
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput, Unavailable
from doorward.runtime.verify_processes import RangeProcesses
from doorward.storage.backend import Database
from doorward.storage.connection import core_of
from doorward.storage.event_store import SqlEventLog
from tests.contract.conftest import open_empty
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER
from tests.support.events import ALICE, request_answered, seal, sealed_block
from tests.support.ports import NOON
from tests.support.refusals import refused

SIZE = 297
"""Of 27 times a block of 10 events and a single event."""
ZEROS = {"zeros": bytes(32)}
DAMAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "leaf altered": ("UPDATE log_leaves SET leaf = :zeros WHERE number = 10", ZEROS),
    "leaf rewritten with its hash": (
        "UPDATE log_leaves SET leaf = :leaf, hash = :hash WHERE number = 32",
        {"leaf": b"{}", "hash": leaf_hash(b"{}")},
    ),
    "leaf missing": ("DELETE FROM log_leaves WHERE number = 43", {}),
    "leaf mislabelled": ("UPDATE log_leaves SET event_id = 'evt_other' WHERE number = 65", {}),
    "segment damaged": ("UPDATE log_segments SET leaves = :zeros WHERE first = 77", ZEROS),
    "lower tile": (
        "UPDATE log_tiles SET hashes = :zeros WHERE level = 0 AND number = 0",
        {"zeros": bytes(8192)},
    ),
    "upper tile": ("UPDATE log_tiles SET hashes = :zeros WHERE level = 1", ZEROS),
    "checkpoint altered": ("UPDATE log_checkpoints SET text = 'no checkpoint' WHERE size = 110", {}),
    "checkpoint moved": ("UPDATE log_checkpoints SET size = 150 WHERE size = 143", {}),
    "checkpoint of the future": ("UPDATE log_checkpoints SET size = 999 WHERE size = 209", {}),
    "no checkpoint": ("DELETE FROM log_checkpoints", {}),
    "truncated": ("DELETE FROM log_tiles WHERE level = 0 AND number = 1", {}),
    "value altered": ("UPDATE log_openings SET value = 'x' WHERE field = 'path'", {}),
    "values damaged": ("UPDATE log_block_openings SET content = :zeros", ZEROS),
    "values erased": ("DELETE FROM log_openings", {}),
    "index in excess": (
        "INSERT INTO log_index (tenant, bucket, span, content) VALUES (:tenant, 3, 7, :content)",
        {"tenant": TENANT, "content": b""},
    ),
}
NO_FAULT = {"values erased"}
one_kind = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what does not depend on the kind of the database."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A database of each kind."""
    with closing(open_empty(request, tmp_path)) as database:
        yield database


@pytest.fixture
def log(database: Database, monkeypatch: pytest.MonkeyPatch) -> SqlEventLog:
    """A log of 19 ranges of 16 leaves, with blocks and checkpoints across their borders."""
    monkeypatch.setattr(verifying, "RANGE_LEVEL", 4)
    log = SqlEventLog(database)
    with log.change() as store:
        for first in range(0, SIZE, 11):
            store.record_block(sealed_block(*range(first, first + 10)))
            store.record(seal(request_answered(first + 10)))
            sequence(store, 99)
            if first % 3 == 0:
                sign_checkpoint(store, SIGNER, ORIGIN, NOON)
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    return log


def processes(database: Any, count: int = 2, **options: Any) -> RangeProcesses:
    """Return processes that read this database."""
    return RangeProcesses(getattr(database, "url", ""), getattr(database, "path", Path()), count, **options)


def verify(log: SqlEventLog, checker: RangeProcesses | None = None, **options: Any) -> VerificationReport:
    """Verify the log; two processes, if any, must end."""
    with log.read() as store:
        if checker is None:
            return verify_log(store, verifier_key=VERIFIER, **options)
        with checker:
            report = verify_log(store, verifier_key=VERIFIER, checker=checker, **options)
            pids = checker.pids
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    return report


def damage(database: Database, *names: str) -> None:
    """Change the database as somebody who controls it."""
    with database.write() as connection:
        for name in names:
            sql, values = DAMAGES[name]
            assert core_of(connection).execute(text(sql), values).rowcount, name


def test_a_sound_log_has_the_same_report(log: SqlEventLog, database: Database) -> None:
    """Also with a checkpoint that the caller kept; each range is announced once, in order."""
    with log.read() as store:
        kept = dict(store.stored_checkpoints(None, None))[77]
    steps: list[tuple[int, int]] = []
    report = verify(log, processes(database), checkpoint=kept, progress=lambda *step: steps.append(step))
    assert report == verify(log, checkpoint=kept)
    assert (report.verified, report.size, report.anchored_size) == (True, SIZE, SIZE)
    assert steps == [(min(end, SIZE), SIZE) for end in range(16, SIZE + 16, 16)]


@one_kind
@pytest.mark.parametrize("name", sorted(DAMAGES))
def test_a_damaged_log_has_the_same_report(log: SqlEventLog, database: Database, name: str) -> None:
    """Each kind of damage alone."""
    damage(database, name)
    report = verify(log, processes(database))
    assert report == verify(log)
    assert bool(report.faults) == (name not in NO_FAULT)


def test_a_log_with_many_damages_has_the_same_report(log: SqlEventLog, database: Database) -> None:
    """All that do not hide each other, so that more than a hundred faults have a place."""
    damage(database, *(set(DAMAGES) - {"truncated", "no checkpoint", "values erased"}))
    report = verify(log, processes(database, 3))
    assert report == verify(log)
    assert len(report.faults) > 100
    assert report.faults_omitted


def test_a_wrong_index_has_the_same_report(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Ranges of the usual size: the index of one of two spans is wrong."""
    request.param = "sqlite"
    with closing(open_empty(request, tmp_path)) as database:
        log = SqlEventLog(database)
        with log.change() as store:
            for first in range(0, 2 * SPAN_LEAVES + 2048, 2048):
                store.record_block(sealed_block(*range(first, first + 2048)))
                sequence(store, 9999)
            sign_checkpoint(store, SIGNER, ORIGIN, NOON)
            for span in range(2):
                store.store_index(span, index_leaves(store, span))
        assert verify(log, processes(database)).faults == ()
        with log.change() as store:
            store.store_index(1, [b"" for _ in range(128)])
        report = verify(log, processes(database))
        assert report == verify(log)
        (fault,) = report.faults
        assert "the index of events 16384 to 32767 lacks" in fault.message


def test_a_range_may_be_read_after_an_erasure(log: SqlEventLog, database: Database) -> None:
    """Each range has a snapshot of its own; events that are added meanwhile are not a part of this verification."""
    with log.read() as store, processes(database) as checker:
        assert store.tree_size() == SIZE
        with log.change() as other:
            other.erase_subject(TENANT, ALICE)
            other.record(seal(request_answered(SIZE)))
            sequence(other, 9)
        report = verify_log(store, verifier_key=VERIFIER, checker=checker)
    assert (report.faults, report.size, report.anchored_size) == ((), SIZE, SIZE)


_DYING = """
import os, doorward.runtime.range_worker as worker
check, left = worker.check_range, [2]
def die(store, plan, start):
    left[0] -= 1
    if left[0] < 0:
        {how}
    return check(store, plan, start)
worker.check_range = die
worker.main()
"""


@one_kind
@pytest.mark.parametrize(
    ("how", "code"),
    [("os.kill(os.getpid(), 9)", "code -9"), ("raise ValueError", "code 1"), ("os._exit(0)", "code 0")],
)
def test_a_process_that_ends_fails_the_verification(
    log: SqlEventLog, database: Database, how: str, code: str
) -> None:
    """Killed, by an error of its own, and by leaving as if all were good."""
    checker = processes(database, command=(sys.executable, "-c", _DYING.format(how=how)))
    with refused(Unavailable, "verify-interrupted") as caught:
        verify(log, checker)
    assert f"({code})" in caught.value.detail
    assert checker.pids == []


@one_kind
def test_a_process_that_does_not_start_fails_the_verification(log: SqlEventLog, database: Database) -> None:
    """It ends before it reads what it is told."""
    with refused(Unavailable, "verify-interrupted"):
        verify(log, processes(database, command=("/bin/false",)))


@one_kind
def test_an_error_of_a_process_is_raised_here(log: SqlEventLog, tmp_path: Path) -> None:
    """With its code, hint and context."""
    with refused(Unavailable, "store-missing") as caught:
        verify(log, RangeProcesses("", tmp_path / "elsewhere.db", 2))
    assert caught.value.hint
    assert caught.value.context


@one_kind
def test_a_wrong_key_is_refused_here(log: SqlEventLog, database: Database) -> None:
    """Before any process is started."""
    checker = processes(database)
    with refused(MalformedInput, "key-malformed"), log.read() as store:
        verify_log(store, verifier_key="no key", checker=checker)
    assert checker.pids == []


@one_kind
def test_a_process_that_returns_something_else_fails_the_verification(
    log: SqlEventLog, database: Database
) -> None:
    """It is not taken for a range without faults."""
    program = (
        "import pickle, sys; pickle.dump('good', sys.stdout.buffer); sys.stdout.flush(); sys.stdin.read()"
    )
    with pytest.raises(TypeError, match="returned str"):
        verify(log, processes(database, command=(sys.executable, "-c", program)))


@one_kind
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_processes_end_with_an_interrupted_verification(
    log: SqlEventLog, database: Database, error: type[BaseException]
) -> None:
    """Ctrl-C, or an error between two ranges, ends them."""
    pids: list[int] = []

    def stop(done: int, _total: int) -> None:
        if done > 20:
            pids.extend(checker.pids)
            raise error

    with log.read() as store, pytest.raises(error), processes(database) as checker:
        verify_log(store, checker=checker, progress=stop)
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


_PARENT = """
import sys, time
from pathlib import Path
from doorward.audit.range_check import RangePlan
from doorward.runtime.verify_processes import RangeProcesses
with RangeProcesses("", Path(sys.argv[1]), 2) as checker:
    next(checker(RangePlan(size=297, spans=0, key=None, personal=True, level=4)))
    print(*checker.pids, flush=True)
    time.sleep(600)
"""


@one_kind
def test_processes_end_if_their_parent_is_killed(log: SqlEventLog, database: Any) -> None:
    """Nothing must ask them to: their input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(database.path)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    limit = time.monotonic() + 60
    while any(_runs(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
