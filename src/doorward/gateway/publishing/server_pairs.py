"""The gateway's server certificates and their keys on disk, each pair in the folder of its order.

    keys/server/<purpose>/<order id>/key.pem      made first
    keys/server/<purpose>/<order id>/chain.pem    there once the order is filled
    keys/server/<purpose>/<order id>/asked        what another authority was asked for; not there for our own

A pair is read and checked once, and again only if one of its files changed: a gateway may have a thousand pairs, and
looks at all of them at each publication.
Not here: ordering and choosing certificates (server_certificates).
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from doorward.core.ports import PrivateKey
from doorward.gateway.ballast import BALLAST
from doorward.pki.lifecycle import renewal_time
from doorward.wire.pem import render_pem

_FILES = ("chain.pem", "key.pem")


@dataclass(frozen=True, slots=True)
class ServerPair:
    """A chain and its key on disk: the hosts of the certificate, its dates (UTC), its issuer, and which authority was asked.

    `issuer` is the SHA-256 of the certificate after the leaf; empty if there is none.
    """

    folder: Path
    hosts: tuple[str, ...]
    begin: datetime
    end: datetime
    issuer: str = ""
    source: str = ""

    def worth(
        self, wanted: tuple[str, ...], source: str, staying: Collection[str]
    ) -> tuple[bool, bool, int, bool, datetime, str]:
        """Return the sort key of pairs: first exactly these hosts by this authority, then more of them.

        Of equal ones, those of an issuer that stays come first, then those with a later end, then those of a later order: a
        renewed certificate has the same end if an authority in its chain ends first.
        """
        exact, covered = self.hosts == wanted, len(set(self.hosts).intersection(wanted))
        stays = self.stays(staying)
        return exact and self.source == source, exact, covered, stays, self.end, self.folder.name

    def stays(self, staying: Collection[str]) -> bool:
        """Return whether its issuer is one of these (SHA-256), or is not ours; True if they are not known."""
        return not staying or bool(self.source) or self.issuer in staying

    def is_due(self, now: datetime, renew_at: datetime | None = None) -> bool:
        """Return whether it is time to order the next one; `renew_at` is what the authority said."""
        return now >= (renew_at or renewal_time(self.begin, self.end, self.folder.name))


class ServerPairs:
    """The pairs below one folder; used by one thread.

    Nothing is synced to the disk: a pair that a crash of the machine destroys is damaged, and is ordered again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[Path, tuple[object, ServerPair]] = {}

    def orders(self, purpose: str) -> list[Path]:
        """Return the folder of each order of a purpose, sorted; the name of a folder is the order's id."""
        try:
            with os.scandir(self._folder / purpose) as found:
                return sorted(Path(one.path) for one in found if one.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, folder: Path) -> ServerPair | None:
        """Return the pair of a folder; None if its files are not a certificate and its own key."""
        state = _state(folder)
        known = self._known.get(folder)
        if known is not None and known[0] == state:
            return known[1]
        read = _read_chain(folder)
        if read is None:
            return None
        leaf, issuer = read
        dates = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        pair = ServerPair(folder, _hosts(leaf), *dates, issuer, asked_of(folder).partition("\n")[0])
        if state is not None:
            self._known[folder] = state, pair
        return pair

    def write_key(self, purpose: str, order_id: str, key: PrivateKey, asked: str = "") -> None:
        """Write the key of an order that was just placed, and what another authority is asked for."""
        folder = self._folder / purpose / order_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if asked:
            BALLAST.replace_file(folder / "asked", asked.encode(), durable=False)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        BALLAST.replace_file(folder / "key.pem", pem, durable=False)

    def write_chain(self, folder: Path, chain_der: Sequence[bytes]) -> None:
        """Write the chain of a filled order, DER, leaf first."""
        pem = render_pem(*chain_der).encode("ascii")
        BALLAST.replace_file(folder / "chain.pem", pem, durable=False)

    def delete(self, folder: Path) -> None:
        """Delete the folder of an order."""
        self._known.pop(folder, None)
        shutil.rmtree(folder)

    def forget_others(self, purposes: Collection[str], used: Collection[Path]) -> None:
        """Delete the orders of other purposes, and filled orders of these purposes that are not used."""
        for folder in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            if folder.is_dir() and folder.name not in purposes:
                shutil.rmtree(folder, ignore_errors=True)
                continue
            for pair in self.orders(folder.name):
                if pair not in used and has_chain(pair):
                    shutil.rmtree(pair, ignore_errors=True)
        self._known = {folder: one for folder, one in self._known.items() if folder in used}


def has_chain(folder: Path) -> bool:
    """Return whether the order of a folder was filled and collected."""
    return os.path.exists(f"{folder}/chain.pem")  # noqa: PTH110  three times as fast, and asked for every pair


def has_key(folder: Path) -> bool:
    """Return whether the key of an order is there; it is not after a crash between placing the order and writing its key."""
    return (folder / "key.pem").exists()


def asked_of(folder: Path) -> str:
    """Return what another authority was asked for: which one, then the hosts, each on a line; empty for our own."""
    try:
        return (folder / "asked").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _state(folder: Path) -> object:
    """Return what changes if one of the files changes; None if one is missing."""
    try:
        found = [os.stat(f"{folder}/{name}") for name in _FILES]  # noqa: PTH116  as above
    except OSError:
        return None
    return [(one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found]


def _read_chain(folder: Path) -> tuple[x509.Certificate, str] | None:
    """Return the leaf and the SHA-256 of the certificate after it; None if the key is not the leaf's."""
    try:
        leaf, *above = x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())
        key = load_pem_private_key((folder / "key.pem").read_bytes(), password=None)
        issuer = hashlib.sha256(above[0].public_bytes(Encoding.DER)).hexdigest() if above else ""
        return (leaf, issuer) if leaf.public_key() == key.public_key() else None
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return None


def _hosts(leaf: x509.Certificate) -> tuple[str, ...]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return tuple(sorted(names.get_values_for_type(x509.DNSName)))
