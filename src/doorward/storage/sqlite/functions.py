"""SQL functions that have another name in SQLite; imported before statements are compiled for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from doorward.storage.core_statements import SqlPosition


@compiles(SqlPosition, "sqlite")
def _render_position(element: SqlPosition, compiler: SQLCompiler, **options: Any) -> str:
    part, whole = (compiler.process(one, **options) for one in element.clauses)
    return f"instr({whole}, {part})"
