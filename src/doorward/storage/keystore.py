"""The key store: one encrypted file for each private key, under one passphrase (`core.ports.KeyStore`).

Not here: reading the passphrase (`passphrase`), keys in hardware. Only `runtime.compose` may import this module;
the rest of the program uses the Protocol.

    DIR/keystore.json   version, store id, scrypt's parameters and salt, and a verifier of the passphrase
    DIR/NAME.key        magic line, nonce, AES-256-GCM of the PKCS#8 DER

    scrypt(passphrase, salt) -> 64 bytes = encryption key || check key
    verifier = HMAC-SHA-256(check key, header without the verifier)
    associated data of a key = magic, store id, name: a renamed file, or a file of another store, does not open

This stops an attacker who reads a backup, a stolen disk or another account's files. It does not stop an attacker who
is this user or root while the program runs.
Standard: RFC 7914 (scrypt), NIST SP 800-38D (GCM), RFC 5958 (PKCS#8).
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from doorward.core.errors import IntegrityError, NotFound, RequestRefused, Unavailable
from doorward.core.passphrase import check_passphrase
from doorward.core.ports import PrivateKey
from doorward.files import read_limited, replace_file, sync_folder

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
"""OWASP's recommendation for scrypt (2023): each guess needs 128 MB and a third of a second."""
SALT_BYTES = 16
NONCE_BYTES = 12
KEY_BYTES = 32
MAX_NAME = 80
MAX_FILE = 64 * 1024
"""The file of an RSA key of 16,384 bits is below 10 KB, so a larger file is not ours."""

HEADER = "keystore.json"
SUFFIX = ".key"
_VERSION = 1
_MAGIC = b"doorward-key-v1\n"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*", re.ASCII)
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)


