"""The schema of a PostgreSQL database: making it, and finding objects that were added to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import pytest

from doorward.core.errors import ConfigurationError, IntegrityError, Unavailable
from doorward.pki.keys import digest_key_of
from doorward.storage.connection import driver_of
from doorward.storage.migrating import upgrade_to
from doorward.storage.postgresql.catalogue import OUR_SCHEMA, SCHEMA_SHA256, digest, read_objects
from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.schema import tables_of
from doorward.storage.schema_versions import HEAD, migrate, require_current
from tests.support.certificates.issuing import toy_ca
from tests.support.postgresql import Server, name_of
from tests.support.refusals import refused

PLANTED = [
    (
        (
            "CREATE TRIGGER hush BEFORE UPDATE ON log_outbox FOR EACH ROW "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()"
        ),
        "trigger 'log_outbox.hush' does not belong there",
    ),
    (
        "CREATE RULE hush AS ON INSERT TO log_outbox DO INSTEAD NOTHING",
        "rule 'log_outbox.hush' does not belong there",
    ),
    (
        "ALTER TABLE principals ENABLE ROW LEVEL SECURITY",
        "relation 'principals' was altered",
    ),
    (
        "CREATE POLICY few ON principals USING (name <> 'mallory')",
        "row policy 'principals.few' does not belong there",
    ),
    ("ALTER TABLE principals ALTER state SET DEFAULT 'active'", "column 'principals.state' was altered"),
    ("ALTER TABLE certificates ALTER state DROP NOT NULL", "column 'certificates.state' was altered"),
    (
        "ALTER TABLE certificates ADD twice text GENERATED ALWAYS AS (state) STORED",
        "column 'certificates.twice' does not belong there",
    ),
    (
        'ALTER TABLE principals ALTER name TYPE text COLLATE "ucs_basic"',
        "column 'principals.name' was altered",
    ),
    (
        "ALTER TABLE certificates DROP CONSTRAINT ck_certificates_state_known",
        "constraint 'certificates.ck_certificates_state_known' is missing",
    ),
    (
        (
            "ALTER TABLE certificates DROP CONSTRAINT ck_certificates_state_known; "
            "ALTER TABLE certificates ADD CONSTRAINT ck_certificates_state_known CHECK (true) NOT VALID"
        ),
        "constraint 'certificates.ck_certificates_state_known' was altered",
    ),
    ("DROP INDEX uq_principals_name_in_use", "index 'uq_principals_name_in_use' is missing"),
    (
        "DROP INDEX ix_orders_state; CREATE INDEX ix_orders_state ON orders (tenant, state) WHERE id > 'm'",
        "index 'ix_orders_state' was altered",
    ),
    ("ALTER TABLE log_checkpoints SET UNLOGGED", "relation 'log_checkpoints' was altered"),
    ("CREATE TABLE more () INHERITS (changes)", "relation 'changes' was altered"),
    ("CREATE VIEW latest AS SELECT * FROM changes", "relation 'latest' does not belong there"),
    (
        "ALTER TABLE tenants RENAME TO really; CREATE VIEW tenants AS SELECT * FROM really",
        "relation 'tenants' was altered",
    ),
    ("ALTER TABLE log_tiles SET (fillfactor = 50)", "relation 'log_tiles' was altered"),
    (
        "CREATE FUNCTION length(bytea, text) RETURNS int LANGUAGE sql AS 'SELECT 0'",
        "function 'length(bytea,text)' does not belong there",
    ),
    (
        (
            "CREATE FUNCTION same(text, varchar) RETURNS bool LANGUAGE sql AS 'SELECT true'; "
            "CREATE OPERATOR = (LEFTARG = text, RIGHTARG = varchar, FUNCTION = same)"
        ),
        "operator '=(text,character varying)' does not belong there",
    ),
    ("GRANT INSERT ON log_outbox TO PUBLIC", "right 'INSERT on log_outbox of PUBLIC' does not belong there"),
    (
        "GRANT UPDATE (state) ON certificates TO locked",
        "right 'UPDATE on certificates of locked' does not belong there",
    ),
]


@pytest.fixture
def database(postgresql: Server) -> Iterator[PostgresqlDatabase]:
    """An empty database with our schema, of its own."""
    with closing(PostgresqlDatabase(postgresql.migrated())) as database:
        yield database


def test_metadata_and_revisions_agree(postgresql: Server) -> None:
    """The revisions make the schema of the metadata; if this test fails, it prints the new digest."""
    with closing(PostgresqlDatabase(postgresql.empty())) as database:
        assert migrate(database) == ""
        assert migrate(database) is None
        require_current(database)
        with database.read() as connection:
            assert database.catalogue.find_faults(connection) == []
            found = read_objects(driver_of(connection), OUR_SCHEMA)
        tables = {name for kind, name in found if kind == "relation" and found[kind, name].startswith("r")}
        assert tables == {table.name for table in tables_of("postgresql")} | {"alembic_version"}
        assert digest(found) == SCHEMA_SHA256


def test_rows_are_kept_by_the_revisions(postgresql: Server) -> None:
    """Rows of an older version are kept by the migrations, and get what is new in them."""
    holder = toy_ca().leaf("alice")
    with closing(PostgresqlDatabase(postgresql.empty())) as database:
        with database.write() as connection:
            upgrade_to(connection, "0001")
            connection.exec_driver_sql(
                "INSERT INTO partners (id, tenant, name, revocation, max_staleness, refresh, allow_private, "
                "source, kind, domain, groups, everyone, permitted, excluded, created_at) VALUES "
                "('ptn_1', 'ten_1', 'p1', 'require', 0, 60, true, 'email', 'person', '', '[]', false, '[]', '[]', 0)"
            )
            connection.exec_driver_sql(
                "INSERT INTO evidence (partner_id, kind, source, about, tenant, try_at, sha256, etag, failures, problem, der)"
                " VALUES ('ptn_1', 'crl', 'http://a.example/', '', 'ten_1', 5, 'ab', '', 2, 'slow', '\\x0102')"
            )
            connection.exec_driver_sql(
                "INSERT INTO certificates (id, tenant, authority_id, serial, sha256, profile, state, not_before, not_after, "
                "created_at, principal_id, subject_name, replaces, der) VALUES "
                "('crt_1', 'ten_1', 'aut_1', '01', 'ab', 'person', 'valid', 0, 1, 0, 'per_1', 'alice', '', %(der)s)",
                {"der": holder.der},
            )
            connection.exec_driver_sql(
                "INSERT INTO invitations (id, tenant, principal_id, token_sha256, created_at, expires_at, certificate_id)"
                " VALUES ('inv_1', 'ten_1', 'per_1', 'ab', 0, 1, 'crt_1')"
            )
        assert migrate(database) == "0001"
        require_current(database)
        with database.read() as connection:
            key = connection.exec_driver_sql("SELECT spki_sha256 FROM certificates").scalar_one()
            link = connection.exec_driver_sql("SELECT made_from, certificate_id FROM invitations").one()
            row = connection.exec_driver_sql("SELECT problem, unusable, der FROM evidence").one()
            networks = connection.exec_driver_sql("SELECT allow_private FROM partners").scalar_one()
    assert row == ("slow", False, b"\x01\x02")
    assert key == digest_key_of(holder.der)
    assert tuple(link) == ("crt_1", "")
    assert "10.0.0.0/8" in json.loads(networks)


def test_an_interrupted_migration_leaves_nothing(postgresql: Server) -> None:
    """All tables are made in one transaction, or none."""
    with closing(PostgresqlDatabase(postgresql.empty())) as database:
        with pytest.raises(KeyError), database.write() as connection:  # noqa: PT012  # the block is the point
            upgrade_to(connection, HEAD)
            raise KeyError
        assert not database.exists()


@pytest.mark.parametrize(("statement", "fault"), PLANTED, ids=[fault for _, fault in PLANTED])
def test_added_objects_are_named(database: PostgresqlDatabase, statement: str, fault: str) -> None:
    """An object that changes the effect of a later statement stops the start; the error names it."""
    with database.write() as connection:
        driver_of(connection).execute(statement)
    with database.read() as connection:
        assert fault in database.catalogue.find_faults(connection)
    with refused(IntegrityError, "schema-altered"):
        require_current(database)


def test_a_foreign_key_that_was_switched_off_is_named(
    postgresql: Server, database: PostgresqlDatabase
) -> None:
    """Only the administrator can do that; the name of the trigger is the server's own."""
    name = name_of(database.url)
    postgresql.run("ALTER TABLE group_members DISABLE TRIGGER ALL", database=name)
    with database.read() as connection:
        faults = database.catalogue.find_faults(connection)
    assert faults
    assert all("trigger 'group_members.RI_" in one for one in faults)


