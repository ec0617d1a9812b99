"""Certificate stores of browsers and systems, through the commands of those systems.

| store | commands |
| --- | --- |
| NSS (Firefox, Chromium on Linux) | `pk12util`, `certutil` of libnss3-tools |
| login keychain of macOS | `security` |
| the user's store of Windows | `certutil.exe` |

The new certificate and key are imported, then it is proved that they are there, and only then the old ones are removed, by
an identifier of exactly that certificate or key. So a browser is never without a certificate, and does not offer two. The
import goes through a PKCS#12 file with a random password in a folder that only this user can read; the file is removed
in any case.

The commands of macOS and Windows are tested with programs that take their place, not on those systems.
Standard: RFC 7292 (PKCS#12), RFC 7512 (PKCS#11 URI: `id` is the SHA-1 of the public key for NSS).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doorward.agent.generations import Identity
from doorward.agent.options import Finished
from doorward.agent.pkcs12 import Pkcs12Form, make_password, render_pkcs12
from doorward.core.errors import Unavailable
from doorward.files import create_file

if TYPE_CHECKING:
    from doorward.agent.deploying import Delivery

STORE_SECONDS = 60.0
_IMPORT = ".import-"


def render_old(identity: Identity) -> str:
    """Return how stores find a certificate that was replaced: the id of its key in NSS, and its SHA-1 (thumbprint)."""
    return f"{key_id(identity.credential.certificate)}:{thumbprint(identity.credential.certificate)}"


def key_id(certificate: x509.Certificate) -> str:
    """Return the CKA_ID by which NSS finds a key and its certificate: SHA-1 of the modulus, or of the public point."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        number = key.public_numbers().n
        value = number.to_bytes((number.bit_length() + 7) // 8)
    else:
        try:
            value = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        except (ValueError, TypeError, AttributeError):
            value = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha1(value, usedforsecurity=False).hexdigest()


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-1 of a certificate, by which macOS and Windows find it; only a name, no protection."""
    return certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - see above


@dataclass(frozen=True, slots=True)
class NssStore:
    """An NSS database: a profile of Firefox, or `~/.pki/nssdb`."""

    folder: Path
    is_store: bool = True

    @property
    def name(self) -> str:
        """What people read."""
        return f"NSS {self.folder}"

    def deliver(self, delivery: Delivery) -> None:
        """Import the new pair, prove it, remove the old ones."""
        certificate = delivery.identity.credential.certificate
        if not self._holds(delivery, certificate):
            with _bundle(delivery, Pkcs12Form.MODERN) as bundle:
                self._run(
                    delivery,
                    *("pk12util", "-i", str(bundle.file), "-w", str(bundle.password_file), "-K", ""),
                )
            if not self._holds(delivery, certificate):
                raise _failed(self.name, "the certificate was imported, and it is not there")
        for one in delivery.old:
            old = one.partition(":")[0]
            if old == key_id(certificate):
                continue
            if self._ask(delivery, "certutil", "-L", "-n", _uri(old)).status == 0:
                self._run(delivery, "certutil", "-D", "-n", _uri(old))
            if old in self._ask(delivery, "certutil", "-K").output:
                self._run(delivery, "certutil", "-F", "-k", old)

    def _holds(self, delivery: Delivery, certificate: x509.Certificate) -> bool:
        """Return whether the database has this certificate and its key."""
        mine = key_id(certificate)
        shown = self._ask(delivery, "certutil", "-L", "-n", _uri(mine), "-a")
        listed = self._ask(delivery, "certutil", "-K")
        pem = certificate.public_bytes(Encoding.PEM).decode("ascii")
        return "".join(pem.split()) in "".join(shown.output.split()) and mine in listed.output

    def _ask(self, delivery: Delivery, program: str, *arguments: str) -> Finished:
        return _ask(delivery, (program, "-d", f"sql:{self.folder}", *arguments))

    def _run(self, delivery: Delivery, program: str, *arguments: str) -> None:
        _run(delivery, self.name, (program, "-d", f"sql:{self.folder}", *arguments))


@dataclass(frozen=True, slots=True)
class Keychain:
    """The login keychain of macOS."""

    name: str = "macOS keychain"
    is_store: bool = True

    def deliver(self, delivery: Delivery) -> None:
        """Import the new pair, prove it, remove the old ones by their SHA-1."""
        mine = thumbprint(delivery.identity.credential.certificate)
        if not self._holds(delivery, mine):
            with _bundle(delivery, Pkcs12Form.LEGACY) as bundle:
                _run(
                    delivery,
                    self.name,
                    ("security", "import", str(bundle.file), "-f", "pkcs12", "-P", bundle.password),
                )
            if not self._holds(delivery, mine):
                raise _failed(self.name, "the certificate was imported, and it is not there")
        for one in delivery.old:
            old = one.partition(":")[2]
            if old != mine and self._holds(delivery, old):
                _run(delivery, self.name, ("security", "delete-identity", "-Z", old.upper()))

    @staticmethod
    def _holds(delivery: Delivery, wanted: str) -> bool:
        return wanted.upper() in _ask(delivery, ("security", "find-certificate", "-a", "-Z")).output.upper()


@dataclass(frozen=True, slots=True)
class WindowsStore:
    """The store `My` of the Windows user."""

    name: str = "Windows store"
    is_store: bool = True

    def deliver(self, delivery: Delivery) -> None:
        """Import the new pair, prove it, remove the old ones by their thumbprint."""
        mine = thumbprint(delivery.identity.credential.certificate)
        if not self._holds(delivery, mine):
            with _bundle(delivery, Pkcs12Form.MODERN) as bundle:
                options = ("-f", "-user", "-p", bundle.password, "-importPFX", "My")
                _run(delivery, self.name, ("certutil.exe", *options, str(bundle.file), "NoExport,NoRoot"))
            if not self._holds(delivery, mine):
                raise _failed(self.name, "the certificate was imported, and it is not there")
        for one in delivery.old:
            old = one.partition(":")[2]
            if old != mine and self._holds(delivery, old):
                _run(delivery, self.name, ("certutil.exe", "-user", "-delstore", "My", old))

    @staticmethod
    def _holds(delivery: Delivery, wanted: str) -> bool:
        return _ask(delivery, ("certutil.exe", "-user", "-store", "My", wanted)).status == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bundle:
    """A PKCS#12 file for one import; `password` protects this file only, for the seconds that it exists."""

    file: Path
    password_file: Path
    password: str = field(repr=False)


@contextmanager
def _bundle(delivery: Delivery, form: Pkcs12Form) -> Iterator[_Bundle]:
    credential = delivery.identity.credential
    password = make_password(delivery.machine.random)
    data = render_pkcs12(
        delivery.identity.key,
        credential.certificate,
        credential.issuers,
        name=credential.name,
        password=password,
        form=form,
    )
    with tempfile.TemporaryDirectory(dir=delivery.directory, prefix=_IMPORT) as name:  # mode 0700
        bundle = _Bundle(file=Path(name, "new.p12"), password_file=Path(name, "password"), password=password)
        create_file(bundle.file, data)
        create_file(bundle.password_file, password.encode("ascii"))
        yield bundle


def remove_left_imports(directory: Path) -> None:
    """Remove what an import left that was killed: the private key and its password. The caller holds `locking.turn`."""
    for path in directory.glob(f"{_IMPORT}*"):
        shutil.rmtree(path, ignore_errors=True)  # a link is not followed


def _uri(key: str) -> str:
    """Return the PKCS#11 URI of a key id; NSS gives certificates with one subject the same nickname."""
    return "pkcs11:id=" + "".join(f"%{key[at : at + 2]}" for at in range(0, len(key), 2))


def _ask(delivery: Delivery, command: tuple[str, ...]) -> Finished:
    return delivery.machine.run(command, environment={}, seconds=STORE_SECONDS)


def _run(delivery: Delivery, store: str, command: tuple[str, ...]) -> None:
    done = _ask(delivery, command)
    if done.status:
        raise _failed(store, f"`{command[0]}` {done.ending}: {done.last_words}")


def _failed(store: str, why: str) -> Unavailable:
    return Unavailable(
        "store-failed",
        f"{store} did not take the new certificate: {why}",
        hint="the old certificate is still in the store; the agent tries again by itself",
    )
