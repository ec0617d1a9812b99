"""The files and folders of the data directory, and their permissions.

    DATA/doorward.toml     settings of this installation
    DATA/log.key           the verifier key of the evidence; public
    DATA/keys/             the encrypted key store; its passphrase is elsewhere
    DATA/db/               the database
    DATA/founded           the mark of the founding: an authority is founded only once
    DATA/founding.json     before the founding only: the request to a root elsewhere
    DATA/*.lock            which roles run
    DATA/children.json     the processes that `up` has started
    DATA/run/              sockets
    DATA/gateway/keys/     the gateway's own TLS and assertion keys
    DATA/gateway/authorizer/   the socket on which Envoy asks about connections
    DATA/gateway/discovery/    the socket on which Envoy gets its configuration
    DATA/gateway/envoy/    a folder for each run of Envoy: its bootstrap, admin socket, messages
    DATA/gateway/log/      Envoy's access log, until it is in the record
    DATA/gateway/connections.journal   the live connections, for the next gateway

If root starts them, the running parts become an ordinary user (`runtime.privileges`), who owns all folders. `serve`
unlocks the key store first; the passphrase file stays root's own. A backup needs nothing of `run` and `gateway`: each start
makes them if they are missing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from doorward.core.errors import ConfigurationError, Fault, Unavailable
from doorward.core.sockets import LONGEST_SOCKET_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERS = 0o077
_OTHERS_WRITE = 0o022
_LOCK_PAUSES = (0.01, 0.05, 0.1, 0.2)  # seconds
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


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
        """The mark of the founding; written last, and never by the running parts."""
        return self.data / "founded"

    @property
    def founding(self) -> Path:
        """A founding that waits for a root elsewhere (`runtime.root_ceremony`); gone after the founding."""
        return self.data / "founding.json"

    @property
    def children(self) -> Path:
        """The processes that `up` has started (`runtime.children_record`); only the user of `up` can write it."""
        return self.data / "children.json"

    @property
    def log_key(self) -> Path:
        """The verifier key of the log: public, one line."""
        return self.data / "log.key"

    @property
    def run(self) -> Path:
        """Sockets."""
        return self.data / "run"

    @property
    def enrol_socket(self) -> Path:
        """The socket of `serve` for requests to the enrolment host."""
        return self.run / "enrol.sock"

    @property
    def est_socket(self) -> Path:
        """The socket of `serve` for requests to the EST host."""
        return self.run / "est.sock"

    @property
    def portal_socket(self) -> Path:
        """The socket of `serve` for requests to the portal's host."""
        return self.run / "portal.sock"

    @property
    def sessions_socket(self) -> Path:
        """The socket of `serve` for the door's own paths on the hosts of applications: sessions, and pages of refusals."""
        return self.run / "sessions.sock"

    @property
    def authorizer_socket(self) -> Path:
        """The socket on which the gateway answers Envoy."""
        return self.gateway / "authorizer" / "envoy.sock"

    @property
    def discovery_socket(self) -> Path:
        """The socket on which the gateway gives Envoy its configuration, private keys included."""
        return self.gateway / "discovery" / "envoy.sock"

    @property
    def incidents(self) -> Path:
        """Log entries of incidents, for `doorward explain`."""
        return self.run / "incidents.jsonl"

    @property
    def continuity(self) -> Path:
        """The number of the last change, as `runtime.continuity` saw it."""
        return self.run / "continuity.json"

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
            gateway / "envoy",
            gateway / "log",
        ]

    def create(self) -> None:
        """Make every folder; existing ones keep their content, and ours are closed to others.

        Raises:
            ConfigurationError: `data-path-too-long`, `data-unusable`; for root also `data-foreign` if the data
                directory or a folder in it is not root's. Its owner could make root follow a link, and replace files that
                only root may write.
        """
        self._check_length()
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self._check_own(self.data.stat())
            for folder in self.shared_folders():
                folder.mkdir(mode=0o700, exist_ok=True)
                if folder.is_symlink():
                    raise _fault("data-foreign", f"{folder} is a link", "put a folder in its place")
                if stat.S_IMODE(folder.stat().st_mode) & _OTHERS:
                    folder.chmod(0o700)
        except OSError as error:
            raise _unusable(error) from None

    def make_missing(self, owner: tuple[int, int] | None = None) -> None:
        """Make `run` and `gateway` if they are missing, as after a restore; everything else must come from a backup.

        An existing folder is left unchanged. Root makes each folder under a temporary name, changes its owner, and renames
        it last. So root only gives away folders that it made, and a crash leaves no incomplete folder under the final name.
        This needs a data directory in which no other user can rename files.

        Args:
            owner: for root, user and group of the running parts; None if this process is that user.

        Raises:
            ConfigurationError: `data-path-too-long`, `data-unusable`; for root also `data-foreign`
                if others can write into the data directory, and `data-unreachable`.
        """
        self._check_length()
        try:
            data = os.open(self.data, _FOLDER)
        except OSError as error:
            raise _unusable(error) from None
        try:
            fcntl.flock(data, fcntl.LOCK_EX)  # `serve` and `gateway` may start at the same time
            missing = [one.name for one in (self.run, self.gateway) if not _is_there(one.name, data)]
            if missing and owner is not None:
                self._check_own(os.fstat(data))
                self._check_reachable(*owner, self.data, *self.data.absolute().parents)
            for name in missing:
                _make_folder(name, data, owner)
        except OSError as error:
            raise _unusable(error) from None
        finally:
            os.close(data)

    def _check_length(self) -> None:
        longest = self.gateway / "envoy" / "000000" / "admin.sock"
        if len(os.fsencode(longest.absolute())) > LONGEST_SOCKET_PATH:
            raise _fault(
                "data-path-too-long",
                f"the data directory's path leaves no room for sockets: {self.data}",
                "choose a shorter path with --data or DOORWARD_DATA (at most about 75 characters)",
            )

    def _check_own(self, facts: os.stat_result) -> None:
        if facts.st_uid != 0 or facts.st_mode & _OTHERS_WRITE:
            raise _fault(
                "data-foreign",
                f"{self.data} belongs to another user or is writable by others, and root must make folders in it",
                f"find out why; then: chown root {self.data} and chmod 711 {self.data}",
            )

    def _check_reachable(self, uid: int, gid: int, *folders: Path) -> None:
        for folder in folders:
            if not _may_pass(folder.stat(), uid, gid):
                raise _fault(
                    "data-unreachable",
                    f"user {uid} of the running parts may not enter {folder}",
                    f"choose another place with --data, or let others pass: chmod o+x {folder}",
                )

    def hand_over(self, uid: int, gid: int) -> None:
        """Give the shared folders, and what is in them, to the ordinary user; needs root.

        The data directory itself stays root's and becomes passable (0711), not readable.

        Raises:
            ConfigurationError: `data-unreachable` if that user may not enter a folder above it.
        """
        self._check_reachable(uid, gid, *self.data.absolute().parents)
        self.data.chmod(0o711)
        for folder in self.shared_folders():
            with self._opened(folder) as descriptor:
                os.fchown(descriptor, uid, gid)
                for name in os.listdir(descriptor):  # noqa: PTH208  by descriptor: a path could be exchanged
                    os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)

    def check_owner(self, uid: int) -> None:
        """Check that that user owns every shared folder; root calls this before it uses any of them.

        After the first start root changes nothing in these folders: their owner could replace one by a link, and root
        would then change the owner or mode of another file. Folders within `gateway` may be missing: that user makes them.

        Raises:
            ConfigurationError: `data-foreign`, `data-missing`, naming the folder.
        """
        for folder in self.shared_folders():
            try:
                with self._opened(folder) as descriptor:
                    good = os.fstat(descriptor).st_uid == uid
            except FileNotFoundError:
                if folder.parent == self.gateway:
                    continue
                raise _fault(
                    "data-missing", f"{folder} is not there", "restore it from your backup"
                ) from None
            except OSError:
                good = False
            if not good:
                raise _fault(
                    "data-foreign",
                    f"{folder} does not belong to user {uid}, which runs the parts",
                    "find out why; if only the setting `user` changed, chown these folders to that user",
                )

    @contextmanager
    def _opened(self, folder: Path) -> Iterator[int]:
        """Open a shared folder component by component below the data directory, following no link."""
        descriptor = os.open(self.data, _FOLDER)
        try:
            for part in folder.relative_to(self.data).parts:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)


