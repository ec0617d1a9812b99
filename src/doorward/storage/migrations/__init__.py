"""Alembic's folder: the environment and the revisions. `schema_versions` runs them."""
