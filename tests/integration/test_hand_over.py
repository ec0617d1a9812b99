"""After the first start root gives nothing away any more, and founds nothing twice."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, IntegrityError, NotFound
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.layout import Layout
from doorward.runtime.settings import Settings, load_settings
from doorward.runtime.world import SystemRandom
from doorward.storage import keystore
from tests.support.commands import run_program
from tests.support.doorway import founded, short_folder
from tests.support.refusals import refused
from tests.support.syncing import watch_syncing

NOBODY = 65534
as_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="only root hands folders over"
)


@pytest.fixture
def installation() -> Iterator[Installation]:
    """An installation that was founded just now."""
    with founded(unlocked=False) as made:
        yield made


@as_root
def test_a_link_in_the_place_of_a_folder_is_not_followed(installation: Installation) -> None:
    """The ordinary user exchanges a folder for a link: root notices, and what it points to stays root's."""
    layout, victim = installation.layout, installation.layout.data.parent / "victim"
    victim.mkdir(mode=0o755)
    (victim / "shadow").write_text("root's own")
    installation.prepare_folders()
    (layout.gateway / "envoy").rename(layout.gateway / "old")
    (layout.gateway / "envoy").symlink_to(victim)
    with refused(ConfigurationError, "data-foreign"):
        installation.prepare_folders()
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        layout.hand_over(NOBODY, NOBODY)
    assert (victim / "shadow").stat().st_uid == 0
    assert victim.stat().st_uid == 0


@as_root
def test_a_parent_that_is_a_link_is_not_followed(installation: Installation) -> None:
    """The same with the folder above it."""
    layout, victim = installation.layout, installation.layout.data.parent / "victim"
    (victim / "envoy").mkdir(parents=True)
    layout.gateway.rename(layout.data / "old")
    layout.gateway.symlink_to(victim)
    with pytest.raises(ConfigurationError):
        installation.prepare_folders()


@as_root
def test_folders_of_another_user_are_refused(installation: Installation) -> None:
    """A folder that is not the ordinary user's stops the start."""
    os.chown(installation.layout.run, 0, 0)
    with pytest.raises(ConfigurationError) as caught:
        installation.prepare_folders()
    assert str(installation.layout.run) in str(caught.value)


def test_a_lost_database_is_not_founded_again(installation: Installation) -> None:
    """Without its database the installation is damaged, not new: nothing is founded, and it is said."""
    installation.close()
    for file in installation.layout.database.parent.iterdir():
        file.unlink()
    assert installation.is_founded()
    with refused(IntegrityError, "database-lost"):
        installation.tenant()
    assert not installation.layout.database.exists()


def test_a_damaged_mark_is_said(installation: Installation) -> None:
    """A mark that cannot be read stops the start."""
    assert installation.founded_with()["trust_domain"] == "test.localhost"
    installation.layout.founded.write_text("?")
    with refused(IntegrityError, "mark-damaged"):
        installation.founded_with()


def test_a_start_that_was_interrupted_before_its_mark_goes_on(installation: Installation) -> None:
    """A founded installation is marked at the next look, and not founded twice."""
    installation.layout.founded.unlink()
    assert installation.is_founded()
    assert installation.layout.founded.exists()


def test_a_folder_without_anything_is_not_founded(tmp_path: Path) -> None:
    """Nothing there is nothing founded."""
    assert not Installation(Settings(data=tmp_path)).is_founded()
    assert Layout(tmp_path).founded.name == "founded"


def test_the_parts_take_no_code_from_the_working_directory(tmp_path: Path) -> None:
    """A package of our name in the folder where `up` is called is not imported."""
    (tmp_path / "doorward").mkdir()
    (tmp_path / "doorward" / "__init__.py").write_text("raise SystemExit('planted')")
    for flags, planted in (("-P", False), ("-B", True)):
        done = run_program([sys.executable, flags, "-c", "import doorward"], cwd=tmp_path)
        assert ("planted" in done.stderr) is planted


# what a restored backup lacks


def emptied(installation: Installation) -> Layout:
    """The installation as a backup holds it."""
    for folder in (installation.layout.run, installation.layout.gateway):
        shutil.rmtree(folder)
    return installation.layout


@as_root
def test_missing_folders_are_made_for_the_ordinary_user(installation: Installation) -> None:
    """A half-made folder after a crash blocks no later start, and nothing is left aside."""
    layout = emptied(installation)
    (layout.data / ".run.new").mkdir()
    installation.prepare_folders()
    for folder in (layout.run, layout.gateway):
        facts = folder.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (NOBODY, 0o700)
        assert list(folder.iterdir()) == []
    assert [one.name for one in layout.data.iterdir() if one.name.endswith(".new")] == []


