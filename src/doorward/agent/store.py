"""Where an identity lies on its holder's machine, and how it gets there without ever being half there.

    DIR/key.pem          the private key, mode 0600
    DIR/certificate.pem  the certificate
    DIR/chain.pem        certificate and issuer, as servers and programs want them
    DIR/root.pem         the root that the link pinned
    DIR/NAME.p12         all of it for browsers and operating systems, mode 0600

The steps, each safe to be cut off after:
1. `DIR/.enrolling/key.pem` is created, exclusively, before anything is asked of anybody;
2. what comes back is written beside it;
3. when all is there, `.enrolling` is renamed `.installing`, in one step;
4. files that were in DIR before go to `DIR/previous-N`, and the new ones come in.
A run that is repeated takes the key of step 1, the answer of step 2, or finishes step 4.

Nothing is ever overwritten or deleted. Not here: what is in the files (client, credential, pkcs12).
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
MAX_FILE_BYTES = 64 * 1024

_SECRET, _OPEN = 0o600, 0o644


class IdentityFolder:
    """The folder of one identity."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pending = directory / ".enrolling"
        self._ready = directory / ".installing"

    def begin(self, make_key: Callable[[], PrivateKey], *, force: bool = False) -> PrivateKey:
        """Return the key of a new identity: made and stored now, or stored by a run that was cut off.

        Args:
            make_key: called only where there is no such key.
            force: begin another identity although there is one; the old files are set aside in the end.

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
                    f"there is an identity in {self.directory} already",
                    hint="choose another folder with --out, or --force to set the old one aside",
                )
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._pending.mkdir(mode=0o700, exist_ok=True)
            return self._load_key(self._pending / KEY) or self._make_key(make_key)
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _make_key(self, make_key: Callable[[], PrivateKey]) -> PrivateKey:
        key = make_key()
        create_file(self._pending / KEY, _encode_key(key), mode=_SECRET)
        return key

    def received(self) -> dict[str, bytes]:
        """Return what an earlier run received for the pending key and could not install: root and chain."""
        found = {name: _read(self._pending / name) for name in (ROOT, CHAIN)}
        return {name: data for name, data in found.items() if data}

    def keep(self, name: str, data: bytes) -> None:
        """Keep one file for the pending identity; what an earlier run had kept is replaced.

        Raises:
            ConfigurationError: `folder-unusable`.
        """
        try:
            mode = _SECRET if name == KEY or name.endswith(".p12") else _OPEN
            replace_file(self._pending / name, data, mode=mode)
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def finish(self, files: Mapping[str, bytes]) -> Path | None:
        """Keep the last files and bring the whole identity into its folder.

        Returns:
            The folder into which older files went, or None where there were none.

        Raises:
            ConfigurationError: `folder-unusable`; running it again finishes the work.
        """
        for name, data in files.items():
            self.keep(name, data)
        try:
            self._pending.rename(self._ready)
            return self._install()
        except OSError as error:
            raise _unusable(self.directory, error) from None

    def _install(self) -> Path | None:
        """Step 4; `key.pem` comes last, because it is what says that an identity is here."""
        names = sorted((path.name for path in self._ready.iterdir()), key=lambda name: name == KEY)
        in_the_way = [self.directory / name for name in names if (self.directory / name).exists()]
        # A whole set is set aside: a new key beside an old certificate would be two halves.
        if names and KEY in names and (self.directory / KEY).exists():
            known = map(self.directory.joinpath, (KEY, CERTIFICATE, CHAIN, ROOT))
            # The `.p12` file of another name holds the old key and certificate too.
            in_the_way += [path for path in (*known, *sorted(self.directory.glob("*.p12"))) if path.exists()]
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

    def _load_key(self, path: Path) -> PrivateKey | None:
        """Return the key of an earlier run; one that others could have read or planted is not used."""
        data = _read(path)
        if data is None:
            return None
        status = path.lstat()
        if os.name == "posix" and (status.st_mode & 0o077 or status.st_uid != os.geteuid()):
            hint = f"remove {path.parent} and begin anew"
            raise IntegrityError("key-exposed", "others may have read the key of an earlier run", hint=hint)
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey):
            hint = f"remove {path.parent} and begin anew"
            raise IntegrityError("key-damaged", "the key of an earlier run cannot be read", hint=hint)
        return key


def _encode_key(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes | None:
    """Return a plain file's bytes, at most 64 KiB; None for no file. A symbolic link is refused."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a plain file")
        return file.read(MAX_FILE_BYTES)


def _unusable(folder: Path, error: OSError) -> ConfigurationError:
    why = error.strerror or str(error)
    hint = "choose a folder of your own with --out; then run the same command again"
    return ConfigurationError(
        [Fault(code="folder-unusable", message=f"{folder} cannot be used: {why}", hint=hint)]
    )
