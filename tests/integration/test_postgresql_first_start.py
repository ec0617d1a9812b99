"""`init` on PostgreSQL: its refusals, and the state after a refusal."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, IntegrityError, RequestRefused, Unavailable
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.settings import Settings, load_settings
from doorward.runtime.world import SystemRandom
from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.schema_versions import migrate
from tests.support.commands import run_program
from tests.support.doorway import settings_in
from tests.support.postgresql import Server, name_of
from tests.support.refusals import refused


def settings(folder: Path, database: str, name: str = "data", **more: Any) -> Settings:
    """The settings of an installation in `folder`."""
    return settings_in(folder, data=folder / name, database=database, **more)


def begin(made: Settings) -> None:
    """Run the first start."""
    initialise(made, SystemRandom(), actor="os:0")


def test_later_commands_know_the_database(postgresql: Server, folder: Path) -> None:
    """The address stands in the settings file, and no SQLite file is made."""
    address = postgresql.empty()
    begin(settings(folder, address))
    again = load_settings(environ={}, data=folder / "data")
    assert again.database == address
    with closing(Installation(again)) as installation:
        assert installation.tenant().trust_domain == "test.localhost"
        assert installation.is_founded()
        assert not installation.needs_migration()
    assert list((folder / "data" / "db").iterdir()) == []


def test_the_database_of_another_installation_is_not_changed(postgresql: Server, folder: Path) -> None:
    """A second data directory does not take over the first one's database; it makes no settings and no keys."""
    address = postgresql.empty()
    begin(settings(folder, address))
    with refused(ConfigurationError, "database-taken"):
        begin(settings(folder, address, "other"))
    assert not (folder / "other" / "doorward.toml").exists()
    assert list((folder / "other" / "keys").iterdir()) == []
    with closing(Installation(settings(folder, address))) as installation:
        assert installation.tenant().trust_domain == "test.localhost"


def test_a_setting_that_names_another_installation_is_refused(postgresql: Server, folder: Path) -> None:
    """A role does not use its keys with the database of another installation."""
    mine = settings(folder, postgresql.empty())
    begin(mine)
    theirs = settings(folder, postgresql.empty(), "other").model_copy(
        update={"trust_domain": "other.localhost"}
    )
    begin(theirs)
    with (
        closing(Installation(mine.model_copy(update={"database": theirs.database}))) as installation,
        refused(ConfigurationError, "database-taken"),
    ):
        installation.tenant()


def test_an_older_database_of_another_installation_is_not_migrated(postgresql: Server, folder: Path) -> None:
    """The owner of a database is checked before its schema is changed."""
    address = postgresql.empty()
    begin(settings(folder, address))
    with closing(PostgresqlDatabase(address)) as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with refused(ConfigurationError, "database-taken"):
        begin(settings(folder, address, "other"))


def test_an_interrupted_start_goes_on(postgresql: Server, folder: Path) -> None:
    """Tables that a first start left without an authority are used by the next one."""
    address = postgresql.empty()
    with closing(PostgresqlDatabase(address)) as database:
        migrate(database)
    begin(settings(folder, address))
    with closing(Installation(settings(folder, address))) as installation:
        assert installation.tenant().trust_domain == "test.localhost"


def test_an_unsuitable_database_leaves_no_settings(postgresql: Server, folder: Path) -> None:
    """Problems of the database are reported before a passphrase, a settings file or a key is made."""
    address = postgresql.empty()
    postgresql.run("CREATE TABLE foreign_rows (id int)", database=name_of(address))
    for database, code in (
        (address, "database-not-empty"),
        (postgresql.url("nowhere"), "store-missing"),
        ("postgresql:///x?host=/tmp/there-is-no-such-folder", "store-unavailable"),
    ):
        with pytest.raises((ConfigurationError, Unavailable)) as caught:
            begin(settings(folder, database))
        assert caught.value.code == code
        assert not (folder / "data" / "doorward.toml").exists()
        assert not (folder / "passphrase").exists()


def test_a_database_that_is_gone_is_lost(postgresql: Server, folder: Path) -> None:
    """An existing installation with dropped tables is not founded again."""
    address = postgresql.empty()
    begin(settings(folder, address))
    with closing(PostgresqlDatabase(address)) as database:
        database.erase()
    with (
        closing(Installation(settings(folder, address))) as installation,
        refused(IntegrityError, "database-lost"),
    ):
        installation.tenant()
    with pytest.raises(RequestRefused):
        begin(settings(folder, address))


def test_without_the_driver_it_says_what_to_install(folder: Path) -> None:
    """Psycopg is optional: without it PostgreSQL is refused with an error, and SQLite works."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path; from doorward.storage.opening import open_database\n"
        "open_database('', Path('x.db')); open_database('', Path('x.db'), one_shot=True)\n"
        "try: open_database('postgresql:///x', Path('x.db'))\n"
        "except Exception as error: print(error.code, error.faults[0].hint)\n"
    )
    done = run_program([sys.executable, "-c", code], cwd=folder)
    assert done.stdout.split() == [
        "driver-missing",
        "install",
        "it:",
        "pip",
        "install",
        "'doorward[postgresql]'",
    ]


def test_a_common_command_loads_no_sqlalchemy(postgresql: Server, folder: Path) -> None:
    """A change and a look on PostgreSQL need its driver alone; loading more takes longer than the command."""
    begin(settings(folder, postgresql.empty()))
    for words in (["person", "add", "alice"], ["person", "list"]):
        code = (
            "import sys; from doorward.cli.__main__ import main\n"
            f"main([*{words!r}, '--data', {str(folder / 'data')!r}], standalone_mode=False)\n"
            "print([name for name in ('psycopg', 'sqlalchemy') if name in sys.modules], file=sys.stderr)\n"
        )
        done = run_program([sys.executable, "-c", code], check=True)
        assert done.stderr.splitlines()[-1] == "['psycopg']"