@as_root
def test_root_makes_nothing_where_others_may_exchange_it(installation: Installation) -> None:
    """In a data directory of another user, or open to writing, a folder could be exchanged for a link."""
    layout = emptied(installation)
    for uid, mode in ((NOBODY, 0o711), (0, 0o777)):
        os.chown(layout.data, uid, 0)
        layout.data.chmod(mode)
        with refused(ConfigurationError, "data-foreign"):
            installation.prepare_folders()
        assert not layout.run.exists()


@as_root
def test_a_link_in_the_place_of_a_missing_folder_stays_one(installation: Installation) -> None:
    """A link is something that is there: it is not followed, not replaced, and stops the start."""
    layout = emptied(installation)
    victim = layout.data.parent / "victim"
    for target in (victim, layout.data.parent / "absent"):
        victim.mkdir(exist_ok=True)
        layout.run.unlink(missing_ok=True)
        layout.run.symlink_to(target)
        with pytest.raises(ConfigurationError):
            installation.prepare_folders()
        assert layout.run.is_symlink()
        assert victim.stat().st_uid == 0


@as_root
def test_content_is_never_made_again(installation: Installation) -> None:
    """Keys and database come from a backup: if their folder is missing, the error says so."""
    for folder in (installation.layout.keys, installation.layout.database.parent):
        folder.rename(folder.with_name("away"))
        with refused(ConfigurationError, "data-missing"):
            installation.prepare_folders()
        folder.with_name("away").rename(folder)


@as_root
def test_a_place_that_the_ordinary_user_cannot_reach(installation: Installation) -> None:
    """If it is restored below a folder that other users cannot enter, the start says so."""
    layout = emptied(installation)
    layout.data.chmod(0o700)
    with refused(ConfigurationError, "data-unreachable"):
        installation.prepare_folders()


def test_lost_keys_are_not_a_new_installation(installation: Installation) -> None:
    """Without its key store a founded installation asks for the backup, not for `init`."""
    (installation.layout.keys / keystore.HEADER).unlink()
    with refused(NotFound, "keystore-missing") as caught:
        installation.unlock()
    assert "backup" in caught.value.hint


# who the parts become


@as_root
def test_a_misspelt_user_is_not_replaced_by_the_default(installation: Installation) -> None:
    """If the set user does not exist, founding and starting stop; without a setting the user may be `nobody`."""
    data = installation.settings.data
    named = Installation(load_settings(environ={"DOORWARD_USER": "doorwrad"}, data=data))
    for way in (named.prepare_folders, named.account):
        with refused(ConfigurationError, "user-unknown") as caught:
            way()
        assert "`user`" in caught.value.hint
    settings = load_settings(
        environ={}, data=data.with_name("other"), trust_domain="test.localhost", user="doorwrad"
    )
    with refused(ConfigurationError, "user-unknown"):
        initialise(settings, SystemRandom(), actor="os:0")
    assert not settings.data.exists()
    by_default = Installation(Settings(data=data)).account()
    assert by_default is not None
    assert by_default.name in {"doorward", "nobody"}


# what a power cut must not take back


def test_what_founding_writes_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mark, verifier key, settings and passphrase: file and name are synced, the mark after everything else."""
    with short_folder() as folder:
        synced = watch_syncing(monkeypatch)
        settings = Settings(
            data=folder / "data", trust_domain="test.localhost", passphrase_file=folder / "p", user="nobody"
        )
        initialise(settings, SystemRandom(), actor="os:0")
        for name in ("doorward.toml", "log.key", "founded"):
            at = synced.index((settings.data / f".{name}.new", False))
            assert synced[at + 1] == (settings.data, True)
            assert stat.S_IMODE((settings.data / name).stat().st_mode) == 0o644
        assert synced[-2][0].name == ".founded.new"
        assert synced[synced.index((folder / "p", False)) + 1] == (folder, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could be misled")
def test_nothing_is_founded_in_a_folder_of_another_user() -> None:
    """Its owner could exchange what root makes there: `init` refuses before anything is made."""
    with short_folder() as folder:
        data = folder / "data"
        data.mkdir()
        os.chown(data, 65534, 65534)
        with refused(ConfigurationError, "data-foreign"):
            Layout(data).create()
        assert list(data.iterdir()) == []


def test_founding_follows_no_link() -> None:
    """A link in the place of a folder is refused, and its target is not changed."""
    with short_folder() as folder:
        data, elsewhere = folder / "data", folder / "elsewhere"
        data.mkdir(mode=0o700)
        elsewhere.mkdir()
        elsewhere.chmod(0o755)
        (data / "keys").symlink_to(elsewhere)
        with refused(ConfigurationError, "data-foreign"):
            Layout(data).create()
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755
        assert list(elsewhere.iterdir()) == []
