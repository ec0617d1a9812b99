"""The folder of an identity on its holder's machine, and how files are put there all or none.

    DIR/key.pem          the private key, mode 0600
    DIR/certificate.pem  the certificate
    DIR/chain.pem        certificate and issuer, for servers and programs
    DIR/root.pem         the root that the link pins
    DIR/NAME.p12         all of it for browsers and operating systems, mode 0600
    DIR/server           the address of the enrolment host, for renewals

The steps; a run may be interrupted after each of them:
1. `DIR/.enrolling/key.pem` is created, exclusively, before any request is sent;
2. the answer is written beside it;
3. when all files are there, `.enrolling` is renamed to `.installing`, in one step;
4. files that were in DIR before are moved to `DIR/previous-N`, and the new ones are moved to DIR.
The next run takes the key of step 1 and the answer of step 2, or finishes step 4.

No file is ever overwritten or deleted. Not here: the content of the files (`client`, `credential`, `pkcs12`), and the
files after a renewal (`generations`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from doorward.core.errors import ConfigurationError, Fault, IntegrityError, RequestRefused
from doorward.core.ports import PrivateKey
from doorward.files import create_file, replace_file, sync_folder

KEY, CERTIFICATE, CHAIN, ROOT = "key.pem", "certificate.pem", "chain.pem", "root.pem"
SERVER = "server"
CURRENT, GENERATIONS = "current", "generations"
"""What the first renewal makes (`generations`): `key.pem` and the others are then links."""

MAX_FILE_BYTES = 64 * 1024

_SECRET, _OPEN = 0o600, 0o644


def is_secret(name: str) -> bool:
    """Return whether a file of an identity holds the private key."""
    return name == KEY or name.endswith(".p12")


class IdentityFolder:
    """The folder of one identity."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pending = directory / ".enrolling"
        self._ready = directory / ".installing"

    def begin(self, make_key: Callable[[], PrivateKey], *, force: bool = False) -> PrivateKey:
        """Return the key of a new identity: made and stored now, or stored by an interrupted run.

        Args:
            make_key: called only if there is no such key.
            force: make another identity although the folder has one; at the end the old files are moved aside.

        Raises:
            RequestRefused: `identity-exists`.
            IntegrityError: `key-exposed`, `key-damaged` for a key of an earlier run.
            ConfigurationError: `folder-unusable`.
        """
        try:
            if self._ready.exists():
                self._install()
            if (self.directory / KEY).exists() and not force:
                raise RequestRefused(
                    "identity-exists",
                    f"the folder {self.directory} already holds an identity",
                    hint="choose another folder with --out, or move the old identity aside with --force",
                )
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._pending.mkdir(mode=0o700, exist_ok=True)
            return load_pending_key(self._pending / KEY) or self._make_key(make_key)
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _make_key(self, make_key: Callable[[], PrivateKey]) -> PrivateKey:
        key = make_key()
        create_file(self._pending / KEY, encode_key(key), mode=_SECRET)
        return key

    def received(self) -> dict[str, bytes]:
        """Return the root and the chain that an earlier run received for the pending key but did not install."""
        found = {name: read_plain(self._pending / name) for name in (ROOT, CHAIN)}
        return {name: data for name, data in found.items() if data}

    def keep(self, name: str, data: bytes) -> None:
        """Store one file of the pending identity; a file of that name from an earlier run is replaced.

        Raises:
            ConfigurationError: `folder-unusable`.
        """
        try:
            mode = _SECRET if is_secret(name) else _OPEN
            replace_file(self._pending / name, data, mode=mode)
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def finish(self, files: Mapping[str, bytes]) -> Path | None:
        """Store the last files and move the whole identity to its folder.

        Returns:
            The folder to which older files were moved, or None if there were none.

        Raises:
            ConfigurationError: `folder-unusable`; the next run finishes the work.
        """
        for name, data in files.items():
            self.keep(name, data)
        try:
            self._pending.rename(self._ready)
            return self._install()
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _install(self) -> Path | None:
        """Do step 4. `key.pem` is moved last, because its presence means that the folder holds an identity."""
        names = sorted((path.name for path in self._ready.iterdir()), key=lambda name: name == KEY)
        in_the_way = [self.directory / name for name in names if os.path.lexists(self.directory / name)]
        # All old files are moved together: a new key must not lie beside an old certificate.
        if names and KEY in names and os.path.lexists(self.directory / KEY):
            known = map(
                self.directory.joinpath, (KEY, CERTIFICATE, CHAIN, ROOT, SERVER, CURRENT, GENERATIONS)
            )
            # A `.p12` file under another holder's name holds the old key and certificate too.
            paths = (*known, *sorted(self.directory.glob("*.p12")))
            in_the_way += [path for path in paths if os.path.lexists(path)]
        aside = self._set_aside(in_the_way)
        for name in names:
            (self._ready / name).rename(self.directory / name)
        sync_folder(self.directory)
        self._ready.rmdir()
        return aside

    def _set_aside(self, paths: list[Path]) -> Path | None:
        if not paths:
            return None
        number = 1
        while (folder := self.directory / f"previous-{number}").exists():
            number += 1
        folder.mkdir(mode=0o700)
        for path in dict.fromkeys(paths):
            path.rename(folder / path.name)
        return folder


def load_pending_key(path: Path) -> PrivateKey | None:
    """Return the key of an earlier run, None if there is none; refuse it if other users could read or write its file.

    Raises:
        IntegrityError: `key-exposed`, `key-damaged`.
    """
    data = read_plain(path)
    if data is None:
        return None
    status = path.lstat()
    if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
        hint = f"remove {path.parent}, then run the command again"
        raise IntegrityError("key-exposed", f"other users could read or replace {path}", hint=hint)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey):
        hint = f"remove {path.parent}, then run the command again"
        raise IntegrityError("key-damaged", f"{path}, the key of an earlier run, cannot be read", hint=hint)
    return key


def encode_key(key: PrivateKey) -> bytes:
    """Return a private key in PEM (PKCS#8), not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_plain(path: Path) -> bytes | None:
    """Return the first 64 KiB of a plain file; None if there is no file. A symbolic link is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path.name} is not a regular file")
        return file.read(MAX_FILE_BYTES)


def _unusable(folder: Path, error: OSError) -> ConfigurationError:
    why = error.strerror or str(error)
    hint = "choose a folder that belongs to you with --out, then run the command again"
    return ConfigurationError(
        [Fault(code="folder-unusable", message=f"{folder} cannot be used: {why}", hint=hint)]
    )
