"""Replacing a whole identity in one step, while its files keep their paths.

    DIR/key.pem -> current/key.pem          and so on for every file: the paths that programs are given
    DIR/current -> generations/3            replaced by rename(2): the one step that changes key and certificate together
    DIR/generations/3/key.pem               never changed after that
    DIR/generations/2/                      the identity before; removed when every program has the new one

A folder by `doorward enroll` has plain files. `adopt` makes them the first generation and puts links in their place; a
link and the file that it replaces have the same content, so key and certificate match after each step of it. The same
is done if another program has put plain files over the links: what is at the known paths counts.

`replace` writes the next generation beside the old one, syncs it, and renames `current`. If the disk is full or the
process is killed, the old generation is in use, whole. Each file gets the owner, group, mode and POSIX ACL of the file
that it replaces, and is never readable by more users on the way.

Mount or copy the folder, not single files: a container that mounts `key.pem` alone keeps the old file for ever.
Not here: what is written (`renewal`), and the first files (`store`).
Standard: POSIX symlink(2), rename(2), fsync(2).
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from doorward.agent.credential import Credential, encode_public, parse_key, read_chain, read_roots
from doorward.agent.store import (
    CERTIFICATE,
    CHAIN,
    CURRENT,
    GENERATIONS,
    KEY,
    MAX_FILE_BYTES,
    ROOT,
    is_secret,
)
from doorward.core.errors import ConfigurationError, Fault, IntegrityError, RequestRefused
from doorward.core.ports import PrivateKey
from doorward.files import create_file, read_limited, sync_folder

PLAIN = (KEY, CERTIFICATE, CHAIN, ROOT)
_SECRET, _OPEN = 0o600, 0o644
_ACL = "system.posix_acl_access"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The key and certificate that a folder holds; they match."""

    key: PrivateKey = field(repr=False)
    credential: Credential

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.credential.certificate.public_bytes(Encoding.DER)


