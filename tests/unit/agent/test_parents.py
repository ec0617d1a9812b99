"""The way to the agent's folder: only root and this user may write on it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.agent.locking import check_folder
from doorward.core.errors import ConfigurationError
from tests.support.refusals import refused

OTHER = 4242
"""The number of a user that is neither root nor this one."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder as `doorward enroll` makes it, two levels down."""
    folder = tmp_path / "srv" / "id"
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o755)
    return folder


def test_a_folder_below_ones_own_folders_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also through a link of one's own, a relative path, and a folder such as /tmp with the sticky bit."""
    check_folder(home)
    home.parent.chmod(0o1777)
    check_folder(home)
    (home.parent / "link").symlink_to("../srv/id")
    check_folder(home.parent / "link")
    (home.parent / "absolute").symlink_to(home.parent)
    monkeypatch.chdir(home.parent)
    check_folder(Path("absolute/id"))


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_a_parent_that_others_may_write_is_refused(home: Path, mode: int) -> None:
    """Another user could rename our folder and make one of that name; the mend is a command."""
    home.parent.chmod(mode)
    with refused(ConfigurationError, "folder-foreign") as caught:
        check_folder(home)
    assert caught.value.faults[0].hint == f"chmod go-w {home.parent}"


def test_a_parent_behind_a_link_is_checked_too(home: Path, tmp_path: Path) -> None:
    """The folder to which a link leads counts, not only the one that holds the link."""
    (tmp_path / "link").symlink_to(home.parent)
    home.parent.chmod(0o777)
    with refused(ConfigurationError, "folder-foreign"):
        check_folder(tmp_path / "link" / "id")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_folders_and_links_of_other_users_are_refused(home: Path, tmp_path: Path) -> None:
    """What another user owns, that user can replace."""
    link = tmp_path / "link"
    link.symlink_to(home)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with refused(ConfigurationError, "folder-foreign") as caught:
        check_folder(link)
    assert f"ls -l {link}" in caught.value.faults[0].hint
    os.chown(home.parent, OTHER, OTHER)
    with refused(ConfigurationError, "folder-foreign"):
        check_folder(home)


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    """It is told as a folder that cannot be used."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with refused(ConfigurationError, "folder-unusable"):
        check_folder(tmp_path / "a")
