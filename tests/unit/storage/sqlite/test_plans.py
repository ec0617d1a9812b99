"""Look-ups that run again and again cost what they find, not what is kept: SQLite's own plans say so."""

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
    """What is due is a range of its own index, in its order; one certificate's answers are under its id."""
    asked = statement.compile(dialect=sqlite.dialect(paramstyle="named"))
    database = sqlite_database(tmp_path)
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", dict(asked.params)).all()
    database.close()
    assert [row.detail for row in rows] == [plan]
