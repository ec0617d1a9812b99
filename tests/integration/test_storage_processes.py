"""Several processes share one database file."""

from __future__ import annotations

import statistics
from datetime import timedelta
from pathlib import Path

from doorward.storage.schema_versions import require_current
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores.records import ChangeKind
from tests.support.ports import NOON
from tests.support.records import invitation
from tests.support.sql_store import child, database_at, sql_work, sqlite_database

REDEEM = """
print("ready", flush=True)
while not Path({go!r}).exists():
    time.sleep(0.001)
with work.change() as stores:
    won = stores.invitations.redeem(invitation("one").id, "crt_one", NOON)
print("won" if won else "lost")
"""
NUMBERS = """
for turn in range(40):
    with work.change() as stores:
        seq = stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
    print(seq)
"""
LOAD = """
import threading
def load(name):
    number = 0
    while True:
        number += 1
        work.record([request_answered(name * 10**9 + number)])
for name in range(8):
    threading.Thread(target=load, args=(name,), daemon=True).start()
time.sleep(0.3)
print("running", flush=True)
sys.stdin.readline()
"""
MIGRATE = """
from doorward.storage.sqlite.database import SqliteDatabase
while not Path({go!r}).exists():
    time.sleep(0.001)
fresh = SqliteDatabase(Path({fresh!r}), busy_timeout=timedelta(seconds=20))
migrate(fresh)
fresh.close()
print("done")
"""


def test_one_of_many_processes_redeems_an_invitation(place: Path | str, tmp_path: Path) -> None:
    """Four processes redeem the same invitation at the same time: exactly one succeeds."""
    database = database_at(place)
    with sql_work(database).change() as stores:
        stores.invitations.add(invitation("one"))
    go = tmp_path / "go"
    processes = [child(place, REDEEM.format(go=str(go))) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    answers = sorted(process.communicate(timeout=60)[0].strip() for process in processes)
    assert answers == ["lost", "lost", "lost", "won"]
    database.close()


def test_numbers_have_no_gaps_over_processes(place: Path | str) -> None:
    """Three processes take numbers of the change sequence: each number once, without gaps."""
    database_at(place).close()
    processes = [child(place, NUMBERS) for _ in range(3)]
    numbers = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == list(range(1, 121))


def test_a_revocation_does_not_wait_for_a_flood_of_decisions(place: Path | str) -> None:
    """While another process records without a pause, few of its records come before most changes that wait for the lock.

    Records are counted instead of seconds: a busy machine makes both processes slow. It can also stop this process between its
    look and its change, so one try says nothing. That no writer overtakes a waiting one is a test of `WriteLock`.
    """
    database = database_at(place, busy_timeout=timedelta(seconds=60))
    work = sql_work(database)
    process = child(place, LOAD, stdin=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    ahead = []
    for _ in range(30):
        with work.read() as stores:
            before = stores.outbox.waiting()
        with work.change() as stores:
            ahead.append(stores.outbox.waiting() - before)
            stores.changes.note(ChangeKind.CERTIFICATE, "crt_one", NOON)
    process.communicate("stop\n", timeout=60)
    database.close()
    assert statistics.median(ahead) < 100  # it is 8, one for each thread


def test_many_processes_may_start_at_once(tmp_path: Path) -> None:
    """If three processes migrate the same new database at the same time, all succeed."""
    go, fresh = tmp_path / "go", tmp_path / "new" / "doorward.db"
    code = MIGRATE.format(go=str(go), fresh=str(fresh))
    sqlite_database(tmp_path)
    processes = [child(tmp_path, code) for _ in range(3)]
    go.touch()
    assert [process.communicate(timeout=60)[0] for process in processes] == ["done\n"] * 3
    database = SqliteDatabase(fresh)
    require_current(database)
    database.close()