def _is_there(name: str, data: int) -> bool:
    try:
        os.lstat(name, dir_fd=data)
    except FileNotFoundError:
        return False
    return True


def _make_folder(name: str, data: int, owner: tuple[int, int] | None) -> None:
    aside = f".{name}.new"
    with suppress(FileNotFoundError):
        os.rmdir(aside, dir_fd=data)  # left by a crash
    os.mkdir(aside, 0o700, dir_fd=data)
    made = os.open(aside, _FOLDER | os.O_NOFOLLOW, dir_fd=data)
    try:
        if owner is not None:
            os.fchown(made, *owner)
        os.fchmod(made, 0o700)
    finally:
        os.close(made)
    os.rename(aside, name, src_dir_fd=data, dst_dir_fd=data)


def _fault(code: str, message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Fault(code=code, message=message, hint=hint, key="data")])


def _unusable(error: OSError) -> ConfigurationError:
    return _fault(
        "data-unusable",
        f"{error.filename} cannot be used: {error.strerror}",
        "name a directory of your own with --data or DOORWARD_DATA",
    )


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
            hint="start as the user that made this installation, or name another directory with --data",
        ) from None
    try:
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = _holder(descriptor) or "unknown"
            raise Unavailable(
                "already-running",
                f"`doorward {role}` is already running on {layout.data} (process {holder})",
                hint="stop that process, or name another directory with --data or DOORWARD_DATA",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
        os.ftruncate(descriptor, 0)  # a normal end: see `find_lost`
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock, and try for a moment: `doorward status` holds it shared while it looks at it (`_look_at_lock`)."""
    for pause in _LOCK_PAUSES:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def find_lost(layout: Layout, role: str) -> int:
    """Return the process of a role that was killed, as by SIGKILL; 0 if it runs or ended normally."""
    text, since = _look_at_lock(layout, role)
    return int(text) if text.isdecimal() and since is None else 0


def is_running(layout: Layout, role: str) -> bool:
    """Return whether a process holds the lock of a role (`only_one`); False if this user may not read it."""
    return running_since(layout, role) is not None


def running_since(layout: Layout, role: str) -> datetime | None:
    """Return since when (UTC) a process holds the lock of a role; None if it does not run, or this user may not read it."""
    return _look_at_lock(layout, role)[1]


def _look_at_lock(layout: Layout, role: str) -> tuple[str, datetime | None]:
    """Return what the lock of a role says, and since when a process holds it; an empty text if it cannot be read."""
    try:
        descriptor = os.open(layout.data / f"{role}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return "", None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            since = None
        except BlockingIOError:
            since = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
        return _holder(descriptor), since
    except OSError:
        return "", None
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()


def _may_pass(facts: os.stat_result, uid: int, gid: int) -> bool:
    if facts.st_uid == uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)
