"""The commands of the page `back-up.md` for PostgreSQL, played: what they copy is the installation."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing

from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal, list_principals
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.settings import Settings
from doorward.runtime.world import SystemRandom
from tests.support.doorway import ACTOR, short_folder
from tests.support.postgresql import Server
from tests.support.walkthrough import ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "back-up.md"


def test_a_dump_is_put_back(postgresql: Server) -> None:
    """A dump, restored into an empty database, is the same installation: its schema is ours, nobody is missing."""
    written = "postgresql://doorward@db.corp.example/doorward?passfile=/etc/doorward/pgpass"
    before, after = postgresql.empty(), postgresql.empty()
    with short_folder() as folder:
        settings = Settings(
            data=folder / "data",
            trust_domain="test.localhost",
            passphrase_file=folder / "passphrase",
            user="nobody",
            database=before,
        )
        initialise(settings, SystemRandom(), actor=ACTOR)
        with closing(Installation(settings)) as installation:
            add_principal(installation.services, PrincipalKind.PERSON, "alice", actor=ACTOR)
        for commands, address in (("pg_dump", before), ("pg_restore", after)):
            (page,) = [one.text for one in read_blocks(PAGE) if commands in one.text]
            script = page.replace(written, address).replace("/backup/", f"{folder}/")
            assert address in script
            path = f"{postgresql.programs}:{os.environ['PATH']}"
            subprocess.run(["bash", "-euc", script], check=True, env={**os.environ, "PATH": path})
        with closing(Installation(settings.model_copy(update={"database": after}))) as installation:
            assert [one.name for one in list_principals(installation.services)] == ["alice"]
            with installation.database.read() as connection:
                assert installation.database.catalogue.find_faults(connection) == []
