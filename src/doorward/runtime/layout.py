"""Where everything lies below the data directory, and who may enter.

    DATA/doorward.toml     settings of this installation
    DATA/log.key           the verifier key of the evidence; public
    DATA/keys/             the encrypted key store; its passphrase lies elsewhere
    DATA/db/               the database
    DATA/founded           an authority was founded here; it is never founded twice
    DATA/*.lock            which roles run
    DATA/run/              sockets, bells
    DATA/gateway/keys/     the gateway's own TLS and assertion keys
    DATA/gateway/envoy/    a folder for each run of Envoy: admin socket, logs

Started by root, the running parts become an ordinary user (`runtime.privileges`), who owns all
folders; `serve` unlocks the key store first, and the passphrase file stays root's own.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from doorward.core.errors import ConfigurationError, Fault, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_SOCKET_PATH = 107
"""sun_path of unix(7) without its final zero byte."""

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data directory."""

    data: Path

    @property
    def settings_file(self) -> Path:
        """Settings of this installation."""
        return self.data / "doorward.toml"

    @property
    def keys(self) -> Path:
        """The encrypted key store."""
        return self.data / "keys"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "db" / "doorward.db"

    @property
    def founded(self) -> Path:
        """Says that an authority was founded here; written last, and never by the running parts."""
        return self.data / "founded"

    @property
    def log_key(self) -> Path:
        """The verifier key of the log: public, one line."""
        return self.data / "log.key"

    @property
    def run(self) -> Path:
        """Sockets and bells."""
        return self.data / "run"

    @property
    def enrol_socket(self) -> Path:
        """Where `serve` answers what the gateway passes on from the enrolment host."""
        return self.run / "enrol.sock"

    @property
    def authorizer_socket(self) -> Path:
        """Where the gateway answers Envoy."""
        return self.run / "authz.sock"

    @property
    def gateway(self) -> Path:
        """The gateway's own folder."""
        return self.data / "gateway"

    def shared_folders(self) -> list[Path]:
        """Return the folders that the ordinary user of the running parts owns, parents first."""
        gateway = self.gateway
        return [
            self.keys,
            self.database.parent,
            self.run,
            gateway,
            gateway / "keys",
            gateway / "xds",
            gateway / "envoy",
        ]

    def create(self) -> None:
        """Make every folder; existing ones keep their content, and ours are closed to others.

        Raises:
            ConfigurationError: `data-path-too-long`, `data-unusable`.
        """
        longest = self.gateway / "envoy" / "000000" / "admin.sock"
        if len(os.fsencode(longest.absolute())) > LONGEST_SOCKET_PATH:
            raise _fault(
                "data-path-too-long",
                f"the data directory's path leaves no room for sockets: {self.data}",
                "choose a shorter path with --data or DOORWARD_DATA (at most about 75 characters)",
            )
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in self.shared_folders():
                folder.mkdir(mode=0o700, exist_ok=True)
                if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
                    folder.chmod(0o700)
        except OSError as error:
            raise _fault(
                "data-unusable",
                f"{error.filename} cannot be used: {error.strerror}",
                "name a directory of your own with --data or DOORWARD_DATA",
            ) from None

    def hand_over(self, uid: int, gid: int) -> None:
        """Give the shared folders, and what is in them, to the ordinary user; needs root.

        The data directory itself stays root's and becomes passable (0711), not readable.

        Raises:
            ConfigurationError: `data-unreachable` where that user may not pass a folder above it.
        """
        for folder in self.data.absolute().parents:
            facts = folder.stat()
            if not _may_pass(facts, uid, gid):
                raise ConfigurationError(
                    [
                        Fault(
                            code="data-unreachable",
                            message=f"user {uid} of the running parts may not enter {folder}",
                            hint=f"choose another place with --data, or let others pass: chmod o+x {folder}",
                            key="data",
                        )
                    ]
                )
        self.data.chmod(0o711)
        for folder in self.shared_folders():
            with self._opened(folder) as descriptor:
                os.fchown(descriptor, uid, gid)
                for name in os.listdir(descriptor):  # noqa: PTH208  by descriptor: a path could be exchanged
                    os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)

    def check_owner(self, uid: int) -> None:
        """Return where every shared folder is a folder of that user; for root, before it relies on any.

        After the first start root changes nothing in here any more: the user who owns these folders
        may put links in their place, and whatever root then gave away or closed would be elsewhere.

        Raises:
            ConfigurationError: `data-foreign`, naming the folder.
        """
        for folder in self.shared_folders():
            try:
                with self._opened(folder) as descriptor:
                    good = os.fstat(descriptor).st_uid == uid
            except OSError:
                good = False
            if not good:
                raise _fault(
                    "data-foreign",
                    f"{folder} is not a folder of user {uid}, who runs the parts",
                    "see how it came so; if only the setting `user` changed, chown these folders to that user",
                )

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[int]:
        """Open a shared folder component by component below the data directory, following no link."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in folder.relative_to(self.data).parts:
                inner = os.open(part, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _fault(code: str, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Fault(code=code, message=message, hint=hint, key="data")])


@contextmanager
def only_one(layout: Layout, role: str) -> Iterator[None]:
    """Hold the lock of a role for as long as the block runs.

    Raises:
        Unavailable: `already-running`, naming the process that holds it; `lock-unusable`.
    """
    path = layout.data / f"{role}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Unavailable(
            "lock-unusable",
            f"{path} cannot be opened: {error.strerror}",
            hint="start as the user who made this installation, or name another directory with --data",
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise Unavailable(
                "already-running",
                f"`doorward {role}` runs already on {layout.data} (process {holder})",
                hint="stop that process, or name another directory with --data or DOORWARD_DATA",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _may_pass(facts: os.stat_result, uid: int, gid: int) -> bool:
    if facts.st_uid == uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)