class IdentityGenerations:
    """The folder of an identity that is renewed. Its methods are called under `locking.turn`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._current = directory / CURRENT
        self._generations = directory / GENERATIONS

    def load(self) -> Identity:
        """Return what is at the known paths now.

        Raises:
            RequestRefused: `identity-missing`. IntegrityError: `pair-mismatched`, `identity-damaged`.
            ConfigurationError: `folder-unusable`.
        """
        try:
            data = {name: read_limited(self.directory / name, MAX_FILE_BYTES) for name in PLAIN}
        except FileNotFoundError as error:
            raise RequestRefused(
                "identity-missing",
                f"{self.directory} holds no identity: {Path(error.filename).name} is missing",
                hint="get one with a one-time link: doorward enroll LINK --out DIR",
            ) from None
        except (OSError, ValueError) as error:
            raise unusable(self.directory, error) from None
        key = parse_key(data[KEY])
        leaf, *issuers = read_chain(data[CHAIN])
        shown = read_chain(data[CERTIFICATE])[0]
        if encode_public(shown.public_key()) != encode_public(key.public_key()) or shown != leaf:
            raise IntegrityError(
                "pair-mismatched",
                f"key and certificate in {self.directory} do not belong together",
                hint="another program may have replaced one of them; enrol again with --force",
            )
        credential = Credential(certificate=leaf, issuers=tuple(issuers), roots=read_roots(data[ROOT]))
        return Identity(key=key, credential=credential)

    def names(self) -> list[str]:
        """Return the names of the files of the identity, sorted; `.p12` files belong to it."""
        return sorted({*PLAIN, *(path.name for path in self.directory.glob("*.p12"))})

    def adopt(self) -> None:
        """Make the files at the known paths a generation, with links in their place, if they are not.

        Raises:
            ConfigurationError: `folder-unusable`, `links-unsupported`.
        """
        try:
            self._adopt()
        except (OSError, ValueError) as error:
            raise unusable(self.directory, error) from None

    def _adopt(self) -> None:
        plain = [name for name in self.names() if not self._is_ours(name)]
        whole = {
            name: read_limited(self.directory / name, MAX_FILE_BYTES)
            for name in self.names()
            if (self.directory / name).exists()
        }
        if plain:
            self._switch(self._write(whole))
            for name in plain:
                self._link(self.directory / name, f"{CURRENT}/{name}")
        self._complete()

    def _complete(self) -> None:
        """Make the links agree with the generation in use; a run that was killed may have left one out."""
        there = {path.name for path in self._current.iterdir()}
        for name in there:
            if not os.path.lexists(self.directory / name):
                self._link(self.directory / name, f"{CURRENT}/{name}")
        for name in self.names():
            if name not in there:
                (self.directory / name).unlink(missing_ok=True)
        sync_folder(self.directory)

    def _is_ours(self, name: str) -> bool:
        path = self.directory / name
        return path.is_symlink() and path.readlink().as_posix() == f"{CURRENT}/{name}"

    def replace(self, files: Mapping[str, bytes]) -> None:
        """Put a whole identity in place of the old one, in one step.

        A file of the old identity that is not in `files` goes: it would hold the old key or certificate.

        Args:
            files: content by name.

        Raises:
            ConfigurationError: `folder-unusable`, `links-unsupported`, `owner-not-kept`; the old identity is in use.
        """
        try:
            self._adopt()
            self._switch(self._write(files))
            self._complete()
        except OSError as error:
            raise unusable(self.directory, error) from None

    def forget_old(self) -> None:
        """Remove every generation except the one in use, with its private key."""
        if not self._current.is_symlink():
            return
        used = self._current.readlink().name
        for path in list(self._generations.iterdir()):
            if path.name != used:
                shutil.rmtree(path, ignore_errors=True)

    def _write(self, files: Mapping[str, bytes]) -> Path:
        """Write the next generation, whole and synced; return its folder."""
        like = self.directory.stat()
        if not self._generations.exists():
            self._generations.mkdir(mode=0o700)
            _take_access(self._generations, like)
        numbers = [int(path.name) for path in self._generations.iterdir() if path.name.isdigit()]
        final = self._generations / str(max(numbers, default=0) + 1)
        begun = self._generations / f".{final.name}"
        shutil.rmtree(begun, ignore_errors=True)  # left by a run that was killed
        begun.mkdir(mode=0o700)
        try:
            for name, data in files.items():
                create_file(begun / name, data, mode=_SECRET)
                self._keep_access(name, begun / name)
            _take_access(begun, like)
            sync_folder(begun)
            begun.rename(final)
        except BaseException:
            shutil.rmtree(begun, ignore_errors=True)
            raise
        sync_folder(self._generations)
        return final

    def _keep_access(self, name: str, path: Path) -> None:
        """Give a new file the owner, group, mode and ACL of the file that it replaces."""
        old = self.directory / name
        try:
            status = old.stat()
        except FileNotFoundError:
            path.chmod(_SECRET if is_secret(name) else _OPEN)
            return
        _take_access(path, status)
        if hasattr(os, "getxattr"):
            with suppress(OSError):  # no ACL, or a file system without them
                os.setxattr(path, _ACL, os.getxattr(old, _ACL))

    def _switch(self, generation: Path) -> None:
        """The one step: from here on the paths lead to the new generation."""
        self._link(self._current, f"{GENERATIONS}/{generation.name}")
        sync_folder(self.directory)

    def _link(self, path: Path, target: str) -> None:
        """Put a link at a path in one step, in place of what is there."""
        beside = path.with_name(f".{path.name.lstrip('.')}.link")
        beside.unlink(missing_ok=True)
        try:
            beside.symlink_to(target)
        except (NotImplementedError, OSError) as error:
            raise ConfigurationError(
                [
                    Fault(
                        code="links-unsupported",
                        message=f"no symbolic link can be made in {self.directory}: {error}",
                        hint="use a file system with symbolic links; on Windows run the agent as SYSTEM, or switch the "
                        "developer mode on",
                    )
                ]
            ) from None
        beside.replace(path)


def unusable(folder: Path, error: Exception) -> ConfigurationError:
    """Return the error for a folder in which the agent cannot work; nothing in use was changed."""
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    hint = "the old certificate is still in place; check the free space and the owner of the folder"
    return ConfigurationError(
        [Fault(code="folder-unusable", message=f"{folder} cannot be used: {why}", hint=hint)]
    )


def _take_access(path: Path, like: os.stat_result) -> None:
    """Give a file owner, group and mode of another; the mode comes last, so that no wrong group can ever read it."""
    if os.name != "posix":  # Windows: a new file inherits the access list of its folder
        return
    now = path.stat()
    if (now.st_uid, now.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.chown(path, like.st_uid, like.st_gid)
        except PermissionError:
            raise ConfigurationError(
                [
                    Fault(
                        code="owner-not-kept",
                        message=f"{path.name} cannot get the owner {like.st_uid}:{like.st_gid} that it had",
                        hint="run the agent as root, or as the owner of the files and a member of their group",
                    )
                ]
            ) from None
    path.chmod(stat.S_IMODE(like.st_mode))
