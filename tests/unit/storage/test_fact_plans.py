"""Facts and removed names are found by an index, and an inventory reads the rows of each principal only."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.entities import TENANT, PrincipalKind
from doorward.storage.connection import driver_of
from doorward.storage.transaction import Transaction
from doorward.storage.unit_of_work import SqlStores
from doorward.stores.fact_protocols import InventoryFilter, ReportedFacts, Sighting
from doorward.stores.protocols import Stores
from tests.support.ports import NOON, FakeRandom
from tests.support.sql_store import sqlite_database

DEVICES = InventoryFilter(kind=PrincipalKind.DEVICE, limit=10)
SEEN = Sighting(certificate_id="x", at=NOON, application_id="y")
LOOK_UPS: dict[str, Callable[[Stores], object]] = {
    "a report": lambda stores: stores.facts.report("x", ReportedFacts(), NOON),
    "a sighting": lambda stores: stores.facts.see([SEEN], again_after=timedelta(minutes=5)),
    "of a certificate": lambda stores: stores.facts.of(["x"]),
    "forgetting": lambda stores: stores.facts.forget("x"),
    "a removed name": lambda stores: stores.directory.knows_removed("x", ""),
    "an inventory": lambda stores: stores.facts.inventory(DEVICES),
    "stale": lambda stores: stores.facts.inventory(
        InventoryFilter(kind=PrincipalKind.DEVICE, unseen_since=NOON, not_reported=True)
    ),
}


@pytest.mark.parametrize("what", LOOK_UPS)
def test_facts_are_found_by_an_index(what: str, tmp_path: Path) -> None:
    """SQLite scans no table: `o` is the page of principals, which are read in the order of their names."""
    run: list[str] = []
    with closing(sqlite_database(tmp_path)) as database, database.write() as connection:
        driver = driver_of(connection)
        driver.set_trace_callback(run.append)
        LOOK_UPS[what](SqlStores(Transaction(connection, TENANT, writable=True), FakeRandom()))
        driver.set_trace_callback(None)
        plans = [row[3] for sql in run for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN") and plan != "SCAN o"], plans
    assert not [plan for plan in plans if "ix_certificates_ending" in plan or "TEMP B-TREE" in plan], plans
