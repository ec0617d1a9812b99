"""The page `back-up.md`, played: what it copies is enough, and what it puts back opens the door."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.runtime.compose import Installation
from doorward.runtime.layout import Layout
from doorward.stores.factor_records import SessionRecord
from tests.support.commands import run_program
from tests.support.doorway import eventually
from tests.support.factor_records import BANK, session
from tests.support.house import ROOT, House, open_house

PAGE = ROOT / "docs" / "how-to" / "back-up.md"
UNPRIVILEGED = "nobody"
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
MODULES = os.pathsep.join([str(ROOT / "src"), *(one for one in sys.path if one.endswith("site-packages"))])
as_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="only root has an ordinary user"
)


def ordinary_prefix() -> tuple[str, ...]:
    """Return arguments that run `sys.executable` as an ordinary user; another Python if that user cannot reach it."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        prefix = (*AS_NOBODY, "sh", "-c", 'python=$0; shift; exec "$python" "$@"', python)
        done = subprocess.run(
            [*prefix, sys.executable, "-c", "import doorward.cli.__main__, cryptography, msgspec"],
            env={"PYTHONPATH": MODULES},
            cwd="/",
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return prefix
    pytest.skip("an ordinary user cannot reach any interpreter")


def block(text: str) -> str:
    """Return the page's shell block that holds some text."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = (one for one in blocks if text in one)
    return textwrap.dedent(found)


def play(house: House, commands: str) -> None:
    """Run commands of the page with this house in the place of the service, its folder in that of the system's."""
    for part in re.split(r"^(systemctl \w+) doorward\n", commands, flags=re.MULTILINE):
        if part == "systemctl stop":
            if house.parent is not None:
                assert house.stop() == 0
        elif part == "systemctl start":
            house.start()
        else:
            script = part.replace("/var/lib/doorward", str(house.data)).replace(
                "/backup/", f"{house.folder}/"
            )
            script = script.replace(" doorward: ", f" {UNPRIVILEGED}: ")
            subprocess.run(["bash", "-euc", script], cwd=house.folder, check=True, stdin=subprocess.DEVNULL)


def doorward(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on its installation, as the present user."""
    return run_program(
        [*house.prefix, sys.executable, "-m", "doorward.cli", *words, "--data", str(house.data)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **house.environment},
        cwd=ROOT,
    )


def keep_evidence(house: House) -> None:
    """Keep the newest checkpoint and the verifier key, as an auditor does."""
    assert house.events()  # nothing waits for its place in the log
    kept = house.folder / "auditor"
    kept.mkdir()
    kept.chmod(0o777)
    out = ["--out", str(kept / "log.jsonl"), "--checkpoint-out", str(kept / "checkpoint.txt")]
    # Refused as long as no checkpoint was signed, which takes some seconds after the first start.
    assert eventually(lambda: doorward(house, "audit", "export", *out).returncode == 0, 20)
    shutil.copy(house.data / "log.key", kept / "log.key")


def verified(house: House) -> bool:
    """Whether the log continues what the auditor kept."""
    kept = house.folder / "auditor"
    words = ["--checkpoint", str(kept / "checkpoint.txt"), "--key", str(kept / "log.key")]
    done = doorward(house, "audit", "verify", *words, "--json")
    return done.returncode == 0 and not json.loads(done.stdout)["faults"]


@contextmanager
def founded(*, ordinary: bool) -> Iterator[House]:
    """A house of root's, or of an ordinary user, with alice in it."""
    with open_house(started=False) as house:
        if ordinary and os.geteuid() == 0:
            house.prefix = ordinary_prefix()
            house.environment["PYTHONPATH"] = MODULES
            for path in (house.folder, *house.folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        house.start()
        house.apply("- {allow: {groups: [staff]}}")
        house.person("alice", "staff")
        yield house


def open_session(house: House) -> tuple[SessionRecord, str]:
    """Open a session for alice; return it with the epoch that its token would carry."""
    services = house.installation.services
    now = services.clock.now()
    with services.work.change() as stores:
        alice = stores.directory.by_name("alice")
        assert alice is not None
        made = session(
            "bank", principal_id=alice.id, created_at=now, seen_at=now, ends_at=now + timedelta(days=1)
        )
        stores.sessions.add(made)
        return made, stores.epochs.of(alice.id, BANK)


def check_session_ended(house: House, opened: SessionRecord, epoch: str) -> None:
    """A session of the copy is over, and a token of its time is worthless."""
    with closing(Installation(house.installation.settings)) as again, again.services.work.read() as stores:
        found = stores.sessions.get(opened.id)
        assert found is not None
        assert found.ended_at is not None
        assert stores.epochs.of(opened.principal_id, BANK) != epoch


@pytest.mark.long
@pytest.mark.parametrize("ordinary", [pytest.param(False, marks=as_root), True], ids=["root", "ordinary"])
def test_a_copy_made_while_stopped(*, ordinary: bool) -> None:
    """Copied and put back by the page's own commands, the door opens, and the log continues what was kept."""
    with founded(ordinary=ordinary) as house:
        assert house.lets_in("alice")
        opened, epoch = open_session(house)
        keep_evidence(house)
        play(house, block("tar --create"))
        assert eventually(lambda: house.lets_in("alice"), 15), house.words()
        house.installation.close()
        play(house, block("tar --extract"))
        assert {"run", "gateway"}.isdisjoint(one.name for one in house.data.iterdir())
        assert verified(house)
        play(house, "systemctl start doorward\n")
        assert eventually(lambda: house.lets_in("alice"), 15), house.words()
        assert verified(house)
        _check_folders(house)
        check_session_ended(house, opened, epoch)


@as_root
def test_a_copy_made_while_running() -> None:
    """The same with the database copied from under the running door, and owners set as the page says."""
    with founded(ordinary=False) as house:
        assert house.lets_in("alice")
        opened, epoch = open_session(house)
        keep_evidence(house)
        play(house, block("source.backup(copy)"))
        for name in ("keys", "doorward.toml", "log.key", "founded"):
            _copy(house.data / name, house.folder / "copy" / name)
        play(house, "systemctl stop doorward\n")
        house.installation.close()
        shutil.rmtree(house.data)
        _copy(house.folder / "doorward.db", house.data / "db" / "doorward.db")
        for one in (house.folder / "copy").iterdir():
            _copy(one, house.data / one.name)
        house.data.chmod(0o711)
        refused = doorward(house, "serve", "--json")
        assert json.loads(refused.stdout)["error"]["code"] == "data-foreign"
        play(house, block("chown --recursive"))
        assert verified(house)
        play(house, "systemctl start doorward\n")
        assert eventually(lambda: house.lets_in("alice"), 15), house.words()
        assert verified(house)
        _check_folders(house)
        check_session_ended(house, opened, epoch)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _check_folders(house: House) -> None:
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    for folder in Layout(house.data).shared_folders():
        facts = folder.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (owner, 0o700), folder
