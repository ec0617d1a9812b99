"""The folder that Envoy watches: files replaced as a whole, read back, removed.

Not here: what is in them (enforcement) and whether Envoy took them (publisher). Envoy reacts to
renames; a file written in place would be read half, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.resources import ResourceFile
from doorward.gateway.ballast import BALLAST


class XdsFolder:
    """One watched folder, closed to others: its files say where the keys are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, files: Iterable[ResourceFile]) -> None:
        """Replace each file; a reader sees the old one or the new one.

        Raises:
            Unavailable: `xds-not-written`.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in files:
            write_whole(self.path / one.name, one.content)

    def holds(self, file: ResourceFile) -> bool:
        """Return whether the file is there, byte for byte."""
        try:
            return (self.path / file.name).read_bytes() == file.content
        except OSError:
            return False

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; one that cannot be removed is only litter, since nothing names it."""
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
    """Replace a file that Envoy reads, mode 0600; its folder is made where it is missing.

    Not durably: every run of Envoy has a folder of its own, and none outlives the machine.

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
            hint="see that the disk has room and the gateway's folder is writable",
        ) from error
