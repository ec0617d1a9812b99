"""On PostgreSQL changes commit one after the other, and a number is seen after every lower one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from doorward.audit.log import sequence
from doorward.core.errors import Unavailable
from doorward.storage.event_store import SqlEventLog
from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.repositories import invitations
from doorward.stores.records import ChangeKind
from tests.support.events import request_answered
from tests.support.ports import NOON
from tests.support.postgresql import Server
from tests.support.records import invitation
from tests.support.sql_store import postgresql_database, sql_work

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


@pytest.fixture
def address(postgresql: Server) -> str:
    """An empty database with our schema."""
    return postgresql.cleared()


@pytest.fixture
def here(address: str) -> Iterator[PostgresqlDatabase]:
    """The database, as one process has it."""
    with closing(postgresql_database(address)) as database:
        yield database


@pytest.fixture
def there(address: str) -> Iterator[PostgresqlDatabase]:
    """The same database, as a process on another machine has it."""
    with closing(postgresql_database(address)) as database:
        yield database


def await_waiting(address: str, count: int = 1) -> None:
    """Return when that many sessions wait for a lock."""
    with closing(psycopg.connect(address, autocommit=True)) as looking:
        while looking.execute(WAITING).fetchone() != (count,):
            pass


def test_no_number_is_seen_before_a_lower_one(
    address: str, here: PostgresqlDatabase, there: PostgresqlDatabase
) -> None:
    """A change that stalls between its number and its commit delays every higher number, but no reader."""
    seen: list[list[int]] = []

    def look() -> None:
        with sql_work(there).read() as stores:
            seen.append([one.seq for one in stores.changes.since(0)])

    def note() -> None:
        with sql_work(there).change() as stores:
            stores.changes.note(ChangeKind.PRINCIPAL, "per_two", NOON)

    other = threading.Thread(target=note)
    with sql_work(here).change() as stores:
        assert stores.changes.note(ChangeKind.CERTIFICATE, "crt_one", NOON) == 1
        other.start()
        await_waiting(address)
        look()  # the revocation is not committed: nothing may be seen that comes after it
    other.join()
    look()
    assert seen == [[], [1, 2]]


def test_the_counter_itself_keeps_the_order(address: str) -> None:
    """Even a session without the lock cannot take a number before a lower one is committed."""
    draw = (
        "INSERT INTO change_counters (tenant, value) VALUES ('ten_one', 1) "
        "ON CONFLICT (tenant) DO UPDATE SET value = change_counters.value + 1 RETURNING value"
    )
    drawn: list[int] = []

    def take() -> None:
        with closing(psycopg.connect(address)) as second:
            drawn.append(second.execute(draw).fetchone()[0])  # type: ignore[index]
            second.commit()

    other = threading.Thread(target=take)
    with closing(psycopg.connect(address)) as first:
        assert first.execute(draw).fetchone() == (1,)
        other.start()
        await_waiting(address)
        assert drawn == []
        first.commit()
    other.join()
    assert drawn == [2]


def test_the_sequencer_waits_for_an_event_that_is_not_committed(
    address: str, here: PostgresqlDatabase, there: PostgresqlDatabase
) -> None:
    """If a change stalls, its event still comes into the tree before events that were recorded after it."""

    def record_and_sequence() -> None:
        sql_work(there, seed="other").record([request_answered(2)])
        with SqlEventLog(there).change() as store:
            sequence(store, 1000)

    other = threading.Thread(target=record_and_sequence)
    first = request_answered(1)
    with sql_work(here).change() as stores:
        stores.outbox.add(first)
        other.start()
        await_waiting(address)
        with SqlEventLog(here).read() as store:
            assert store.tree_size() == 0
    other.join()
    with SqlEventLog(here).read() as store:
        assert [leaf.event_id for leaf in store.leaves(0, 10)] == [first.id, request_answered(2).id]


def test_a_lock_timeout_is_busy(address: str, here: PostgresqlDatabase) -> None:
    """A writer gives up after the timeout without effect, and later succeeds."""
    with closing(postgresql_database(address, busy_timeout=timedelta(milliseconds=50))) as hasty:
        with here.write(), pytest.raises(Unavailable) as caught, hasty.write():
            pass
        assert caught.value.code == "store-busy"
        with hasty.write() as connection:
            connection.exec_driver_sql("INSERT INTO change_counters VALUES ('ten_one', 1)")


def test_a_lost_writer_releases_the_lock(
    postgresql: Server, here: PostgresqlDatabase, there: PostgresqlDatabase
) -> None:
    """The lock ends with the session: uncommitted changes are rolled back, and the next writer continues."""
    with pytest.raises(Unavailable) as caught, here.write() as connection:  # noqa: PT012  # the block is the point
        connection.exec_driver_sql("INSERT INTO change_counters VALUES ('ten_one', 1)")
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        postgresql.run(f"SELECT pg_terminate_backend({pid})")
        with there.write() as other:
            assert other.exec_driver_sql("SELECT count(*) FROM change_counters").scalar() == 0
    assert caught.value.code == "store-unavailable"
    with here.write() as connection:
        connection.exec_driver_sql("INSERT INTO change_counters VALUES ('ten_one', 2)")


def test_an_invitation_is_redeemed_by_one_of_two_machines(
    address: str, here: PostgresqlDatabase, there: PostgresqlDatabase
) -> None:
    """If two redeem the same invitation at once, the second waits for the first, and is refused."""
    made = invitation("one")
    with sql_work(here).change() as stores:
        stores.invitations.add(made)
    won: list[bool] = []

    def redeem() -> None:
        with sql_work(there).change() as stores:
            won.append(stores.invitations.redeem(made.id, "crt_one", NOON))

    other = threading.Thread(target=redeem)
    with sql_work(here).change() as stores:
        assert stores.invitations.redeem(made.id, "crt_one", NOON)
        other.start()
        await_waiting(address)
    other.join()
    assert won == [False]


def test_redeeming_is_one_conditional_update(address: str) -> None:
    """Also without the lock the statement alone lets only one of two sessions succeed."""
    redeem = invitations._REDEEM._pyformat.sql
    values = {"of": "inv_one", "this_tenant": "ten_one", "at": 1, "certificate_id": "crt_one"}
    touched: list[int] = []

    def second() -> None:
        with closing(psycopg.connect(address)) as other:
            touched.append(other.execute(redeem, values).rowcount)
            other.commit()

    thread = threading.Thread(target=second)
    with closing(psycopg.connect(address)) as first:
        first.execute(
            "INSERT INTO invitations (id, tenant, principal_id, token_sha256, created_at, expires_at, certificate_id, "
            "made_from) VALUES ('inv_one', 'ten_one', 'per_one', 'aa', 0, 9, '', '')"
        )
        first.commit()
        assert first.execute(redeem, values).rowcount == 1
        thread.start()
        await_waiting(address)
        first.commit()
    thread.join()
    assert touched == [0]
