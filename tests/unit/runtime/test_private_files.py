"""Files that a command writes where its caller says."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused
from doorward.runtime.private_files import create_private, refuse_existing

pytestmark = pytest.mark.usefixtures("generous_umask")


def mode_of(path: Path) -> int:
    """The rights of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners(tmp_path: Path) -> None:
    """The content is there, and only the owner may read it, with any umask."""
    path = tmp_path / "new"
    create_private(path, b"content")
    assert path.read_bytes() == b"content"
    assert mode_of(path) == 0o600


def test_a_file_that_exists_is_not_touched(tmp_path: Path) -> None:
    """The option that named it is in the hint; a link that leads nowhere exists as well."""
    path, link = tmp_path / "kept", tmp_path / "link"
    path.write_bytes(b"kept")
    link.symlink_to(tmp_path / "nothing")
    for there in (path, link):
        for refuse in (
            lambda: create_private(there, b"other", option="--note"),  # noqa: B023  called at once
            lambda: refuse_existing(there, option="--note"),  # noqa: B023  as above
        ):
            with pytest.raises(RequestRefused) as caught:
                refuse()
            assert caught.value.code == "file-exists"
            assert "--note" in caught.value.hint
    assert path.read_bytes() == b"kept"
    assert not (tmp_path / "nothing").exists()
    refuse_existing(tmp_path / "new", option="--note")
