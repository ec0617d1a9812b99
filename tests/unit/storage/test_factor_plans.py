"""The look-ups of second factors and sessions go by an index, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.entities import TENANT
from doorward.storage.connection import driver_of
from doorward.storage.transaction import Transaction
from doorward.storage.unit_of_work import SqlStores
from doorward.stores.protocols import Stores
from tests.support.factor_records import ALICE, BANK, LAPTOP
from tests.support.ports import NOON, FakeRandom
from tests.support.records import digest
from tests.support.sql_store import sqlite_database

LOOK_UPS: dict[str, Callable[[Stores], object]] = {
    "factors of a person": lambda stores: stores.factors.of_principal(ALICE),
    "a passkey": lambda stores: stores.factors.by_credential("x"),
    "a use": lambda stores: stores.factors.use("x", expected=0, counter=1, at=NOON),
    "tickets of a person": lambda stores: stores.enrolment_tickets.open_for(ALICE, NOON),
    "a ticket by its token": lambda stores: stores.enrolment_tickets.by_token("x"),
    "voiding": lambda stores: stores.enrolment_tickets.void_all(ALICE, NOON),
    "sessions of a person": lambda stores: stores.sessions.open_at(NOON, ALICE),
    "sessions that a person began": lambda stores: stores.sessions.begun_since(ALICE, NOON, most=9),
    "a session by its token": lambda stores: stores.sessions.by_token("x"),
    "sessions of a certificate": lambda stores: stores.sessions.end_certificate(LAPTOP, NOON),
    "the latest end": lambda stores: stores.sessions.latest_end(LAPTOP, BANK, NOON),
    "a step-up": lambda stores: stores.step_ups.get("x"),
    "step-ups of a person": lambda stores: stores.step_ups.remove_all(ALICE),
    "a code": lambda stores: stores.session_codes.take(digest("x")),
    "an epoch": lambda stores: stores.epochs.of(ALICE, BANK),
    "a throttle": lambda stores: stores.throttles.get(["x"]),
    "old sessions": lambda stores: stores.sessions.prune(NOON - timedelta(days=30)),
    "old codes": lambda stores: stores.session_codes.prune(NOON),
    "old throttles": lambda stores: stores.throttles.prune(NOON),
}
BY_TIME = {"old sessions", "old codes", "old throttles"}
"""These statements read only the rows that they remove."""


@pytest.mark.parametrize("what", LOOK_UPS)
def test_a_look_up_goes_by_its_index(what: str, tmp_path: Path) -> None:
    """SQLite searches by the key that is given, and neither scans a table nor all that is open at a time."""
    run: list[str] = []
    with closing(sqlite_database(tmp_path)) as database, database.write() as connection:
        driver = driver_of(connection)
        driver.set_trace_callback(run.append)
        LOOK_UPS[what](SqlStores(Transaction(connection, TENANT, writable=True), FakeRandom()))
        driver.set_trace_callback(None)
        plans = [row[3] for sql in run for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN") and plan != "SCAN CONSTANT ROW"], plans
    if what not in BY_TIME:
        assert not [
            plan for plan in plans if "(tenant=? AND expires_at" in plan or "(tenant=? AND ends_at" in plan
        ]
