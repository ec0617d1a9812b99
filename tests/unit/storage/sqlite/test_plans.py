"""The cost of frequent look-ups depends on their result, not on the size of the table: SQLite's query plans show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import ClauseElement
from sqlalchemy.dialects import sqlite

from doorward.storage.repositories import authorities
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
def test_ocsp_answers_are_found_by_an_index(tmp_path: Path, statement: ClauseElement, plan: str) -> None:
    """Due answers are a range of their index, in its order; the answers of one certificate are found by its id."""
    asked = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    database = sqlite_database(tmp_path)
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", dict(asked.params)).all()
    database.close()
    assert [row.detail for row in rows] == [plan]
