"""After the first start root gives nothing away any more, and founds nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, IntegrityError
from doorward.runtime.compose import Installation
from doorward.runtime.initialise import initialise
from doorward.runtime.layout import Layout
from doorward.runtime.settings import Settings
from doorward.runtime.world import SystemRandom
from tests.support.doorway import short_folder

NOBODY = 65534
as_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="only root hands folders over"
)


@pytest.fixture
def installation() -> Iterator[Installation]:
    """An installation that was founded just now."""
    with short_folder() as folder:
        settings = Settings(
            data=folder / "data",
            trust_domain="test.localhost",
            passphrase_file=folder / "passphrase",
            user="nobody",
        )
        initialise(settings, SystemRandom(), actor="os:0")
        made = Installation(settings)
        yield made
        made.close()


@as_root
def test_a_link_in_the_place_of_a_folder_is_not_followed(installation: Installation) -> None:
    """The ordinary user exchanges a folder for a link: root notices, and what it points to stays root's."""
    layout, victim = installation.layout, installation.layout.data.parent / "victim"
    victim.mkdir(mode=0o755)
    (victim / "shadow").write_text("root's own")
    installation.check_owner()
    (layout.gateway / "envoy").rename(layout.gateway / "old")
    (layout.gateway / "envoy").symlink_to(victim)
    with pytest.raises(ConfigurationError) as caught:
        installation.check_owner()
    assert caught.value.code == "data-foreign"
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
        installation.check_owner()


@as_root
def test_folders_of_another_user_are_refused(installation: Installation) -> None:
    """A folder that is not the ordinary user's stops the start."""
    os.chown(installation.layout.run, 0, 0)
    with pytest.raises(ConfigurationError) as caught:
        installation.check_owner()
    assert str(installation.layout.run) in str(caught.value)


def test_a_lost_database_is_not_founded_anew(installation: Installation) -> None:
    """Without its database the installation is damaged, not new: nothing is founded, and it is said."""
    installation.close()
    for file in installation.layout.database.parent.iterdir():
        file.unlink()
    assert installation.is_founded()
    with pytest.raises(IntegrityError) as caught:
        installation.tenant()
    assert caught.value.code == "database-lost"
    assert not installation.layout.database.exists()


def test_a_damaged_mark_is_said(installation: Installation) -> None:
    """A mark that cannot be read stops the start."""
    assert installation.founded_with()["trust_domain"] == "test.localhost"
    installation.layout.founded.write_text("?")
    with pytest.raises(IntegrityError) as caught:
        installation.founded_with()
    assert caught.value.code == "mark-damaged"


def test_a_start_that_was_interrupted_before_its_mark_goes_on(installation: Installation) -> None:
    """What was founded is marked at the next look, and not founded twice."""
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
        done = subprocess.run(
            [sys.executable, flags, "-c", "import doorward"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("planted" in done.stderr) is planted