def test_a_table_of_another_owner_is_named(postgresql: Server, database: PostgresqlDatabase) -> None:
    """Its owner could give it a trigger at any time."""
    postgresql.run("ALTER TABLE log_outbox OWNER TO locked", database=name_of(database.url))
    with database.read() as connection:
        assert "owner 'locked of log_outbox' does not belong there" in database.catalogue.find_faults(
            connection
        )
    with refused(IntegrityError, "schema-altered"):
        require_current(database)


def test_rights_to_read_are_accepted(postgresql: Server, database: PostgresqlDatabase) -> None:
    """A user for reports, and rights of the tables' owner, are accepted."""
    grants = (
        "GRANT SELECT ON principals TO locked",
        "GRANT CREATE, USAGE ON SCHEMA public TO doorward, admin",
    )
    postgresql.run(*grants, database=name_of(database.url))
    require_current(database)


def test_an_extension_of_the_administrator_is_ignored(
    postgresql: Server, database: PostgresqlDatabase
) -> None:
    """Objects of an extension are ignored."""
    name = name_of(database.url)
    postgresql.run("CREATE EXTENSION citext SCHEMA public", database=name)
    require_current(database)


def test_a_newer_schema_is_refused(database: PostgresqlDatabase) -> None:
    """An old program does not change a newer database."""
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for act in (migrate, require_current):
        with refused(Unavailable, "schema-newer"):
            act(database)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("ENCODING 'LATIN1' LOCALE 'C'", "database-encoding"),
        ("ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C'", "database-collation"),
    ],
)
def test_another_encoding_or_collation_is_refused(postgresql: Server, options: str, code: str) -> None:
    """Encoding and sort order cannot be changed later, so they are checked before a table is made."""
    with closing(PostgresqlDatabase(postgresql.empty(options=options))) as database:
        with refused(ConfigurationError, code) as caught:
            migrate(database)
        assert "createdb" in caught.value.hint
        assert not database.exists()


def test_a_database_that_holds_something_else_is_refused(postgresql: Server) -> None:
    """Tables of another program are named, and no table is made beside them."""
    address = postgresql.empty()
    name = name_of(address)
    postgresql.run("CREATE TABLE orders (id int)", database=name)
    with closing(PostgresqlDatabase(address)) as database:
        with refused(ConfigurationError, "database-not-empty") as caught:
            migrate(database)
        assert "orders" in caught.value.faults[0].message


def test_a_user_without_the_right_to_make_tables_is_refused(postgresql: Server) -> None:
    """The user needs the right to make tables; otherwise the error names the statement."""
    address = postgresql.empty()
    name = name_of(address)
    postgresql.run(f"ALTER DATABASE {name} OWNER TO admin", f"REVOKE CREATE ON DATABASE {name} FROM doorward")
    with closing(PostgresqlDatabase(address)) as database:
        with refused(ConfigurationError, "database-forbidden") as caught:
            migrate(database)
        assert "doorward" in caught.value.faults[0].hint


def test_the_tables_of_the_demonstration_are_removed(database: PostgresqlDatabase) -> None:
    """Every table of Doorward is dropped, and the database can be used again."""
    database.erase()
    assert not database.exists()
    assert migrate(database) == ""
