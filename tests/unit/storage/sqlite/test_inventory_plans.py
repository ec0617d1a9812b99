"""Pages, look-ups and sweeps of the inventory read by an index what they return, not the million rows beside it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Delete, Select, Update
from sqlalchemy.dialects import sqlite

import doorward.storage
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT
from doorward.storage.backend import Database
from doorward.storage.connection import driver_of
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction
from doorward.storage.unit_of_work import SqlStores
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter
from tests.support.ports import NOON, FakeRandom
from tests.support.records import certificate
from tests.support.sql_store import sqlite_database

VALID = CertificateState.VALID
AFTER = certificate(1).id
MONTH = NOON + timedelta(days=30)
_IN_ORDER = "(tenant=? AND (created_at,id)>(?,?))"

LOOK_UPS: dict[str, tuple[Callable[[Stores], object], str]] = {
    "a page of all": (
        lambda stores: stores.certificates.list(CertificateFilter()),
        "certificates USING INDEX ix_certificates_created (tenant=?)",
    ),
    "the next page of all": (
        lambda stores: stores.certificates.list(CertificateFilter(after_id=AFTER)),
        f"certificates USING INDEX ix_certificates_created {_IN_ORDER}",
    ),
    "a page of a state": (
        lambda stores: stores.certificates.list(CertificateFilter(state=VALID)),
        "certificates USING INDEX ix_certificates_state (tenant=? AND state=?)",
    ),
    "the next page of a state": (
        lambda stores: stores.certificates.list(CertificateFilter(state=VALID, after_id=AFTER)),
        "certificates USING INDEX ix_certificates_state (tenant=? AND state=? AND (created_at,id)>(?,?))",
    ),
    "a page of a principal": (
        lambda stores: stores.certificates.list(CertificateFilter(principal_id="per_1")),
        "certificates USING INDEX ix_certificates_principal (tenant=? AND principal_id=?)",
    ),
    "valid ones of a principal": (
        lambda stores: stores.certificates.list(CertificateFilter(principal_id="per_1", state=VALID)),
        "certificates USING INDEX ix_certificates_principal (tenant=? AND principal_id=?)",
    ),
    "the scan of evidence": (
        lambda stores: stores.certificates.list(CertificateFilter(of_partners=True, state=VALID)),
        "certificates USING INDEX ix_certificates_partner (tenant=?)",
    ),
    "the next page of the scan": (
        lambda stores: stores.certificates.list(
            CertificateFilter(of_partners=True, state=VALID, after_id=AFTER)
        ),
        f"certificates USING INDEX ix_certificates_partner {_IN_ORDER}",
    ),
    "those of one partner": (
        lambda stores: stores.certificates.list(CertificateFilter(partner_id="ptn_1", after_id=AFTER)),
        f"certificates USING INDEX ix_certificates_partner {_IN_ORDER}",
    ),
    "a prefix of a serial number": (
        lambda stores: stores.certificates.find("00abcdef"),
        "certificates USING INDEX sqlite_autoindex_certificates_2 (serial>? AND serial<?)",
    ),
    "the end of one, for the next page of ends": (
        lambda stores: stores.endings.list(NOON, MONTH, after=AFTER),
        "c USING INDEX ix_certificates_ending (tenant=? AND (not_after,id)>(?,?) AND not_after<?)",
    ),
    "successors": (
        lambda stores: stores.certificates.successors("crt_1"),
        "certificates USING INDEX ix_certificates_replaces (replaces=? AND tenant=?)",
    ),
    "a revoked key": (
        lambda stores: stores.certificates.revoked_keys(["a"]),
        "certificates USING INDEX ix_certificates_key (spki_sha256=? AND tenant=?)",
    ),
    "revoked keys of a batch": (
        lambda stores: stores.certificates.revoked_keys([f"{number}" for number in range(64)]),
        "certificates USING INDEX ix_certificates_key (spki_sha256=? AND tenant=?)",
    ),
    "the holder of one request": (
        lambda stores: stores.directory.read_ahead(["per_1"]),
        "p USING INDEX sqlite_autoindex_principals_1 (id=?)",
    ),
    "the holders of a batch": (
        lambda stores: stores.directory.read_ahead([f"per_{number}" for number in range(64)]),
        "p USING INDEX sqlite_autoindex_principals_1 (id=?)",
    ),
    "those of a rollover": (
        lambda stores: stores.authorities.unended(NOON, AFTER, 9),
        "certificates USING INDEX sqlite_autoindex_certificates_1 (id>?)",
    ),
    "a number by state": (
        lambda stores: stores.certificates.counts(),
        "certificates USING COVERING INDEX ix_certificates_state (tenant=?)",
    ),
    "a CRL": (
        lambda stores: list(stores.certificates.revoked("aut_1", NOON)),
        "certificates USING COVERING INDEX ix_certificates_listed (tenant=? AND authority_id=?)",
    ),
    "changes for a delta CRL": (
        lambda stores: stores.deltas.since("aut_1", 7),
        "s USING PRIMARY KEY (tenant=? AND authority_id=? AND seq>?)",
    ),
    "certificates of a delta CRL": (
        lambda stores: stores.deltas.since("aut_1", 7),
        "l USING COVERING INDEX ix_certificates_listed (tenant=? AND authority_id=? AND serial=?) LEFT-JOIN",
    ),
    "changes to forget": (
        lambda stores: stores.deltas.forget("aut_1", 7, 9),
        "status_changes USING PRIMARY KEY (tenant=? AND authority_id=? AND seq<?)",
    ),
    "OCSP answers to sign": (
        lambda stores: stores.status.due_ocsp(NOON, 9),
        "ocsp_answers USING COVERING INDEX ix_ocsp_answers_due (next_update<?)",
    ),
    "notices to send": (
        lambda stores: stores.notices.due(NOON, 9),
        "notices USING INDEX ix_notices_due (tenant=? AND outcome=? AND try_at<?)",
    ),
    "a notice by its mark": (
        lambda stores: stores.notices.has("a"),
        "notices USING COVERING INDEX sqlite_autoindex_notices_2 (mark=? AND tenant=?)",
    ),
    "evidence to fetch": (
        lambda stores: stores.evidence.due(NOON, 9),
        "evidence USING INDEX ix_evidence_due (tenant=? AND try_at<?)",
    ),
    "members of a group": (
        lambda stores: stores.directory.members("staff"),
        "p USING INDEX sqlite_autoindex_principals_1 (id=?)",
    ),
    "principals of a partner": (
        lambda stores: stores.directory.remove_partner("ptn_1"),
        "principals USING INDEX ix_principals_partner (tenant=? AND partner_id=?)",
    ),
    "open links": (
        lambda stores: stores.invitations.open_at(NOON),
        "invitations USING INDEX ix_invitations_open (tenant=? AND expires_at>?)",
    ),
    "open links of a principal": (
        lambda stores: stores.invitations.open_at(NOON, "per_1"),
        "invitations USING INDEX ix_invitations_principal (tenant=? AND principal_id=?)",
    ),
}
"""What is asked, and the search of the table that grows."""


@pytest.mark.parametrize("what", LOOK_UPS)
def test_an_index_gives_what_is_asked(what: str, tmp_path: Path) -> None:
    """The table that grows is searched by the index of the question, and its rows come in the order of the index."""
    look, search = LOOK_UPS[what]
    run: list[str] = []
    with closing(sqlite_database(tmp_path)) as database, database.write() as connection:
        driver = driver_of(connection)
        stores = SqlStores(Transaction(connection, TENANT, writable=True), FakeRandom())
        stores.certificates.add_intended(certificate(1))
        driver.set_trace_callback(run.append)
        look(stores)
        driver.set_trace_callback(None)
        plans = [[row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {sql}")] for sql in run]
    (plan,) = [plan for plan in plans if f"SEARCH {search}" in plan]
    if "created_at" in search or search.startswith("certificates"):
        assert not [step for step in plan if "ORDER BY" in step], plan


SMALL = {
    "repositories.acme": "orders, challenges and pauses: some for each application with a public certificate",
    "repositories.authorities": "the installation's own authorities",
    "repositories.gateway_states": "gateways",
    "repositories.gateways": "orders of gateways",
    "repositories.manufacturers": "manufacturers",
    "repositories.evidence": "evidence of partners: at most 20,000 rows each",
    "repositories.partners": "partners and their authorities",
    "repositories.policies": "applications; and the newest revision, the newest change",
    "repositories.rollovers": "rollovers",
    "repositories.session_keys": "keys of sessions",
    "repositories.suspected_clones": "suspicions that an operator has not settled",
}
"""Modules with statements that read a whole table because it stays small, and what is in it."""

WHOLE = {
    "event_index._COUNT_EXCESS": "a covering index of a hundredth of the leaves; `audit verify` reads all of them",
    "event_store._PENDING": "the oldest rows of the outbox, in its order",
    "event_store._LATEST_CHECKPOINT": "the last row of an index",
    "event_outbox._ANY_WAITS": "the first row",
    "event_outbox._WAITING": "the number for `status`, the metrics and tests; the outbox is emptied every second",
    "repositories.certificates._COUNTS": "a covering index; for `status` and the metrics",
    "repositories.directory._ENCLOSING": "the groups around a group",
    "repositories.directory._GROUPS": "every group with its size",
    "repositories.directory._LIST": "the list of all",
    "repositories.directory._LIST_KIND": "the list of all",
    "repositories.directory._MEMBERS": "the groups in a group",
    "repositories.directory._NESTINGS": "groups",
    "repositories.factors._COUNT_FOREIGN": "every factor, when the portal's host changes",
    "repositories.fleets._COUNT_ENROLMENTS": "a covering index; for `status` and the metrics",
    "repositories.fleets._TAG_LIST": "tags",
    "repositories.notices._COUNTS": "notices that wait",
    "repositories.notices._FORGET": "the oldest, in the order of the index",
    "repositories.notices._LIST": "the newest, in the order of the index",
    "repositories.notices._LIST_OF": "the newest, in the order of the index",
}
"""Statements that read a whole table, or the beginning of an index, and why."""


def test_every_other_statement_reads_by_an_index(tmp_path: Path) -> None:
    """A new statement that reads a whole table needs an index, or a reason in this file."""
    with closing(sqlite_database(tmp_path)) as database:
        found = {name for name, sql in _statements() if _reads_all(database, sql)}
    small = {name for name in found if name.rpartition(".")[0] in SMALL}
    assert found - small == WHOLE.keys()
    assert {name.rpartition(".")[0] for name in small} == SMALL.keys()


def _statements() -> Iterator[tuple[str, str]]:
    dialect = sqlite.dialect(paramstyle="named")
    for found in pkgutil.walk_packages(doorward.storage.__path__, "doorward.storage."):
        if "migrations" in found.name or "postgresql" in found.name:
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            core: Any = value._statement if isinstance(value, DriverStatement) else value
            where = f"{found.name.removeprefix('doorward.storage.')}.{name}"
            if isinstance(core, Select | Update | Delete):
                yield where, str(core.compile(dialect=dialect))
            elif isinstance(value, DriverStatement) and isinstance(core, str):
                yield where, core


def _reads_all(database: Database, sql: str) -> bool:
    """Return whether a table is scanned, or an index is narrowed by nothing but the tenant or a word of a closed list."""
    names = set(re.findall(r":([a-z][a-z0-9_]*)", sql))
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", dict.fromkeys(names, 1)).all()
    whole = re.compile(r"SCAN (?!CONSTANT ROW)|.*\(tenant=\?( AND (state|kind|outcome)=\?)?\)$")
    return any(whole.match(row.detail) for row in plan)
