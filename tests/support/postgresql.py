"""A PostgreSQL server for tests: one for each test process, run by an ordinary user in a temporary folder.

Each database is a copy of one that was migrated once. Nothing listens on the network; a role named `locked`
needs a password, every other role needs none.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from doorward.storage.postgresql.database import PostgresqlDatabase
from doorward.storage.schema import tables_of
from doorward.storage.schema_versions import migrate

PASSWORD = "a secret that no message may hold"
_TEMPLATE = "migrated"
_START_SECONDS = 60.0
_SETTINGS = {
    "listen_addresses": "''",
    "fsync": "off",  # a test's database survives no power cut
    "max_connections": "200",
    "log_min_messages": "fatal",
}
_HBA = "local all locked scram-sha-256\nlocal all all trust\n"


@dataclass
class Server:
    """A running server."""

    folder: Path
    process: subprocess.Popen[bytes]
    programs: Path
    shared: str | None = None
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str, *, role: str = "doorward", options: str = "") -> str:
        """The address of a database."""
        return f"postgresql://{role}@/{database}?host={self.folder}{options}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the administrator."""
        with closing(psycopg.connect(self.url(database, role="admin"), autocommit=True)) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]  # our own text

    def empty(self, *, options: str = "ENCODING 'UTF8' LOCALE 'C'") -> str:
        """Make a database without a table, and return its address."""
        return self._make(f"TEMPLATE template0 {options}")

    def migrated(self) -> str:
        """Make a database with our schema and no row, and return its address."""
        return self._make(f"TEMPLATE {_TEMPLATE}")

    def cleared(self) -> str:
        """Return the address of a database with our schema and no row, which the test before had as well.

        That takes a tenth of the time of making one.
        """
        if self.shared is None:
            self.shared = self.migrated()
        names = [table.name for table in reversed(tables_of("postgresql"))]
        with closing(psycopg.connect(self.shared, autocommit=True)) as connection:
            connection.execute("; ".join(f'DELETE FROM "{name}"' for name in names))  # type: ignore[arg-type]
        return self.shared

    @contextmanager
    def durable(self) -> Iterator[None]:
        """Keep commits on disk as long as the block runs, as `status` wants it; tests are faster without."""
        self._set_fsync("on")
        try:
            yield
        finally:
            self._set_fsync("off")

    def _set_fsync(self, value: str) -> None:
        self.run(f"ALTER SYSTEM SET fsync = {value}", "SELECT pg_reload_conf()")
        found = None
        while found != value:
            with closing(psycopg.connect(self.url("postgres", role="admin"))) as connection:
                (found,) = connection.execute("SHOW fsync").fetchone() or ("",)

    def prepare(self) -> None:
        """Make the roles and the template."""
        self.run(
            "CREATE ROLE doorward LOGIN",
            f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE {_TEMPLATE} OWNER doorward TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'",
        )
        with closing(PostgresqlDatabase(self.url(_TEMPLATE))) as database:
            migrate(database)

    def _make(self, how: str) -> str:
        name = f"t{next(self.numbers)}"
        self.run(f"CREATE DATABASE {name} OWNER doorward {how}")
        return self.url(name)


def name_of(address: str) -> str:
    """Return the name of the database of an address."""
    return address.partition("@/")[2].partition("?")[0]


def find_programs() -> Path | None:
    """Return the folder of the server's programs; Debian keeps them off the path."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    return debian[-1].parent if debian else None


def require_programs() -> Path:
    """Return the same; skip the test, or in CI fail it, if there is no server."""
    found = find_programs()
    if found is not None:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail("not installed: a PostgreSQL server", pytrace=False)
    pytest.skip("not installed: a PostgreSQL server")


@contextmanager
def running_server(*, standby: bool = False) -> Iterator[Server]:
    """Run a server as long as the block runs; a standby has the administrator only, and follows no primary."""
    programs = require_programs()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        folder.chmod(0o711)
        account = _ordinary()
        if account:
            shutil.chown(folder, account, account)
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "admin", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            user=account,
            group=account,
            extra_groups=[] if account else None,
        )  # fmt: skip
        (data / "pg_hba.conf").write_text(_HBA)
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _SETTINGS.items())
        if standby:
            (data / "standby.signal").touch()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, "-k", folder],
                stdout=log,
                stderr=log,
                cwd="/",
                user=account,
                group=account,
                extra_groups=[] if account else None,
            )
        try:
            server = Server(folder=folder, process=process, programs=programs)
            _await(server)
            if not standby:
                server.prepare()
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, without a checkpoint
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary() -> str | None:
    """The server refuses to be root's."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(one.pw_name == "postgres" for one in pwd.getpwall()) else "nobody"


def _await(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.run("SELECT 1")
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
