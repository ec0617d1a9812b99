"""Root's command line and the ordinary user's service share one database."""

from __future__ import annotations

import os
import shutil
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from tests.support.ports import NOON
from tests.support.records import principal
from tests.support.sql_store import child, sql_work, sqlite_database

NOBODY = 65534
BECOME = f"""
import os
scratch = database_at(Path(sys.argv[1]))  # loads, as root, modules of this interpreter that no other user may read
with sql_work(scratch).change() as stores:
    stores.directory.add(principal("scratch"), NOON)
scratch.close()
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
"""
SERVICE = """
with work.change() as stores:
    stores.directory.add(principal("bob"), NOON)
print("written", flush=True)
"""


@pytest.fixture
def crossroads() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="doorward-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an ordinary user to meet")
def test_root_does_not_lock_out_the_service(crossroads: Path) -> None:
    """Files that root's process makes beside the database belong to its owner, who can still write."""
    folder = crossroads / "db"
    folder.mkdir(mode=0o700)
    sqlite_database(folder).close()
    os.chown(folder, NOBODY, NOBODY)
    os.chown(folder / "doorward.db", NOBODY, NOBODY)
    scratch = crossroads / "scratch"
    scratch.mkdir()

    database = sqlite_database(folder)
    work = sql_work(database)
    with work.change() as stores:
        stores.directory.add(principal("alice"), NOON)
    owners = {path.name: path.stat().st_uid for path in folder.iterdir()}
    assert {"doorward.db-wal", "doorward.db-shm", "doorward.db-next", "doorward.db-now"} <= owners.keys()
    assert set(owners.values()) == {NOBODY}

    process = child(folder, BECOME + SERVICE, str(scratch))
    assert process.communicate(timeout=60)[0] == "written\n"
    with work.read() as stores:
        assert [one.name for one in stores.directory.list()] == ["alice", "bob"]
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an ordinary user to meet")
def test_a_foreign_user_is_shut_out(crossroads: Path) -> None:
    """A user other than the owner cannot open the database, and gets our error."""
    folder = crossroads / "db"
    folder.mkdir(mode=0o755)
    database = sqlite_database(folder)
    with sql_work(database).change() as stores:
        stores.directory.add(principal("alice"), NOON)
    scratch = crossroads / "scratch"
    scratch.mkdir()
    code = """
    from doorward.core.errors import Unavailable
    for way in (work.read, work.change):
        try:
            with way() as stores:
                stores.directory.list()
        except Unavailable as error:
            print(error.code)
    """
    process = child(folder, BECOME + textwrap.dedent(code), str(scratch))
    assert process.communicate(timeout=60)[0].split() == ["store-missing"] * 2
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has files to give away")
@pytest.mark.parametrize("content", ["a secret of root", ""])
def test_root_does_not_give_away_its_own_files(crossroads: Path, content: str) -> None:
    """If the ordinary user links a file of root as the lock file, it stays root's, and the change is refused."""
    folder = crossroads / "db"
    folder.mkdir(mode=0o700)
    sqlite_database(folder).close()
    os.chown(folder, NOBODY, NOBODY)
    os.chown(folder / "doorward.db", NOBODY, NOBODY)
    secret = crossroads / "secret"
    secret.write_text(content)
    (folder / "doorward.db-next").unlink(missing_ok=True)
    os.link(secret, folder / "doorward.db-next")
    database = sqlite_database(folder)
    with pytest.raises(Unavailable) as caught, sql_work(database).change() as stores:
        stores.directory.add(principal("alice"), NOON)
    database.close()
    assert caught.value.code == "store-foreign"
    assert secret.stat().st_uid == 0