class FileKeyStore:
    """An open key store. Made by `open`; safe to share between threads and processes."""

    def __init__(self, folder: Path, store_id: str, key: bytes) -> None:
        self._folder = folder
        self._store_id = store_id
        self._cipher = AESGCM(key)
        self._opened: dict[str, tuple[bytes, PrivateKey]] = {}

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Return whether there is a key store in this directory.

        Raises:
            Unavailable: `keystore-unreadable`: this user may not read the directory.
        """
        try:
            return (folder / HEADER).exists()
        except OSError as error:
            raise _unreadable(folder, error) from error

    @classmethod
    def create(cls, folder: Path, passphrase: bytes) -> FileKeyStore:
        """Make an empty key store that no other user can read; return it, open.

        Args:
            folder: made if it is missing, mode 0700.
            passphrase: at least `core.passphrase.MIN_BYTES` bytes.

        Raises:
            RequestRefused: `keystore-exists`, `passphrase-short`, `keystore-open-to-others`.
        """
        check_passphrase(passphrase)
        header = {
            "version": _VERSION,
            "store": os.urandom(SALT_BYTES).hex(),
            "kdf": {"name": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P},
            "salt": os.urandom(SALT_BYTES).hex(),
        }
        key, check = _derive(passphrase, bytes.fromhex(str(header["salt"])))
        header["verifier"] = _verifier(header, check)
        with _locked(folder):
            _check_closed(folder)
            if cls.exists(folder):  # another header would make every key unreadable
                raise RequestRefused(
                    "keystore-exists",
                    f"there is a key store in {folder} already",
                    hint="use another data directory, or keep the present installation",
                )
            replace_file(folder / HEADER, json.dumps(header, indent=2).encode() + b"\n")
        return cls(folder, str(header["store"]), key)

    @classmethod
    def open(cls, folder: Path, passphrase: bytes) -> FileKeyStore:
        """Open a key store; scrypt takes a third of a second and 128 MB on purpose.

        Raises:
            NotFound: `keystore-missing`.
            RequestRefused: `passphrase-wrong`, `keystore-open-to-others`.
            IntegrityError: `keystore-damaged`: the header is not one of this program.
            Unavailable: `keystore-unreadable`.
        """
        header = _parse_header(
            _read(
                folder / HEADER,
                NotFound(
                    "keystore-missing",
                    f"there is no key store in {folder}",
                    hint="restore `keys/` from your backup",
                ),
            )
        )
        _check_closed(folder)
        key, check = _derive(passphrase, bytes.fromhex(header["salt"]))
        if not hmac.compare_digest(_verifier(header, check), header["verifier"]):
            raise RequestRefused(
                "passphrase-wrong",
                "the passphrase does not open the key store",
                hint="name the passphrase file of this data directory; the file doorward.toml in it has the path as passphrase_file",
            )
        return cls(folder, header["store"], key)

    def load(self, name: str) -> PrivateKey:
        """Return the key.

        Raises:
            NotFound: `key-unknown`.
            IntegrityError: `key-damaged`, naming the file.
            RequestRefused: `key-name-invalid`.
        """
        path = self._path(name)
        try:
            data = _read(path, _unknown(name))
        except NotFound:
            self._opened.pop(name, None)
            raise
        opened = self._opened.get(name)
        if opened is not None and opened[0] == data:
            return opened[1]  # the file has not changed since it was decrypted and parsed
        magic, rest = data[: len(_MAGIC)], data[len(_MAGIC) :]
        if magic != _MAGIC:
            raise _damaged("key-damaged", path)
        nonce, sealed = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
        try:
            key = load_der_private_key(self._cipher.decrypt(nonce, sealed, self._label(name)), None)
        except (InvalidTag, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _damaged("key-damaged", path) from error
        if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey):
            raise _damaged("key-damaged", path)
        self._opened[name] = (data, key)
        return key

    def store(self, name: str, key: PrivateKey) -> None:
        """Store a key durably: when this returns, the file and its directory entry are on disk.

        Raises:
            RequestRefused: `key-exists`, `key-name-invalid`.
            Unavailable: `keystore-unwritable`: nothing was stored.
        """
        path = self._path(name)
        plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        # From the system, not from `RandomSource`: a repeated nonce would reveal the keys.
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, plain, self._label(name))
        with _locked(self._folder):
            if path.exists():
                raise RequestRefused("key-exists", f"there is a key named {name} already")
            replace_file(path, _MAGIC + nonce + sealed)

    def remove(self, name: str) -> None:
        """Delete a key; copies of its file, for example in backups, remain.

        Raises:
            NotFound: `key-unknown`.
            RequestRefused: `key-name-invalid`.
        """
        path = self._path(name)
        self._opened.pop(name, None)
        with _locked(self._folder):
            try:
                path.unlink()
            except FileNotFoundError:
                raise _unknown(name) from None
            sync_folder(self._folder)

    def names(self) -> list[str]:
        """Return the names of all keys, sorted; a key that is gone is also forgotten in this process."""
        stems = [path.name.removesuffix(SUFFIX) for path in self._folder.glob(f"*{SUFFIX}")]
        names = sorted(name for name in stems if _NAME.fullmatch(name))
        for gone in [one for one in tuple(self._opened) if one not in names]:
            # Another process has destroyed it. OpenSSL overwrites a private key when the last reference to it is dropped.
            self._opened.pop(gone, None)
        return names

    def _path(self, name: str) -> Path:
        # The closed alphabet keeps `../` and `/` out of the file name.
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise RequestRefused(
                "key-name-invalid", f"a key's name must be [a-z0-9-], at most {MAX_NAME} characters"
            )
        return self._folder / f"{name}{SUFFIX}"

    def _label(self, name: str) -> bytes:
        return b"\x00".join([_MAGIC, self._store_id.encode(), name.encode()])


def _derive(passphrase: bytes, salt: bytes) -> tuple[bytes, bytes]:
    kdf = Scrypt(salt=salt, length=2 * KEY_BYTES, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    keys = kdf.derive(passphrase)
    return keys[:KEY_BYTES], keys[KEY_BYTES:]


def _verifier(header: dict[str, Any], check: bytes) -> str:
    covered = {name: value for name, value in header.items() if name != "verifier"}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hmac.new(check, text.encode(), hashlib.sha256).hexdigest()


def _parse_header(data: bytes) -> dict[str, Any]:
    # Version 1 has exactly these parameters: a header with weaker ones is an attack.
    try:
        header = json.loads(data)
        expected = {"name": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P}
        fits = (
            header.keys() == {"version", "store", "kdf", "salt", "verifier"}
            and header["version"] == _VERSION
            and header["kdf"] == expected
            and all(_HEX.fullmatch(header[name]) for name in ("store", "salt", "verifier"))
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged("keystore-damaged", Path(HEADER)) from error
    if not fits:
        raise _damaged("keystore-damaged", Path(HEADER))
    checked: dict[str, Any] = header
    return checked


def _read(path: Path, missing: NotFound) -> bytes:
    try:
        return read_limited(path, MAX_FILE)
    except FileNotFoundError:
        raise missing from None
    except ValueError as error:  # larger than the limit
        raise _damaged("key-damaged", path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_closed(folder: Path) -> None:
    if folder.stat().st_mode & 0o077:
        raise RequestRefused(
            "keystore-open-to-others",
            f"other users may read the directory of the key store {folder}",
            hint=f"run: chmod 700 {folder}",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the directory's lock, so that two processes do not write one name at the same time."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unavailable(
            "keystore-unwritable",
            f"the key store cannot be written: {error.strerror}",
            hint="check that the disk has free space, and that the directory belongs to this user",
        ) from error


def _unreadable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        "keystore-unreadable",
        f"{path.name} of the key store cannot be read: {error.strerror}",
        hint="run the command as the user who ran `doorward init`: the key store belongs to that user",
    )


def _damaged(code: str, path: Path) -> IntegrityError:
    return IntegrityError(
        code,
        f"the file {path.name} of the key store was altered or is damaged",
        hint="restore this file from the last backup",
        file=path.name,
    )


def _unknown(name: str) -> NotFound:
    return NotFound(
        "key-unknown",
        f"there is no key named {name}",
        hint="a key file is missing in the folder of the keys: restore it with the database from one backup "
        "(docs/how-to/back-up.md)",
    )
