"""Alembic's way in: runs the revisions on the connection, and in the transaction, that `migrate` holds."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # both databases roll back CREATE TABLE
)
with context.begin_transaction():
    context.run_migrations()
