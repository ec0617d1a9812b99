"""The folder that Envoy watches: replacing files by rename, reading them back, removing them.

Not here: the content of the files (enforcement) and whether Envoy accepted them (publisher). Envoy reacts to
renames; if a file were written in place, Envoy could read half of it or not notice it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.resources import ResourceFile
from doorward.gateway.ballast import BALLAST


class XdsFolder:
    """One watched folder with mode 0700: its files contain the paths of the keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, files: Iterable[ResourceFile]) -> None:
        """Replace each file; a reader sees either the old or the new content.

        Raises:
            Unavailable: `xds-not-written`.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in files:
            write_whole(self.path / one.name, one.content)

    def holds(self, file: ResourceFile) -> bool:
        """Return whether the file exists with exactly this content."""
        try:
            return (self.path / file.name).read_bytes() == file.content
        except OSError:
            return False

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; a file that cannot be removed does no harm, because no other file names it."""
        for name in names:
            with suppress(OSError):
                (self.path / name).unlink()

    def names(self) -> set[str]:
        """Return the names of all files that are or were resources."""
        return {
            str(one.relative_to(self.path))
            for one in (*self.path.glob("*.json"), *self.path.glob("*/*.json"))
        }


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file that Envoy reads, mode 0600; its folder is made if it is missing.

    Without fsync: every run of Envoy has a new folder, and no run survives a crash of the machine.

    Raises:
        Unavailable: `xds-not-written`.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        BALLAST.replace_file(path, content, durable=False)
    except OSError as error:
        raise Unavailable(
            "xds-not-written",
            f"the configuration could not be written: {error.strerror}",
            hint="make room on the disk, and give the gateway's user access to its folder",
        ) from error
