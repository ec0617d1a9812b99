"""A new version with a newer schema: only `doorward init` brings the database to it.

The new version is this program, copied, with one revision more; root's copy is out of the ordinary
user's reach, as a virtual environment below /root is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from doorward.runtime.initialise import initialise
from doorward.runtime.layout import Layout
from doorward.runtime.world import SystemRandom
from doorward.storage.schema_versions import HEAD, require_current
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.schema_digest import SCHEMA_SHA256
from tests.support.commands import run_program
from tests.support.doorway import settings_in, short_folder

SOURCE = Path(__file__).parents[2] / "src"
NEXT = "9000"
REVISION = f'''
"""A column more, and other data."""
import sqlalchemy as sa
from alembic import op
revision = "{NEXT}"
down_revision = "{HEAD}"
def upgrade():
    op.add_column("groups", sa.Column("note", sa.Text(), nullable=False, server_default="kept"))
'''

DIGEST = """
import sys
from pathlib import Path
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.sqlite.schema_digest import digest_schema, read_objects, read_settings
from doorward.storage.schema_versions import migrate
from doorward.storage.connection import driver_of
database = SqliteDatabase(Path(sys.argv[1]))
migrate(database)
with database.read() as connection:
    driver = driver_of(connection)
    print(digest_schema(read_objects(driver), read_settings(driver)))
"""


@dataclass
class Site:
    """An installation, and two versions of the program."""

    folder: Path

    @property
    def layout(self) -> Layout:
        """Its places."""
        return Layout(self.folder / "data")

    def start(self, version: Path, *words: str) -> subprocess.Popen[str]:
        """Start a version of the program on it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
        return subprocess.Popen(
            [sys.executable, "-m", "doorward.cli", *words, "--data", str(self.layout.data)],
            env={**kept, "PYTHONPATH": str(version), "DOORWARD_GATEWAY_WORKERS": "1"},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, version: Path, *words: str, code: int = 0) -> Any:
        """Run it to its end; return the one document that it printed."""
        process = self.start(version, *words, "--json")
        out, err = process.communicate(timeout=90)
        assert process.returncode == code, (out, err)
        value = json.loads(out)
        return value.get("error", value) if isinstance(value, dict) else value

    def newer(self) -> Path:
        """The source folder of the new version."""
        made = self.folder / "newer"
        made.mkdir(mode=0o700)
        shutil.copytree(SOURCE, made / "src", ignore=shutil.ignore_patterns("__pycache__"))
        storage = made / "src" / "doorward" / "storage"
        (storage / "migrations" / "versions" / f"r{NEXT}.py").write_text(REVISION)
        versions = storage / "schema_versions.py"
        before = versions.read_text()
        after = re.sub(
            rf'^REVISIONS = (.*?)"{HEAD}",?\s*\)',
            rf'REVISIONS = \1"{HEAD}", "{NEXT}")',
            before,
            flags=re.MULTILINE | re.DOTALL,
        )
        assert after != before
        versions.write_text(after)
        digest = storage / "sqlite" / "schema_digest.py"
        digest.write_text(digest.read_text().replace(SCHEMA_SHA256, self._digest_of(made / "src")))
        return made / "src"

    def _digest_of(self, version: Path) -> str:
        """The schema of a version, as an engineer who adds a revision finds it."""
        words = [sys.executable, "-c", DIGEST, str(self.folder / "scratch.db")]
        environment = {**os.environ, "PYTHONPATH": str(version)}
        return run_program(words, env=environment, cwd=self.folder, check=True).stdout.strip()


@pytest.fixture
def site() -> Iterator[Site]:
    """An installation of this version."""
    with short_folder() as folder:
        made = Site(folder)
        initialise(settings_in(folder, data=made.layout.data), SystemRandom(), actor="os:0")
        yield made


@pytest.mark.long
def test_an_update_through_the_command_line(site: Site) -> None:
    """The new version refuses to start, says what to do, does it once, and opens the door; the old one is shut out."""
    newer = site.newer()
    site.run(SOURCE, "group", "create", "staff")
    for words in (("group", "list"), ("up",)):
        process = site.start(newer, *words)
        _, err = process.communicate(timeout=90)
        assert process.returncode == 3
        assert "schema-older" in err
        assert "doorward init" in err
    owner = site.layout.database.stat().st_uid
    assert site.run(newer, "init") == {"data": str(site.layout.data), "schema_before": HEAD}
    assert {one.stat().st_uid for one in site.layout.database.parent.iterdir()} == {owner}
    assert site.run(newer, "init", code=1)["code"] == "already-initialised"
    assert [one["group"] for one in site.run(newer, "group", "list")] == ["staff"]
    for words in (("init",), ("group", "list")):
        assert site.run(SOURCE, *words, code=3)["code"] == "schema-newer"
    with site.start(newer, "up") as parent:
        assert parent.stdout is not None
        assert "the door is open" in parent.stdout.readline(), parent.communicate(timeout=60)
        parent.send_signal(signal.SIGTERM)
        parent.communicate(timeout=60)
    assert parent.returncode == 0


def test_what_runs_is_not_migrated_under(site: Site) -> None:
    """While a part of the old version runs, `init` of the new one changes nothing and names the process."""
    newer = site.newer()
    with site.start(SOURCE, "serve") as serve:
        try:
            assert serve.stderr is not None
            assert any('"serving"' in line for line in serve.stderr)
            refused = site.run(newer, "init", code=3)
            assert refused["code"] == "already-running"
            assert f"process {serve.pid}" in refused["detail"]
            assert site.run(SOURCE, "init", code=1)["code"] == "already-initialised"
        finally:
            serve.send_signal(signal.SIGTERM)
            serve.communicate(timeout=60)
    with closing(SqliteDatabase(site.layout.database)) as database:
        require_current(database)
    site.run(newer, "init")


def test_a_lost_database_is_not_made_again(site: Site) -> None:
    """`init` on an installation without its database says so, and makes none."""
    for file in site.layout.database.parent.iterdir():
        file.unlink()
    assert site.run(SOURCE, "init", code=4)["code"] == "database-lost"
    assert not site.layout.database.exists()
