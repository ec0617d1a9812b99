"""The cost of frequent look-ups depends on their result, not on the size of the table: SQLite's query plans show it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doorward.storage.driver_statement import DriverStatement
from doorward.storage.repositories import authorities, endings, notices
from tests.support.sql_store import sqlite_database


@pytest.mark.parametrize(
    ("statement", "plan"),
    [
        (
            authorities._DUE_OCSP,
            "SEARCH ocsp_answers USING COVERING INDEX ix_ocsp_answers_due (next_update<?)",
        ),
        (
            authorities._FORGET_OCSP,
            "SEARCH ocsp_answers USING INDEX sqlite_autoindex_ocsp_answers_1 (certificate_id=?)",
        ),
        (
            authorities._OCSP,
            "SEARCH ocsp_answers USING INDEX sqlite_autoindex_ocsp_answers_1 (certificate_id=? AND hash_name=?)",
        ),
    ],
    ids=["due", "forget", "one"],
)
def test_ocsp_answers_are_found_by_an_index(tmp_path: Path, statement: DriverStatement, plan: str) -> None:
    """Due answers are a range of their index, in its order; the answers of one certificate are found by its id."""
    assert _plan(tmp_path, statement) == [plan]


_ENDING = "SEARCH c USING INDEX ix_certificates_ending"
_PAGE_OF_ENDS = f"{_ENDING} (tenant=? AND (not_after,id)>(?,?) AND not_after<?)"


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        (endings._LIST_CURRENT, _PAGE_OF_ENDS),
        (endings._LIST_EVERY, _PAGE_OF_ENDS),
        (endings._COUNT, f"{_ENDING} (tenant=? AND not_after>? AND not_after<?)"),
        (notices._DUE, "SEARCH notices USING INDEX ix_notices_due (tenant=? AND outcome=? AND try_at<?)"),
        (notices._LIST_OF, "SEARCH notices USING INDEX ix_notices_due (tenant=? AND outcome=?)"),
        (notices._LIST, "SEARCH notices USING INDEX ix_notices_created (tenant=?)"),
    ],
    ids=["current", "every", "count", "due", "of an outcome", "newest"],
)
def test_ends_and_notices_are_found_by_an_index(
    tmp_path: Path, statement: DriverStatement, first: str
) -> None:
    """Ends are a range of their index; holders and successors are found by theirs, and nothing is scanned. Ends are not sorted."""
    found = _plan(tmp_path, statement)
    assert found[0] == first
    assert not [one for one in found if one.startswith("SCAN")]
    assert not first.startswith(_ENDING) or "USE TEMP B-TREE FOR ORDER BY" not in found


def _plan(folder: Path, statement: DriverStatement) -> list[str]:
    sql = statement._plain.sql
    names = dict.fromkeys(re.findall(r":([a-z_]+)", sql), 1)
    database = sqlite_database(folder)
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", names).all()
    database.close()
    return [row.detail for row in rows]
