"""Attacks by another user of the PostgreSQL server are refused, and so is a standby."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.storage.connection import driver_of
from doorward.storage.migrating import upgrade_to
from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.postgresql.listening import CHANNEL, Listener
from doorward.storage.postgresql.server import FOUNDING_LOCK
from doorward.storage.schema_versions import HEAD, migrate, require_current
from tests.support.ports import NOON
from tests.support.postgresql import Server, name_of, running_server
from tests.support.records import authority, certificate, principal
from tests.support.refusals import refused
from tests.support.sql_store import postgresql_database, sql_work

SHORT = timedelta(milliseconds=250)


def test_a_standby_is_refused_and_the_primary_is_found(postgresql: Server) -> None:
    """A reader on a standby that lags would miss a revocation; among several hosts the primary is used."""
    with running_server(standby=True) as standby:
        alone = standby.url("postgres", role="admin")
        any_of_both = f"{alone},{postgresql.folder}"
        for address in (alone, f"{any_of_both}&target_session_attrs=any"):
            with closing(postgresql_database(address)) as database:
                for way in (database.read, database.write):
                    with pytest.raises(Unavailable) as caught, way():
                        pass
                    assert caught.value.code == "store-read-only"
        with closing(postgresql_database(any_of_both)) as database, database.read() as connection:
            assert driver_of(connection).execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        only_standbys = f"{alone},{standby.folder}"
        with closing(postgresql_database(only_standbys)) as database:
            with pytest.raises(Unavailable) as caught, database.read():
                pass
            assert caught.value.code == "store-read-only"


def test_an_advisory_lock_of_another_user_blocks_no_change(postgresql: Server) -> None:
    """The lock of the writers needs a right on our tables, which no other user has."""
    address = postgresql.cleared()
    stranger = postgresql.url(name_of(address), role="locked_out")
    postgresql.run("CREATE ROLE locked_out LOGIN")
    try:
        with (
            closing(psycopg.connect(stranger, autocommit=True)) as other,
            closing(postgresql_database(address, busy_timeout=SHORT)) as database,
        ):
            other.execute("SELECT pg_advisory_lock(%s)", (FOUNDING_LOCK,))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute("SELECT FROM alembic_version FOR UPDATE")
            with database.write() as connection:
                connection.exec_driver_sql("INSERT INTO change_counters VALUES ('ten_one', 1)")
    finally:
        postgresql.run("DROP ROLE locked_out")


def test_a_flood_of_notifications_wakes_rarely(postgresql: Server) -> None:
    """Every user may send NOTIFY; all that have arrived wake the followers once."""
    address = postgresql.cleared()
    calls: list[int] = []
    heard, flooded = threading.Event(), threading.Event()

    def notify() -> None:
        calls.append(1)
        heard.set()
        flooded.wait(60)

    listener = Listener(address, notify)
    listener.start()
    try:
        assert heard.wait(60)  # the first call comes with the connection
        with closing(psycopg.connect(address)) as other:
            for number in range(1000):
                other.execute(f"NOTIFY {CHANNEL}, '{number}'")
            other.commit()
        heard.clear()
        flooded.set()
        assert heard.wait(60)
    finally:
        listener.stop()
    assert len(calls) <= 20


def test_names_are_looked_up_in_our_schema_and_the_servers_own(postgresql: Server) -> None:
    """With any search path on the server, no name of another schema is used."""
    address = postgresql.empty()
    name = name_of(address)
    with closing(psycopg.connect(address, autocommit=True)) as owner:
        owner.execute('CREATE SCHEMA "Our ""own"""')
        owner.execute("CREATE SCHEMA more")
    postgresql.run(f"""ALTER DATABASE {name} SET search_path = 'Our "own"', 'more', 'pg_catalog'""")
    with closing(PostgresqlDatabase(address)) as database:
        for way in (database.read, database.write):
            with way() as connection:
                assert driver_of(connection).execute("SHOW search_path").fetchone() == (
                    '"Our ""own""", pg_temp',
                )


MAKERS = [
    ("GRANT CREATE ON SCHEMA public TO PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
    ("GRANT ALL ON SCHEMA public TO locked", "REVOKE CREATE ON SCHEMA public FROM locked"),
    ("ALTER SCHEMA public OWNER TO locked", "ALTER SCHEMA public OWNER TO doorward"),
]


@pytest.mark.parametrize(("grant", "mend"), MAKERS)
def test_a_schema_in_which_others_may_make_objects_is_refused(
    postgresql: Server, grant: str, mend: str
) -> None:
    """At the first start and at each later one; the statement in the error corrects it."""
    for address in (postgresql.empty(), postgresql.migrated()):
        postgresql.run(grant, "GRANT USAGE, CREATE ON SCHEMA public TO doorward", database=name_of(address))
        with closing(PostgresqlDatabase(address)) as database:
            begun = database.exists()
            for act in (migrate, *([require_current] if begun else [])):
                with refused(ConfigurationError, "database-open") as caught:
                    act(database)
                assert caught.value.faults[0].hint.endswith(mend)
            assert database.exists() == begun
            postgresql.run(mend, database=name_of(address))
            migrate(database)
            require_current(database)


def test_encoding_and_collation_are_checked_at_each_start(postgresql: Server) -> None:
    """A backup may have been restored into a database of another kind."""
    with closing(PostgresqlDatabase(postgresql.empty(options="ENCODING 'LATIN1' LOCALE 'C'"))) as database:
        with database.write() as connection:
            upgrade_to(connection, HEAD)
        with refused(ConfigurationError, "database-encoding"):
            require_current(database)


TRAP = """CREATE FUNCTION trap(text, varchar) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION trap(oid, regnamespace) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION trap(oid, regclass) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION trap(name, name) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE FUNCTION count(text) RETURNS int8 LANGUAGE plpgsql AS 'BEGIN RAISE ''trapped''; END';
    CREATE OPERATOR = (LEFTARG = text, RIGHTARG = varchar, FUNCTION = trap);
    CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regnamespace, FUNCTION = trap);
    CREATE OPERATOR = (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap);
    CREATE OPERATOR || (LEFTARG = name, RIGHTARG = name, FUNCTION = trap)"""


def test_an_operator_in_our_schema_is_never_called(postgresql: Server) -> None:
    """A function from the time when others had the right is found without a call, and no look-up calls it."""
    address = postgresql.migrated()
    with closing(PostgresqlDatabase(address)) as database:
        with sql_work(database).change() as stores:
            stores.authorities.add(authority("issuing"))
            stores.directory.add(principal("alice"), NOON)
            stores.certificates.add_intended(certificate(1))
        postgresql.run(TRAP, database=name_of(address))
        with sql_work(database).change() as stores:
            assert stores.certificates.by_sha256(certificate(1).sha256) is not None
            assert stores.certificates.find("crt_0") != []
            assert stores.directory.by_name("alice") is not None
            stores.directory.add_group("staff", "grp_staff", NOON)
            assert stores.directory.groups() == {"staff": 0}
        assert database.exists()
        with database.read() as connection:
            faults = database.catalogue.find_faults(connection)
    assert "operator '=(text,character varying)' does not belong there" in faults
    assert "operator '||(name,name)' does not belong there" in faults
