"""The commands of the page `back-up.md` for PostgreSQL, played: what they copy is the installation."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing

from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal, list_principals
from doorward.runtime.compose import Installation
from tests.support.doorway import ACTOR, founded
from tests.support.postgresql import Server
from tests.support.walkthrough import ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "back-up.md"


def test_a_dump_is_put_back(postgresql: Server) -> None:
    """A dump, restored into an empty database, is the same installation: with our schema and every person."""
    written = "postgresql://doorward@db.corp.example/doorward?passfile=/etc/doorward/pgpass"
    before, after = postgresql.empty(), postgresql.empty()
    with founded(database=before, quick=True) as installation:
        settings = installation.settings
        folder = settings.data.parent
        add_principal(installation.services, PrincipalKind.PERSON, "alice", actor=ACTOR)
        for commands, address in (("pg_dump", before), ("pg_restore", after)):
            (page,) = [one.text for one in read_blocks(PAGE) if commands in one.text]
            script = page.replace(written, address).replace("/backup/", f"{folder}/")
            assert address in script
            path = f"{postgresql.programs}:{os.environ['PATH']}"
            subprocess.run(["bash", "-euc", script], check=True, env={**os.environ, "PATH": path})
        with closing(Installation(settings.model_copy(update={"database": after}))) as restored:
            assert [one.name for one in list_principals(restored.services)] == ["alice"]
            with restored.database.read() as connection:
                assert restored.database.catalogue.find_faults(connection) == []
