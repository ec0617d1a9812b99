"""A server certificate from PEM files that an operator names; an ACME client or an operator writes them.

The files are copied under the digest of their content, and packed from the copy: otherwise a pair that changes meanwhile
could be packed half old and half new. If a new pair cannot be used, the former pair is kept while it is valid. If there is
no usable pair, the door is shut and the status says why. A pair that lacks some of the hosts serves the others: a host that
was added to the document before the files had it does not shut the hosts that were there. A certificate of our own authority in its place would teach
people to ignore browser warnings.

Not here: certificates that the gateway orders (server_certificates).
Standard: RFC 7468 (PEM), RFC 9525 section 6.3 (which hosts a certificate covers), RFC 5280 section 4.2.1.12 (serverAuth).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.enforcement.plan import ServerCertificate
from doorward.files import read_limited
from doorward.gateway.publishing.copies import delete_copies, write_copy
from doorward.gateway.publishing.pem_files import certificates_in, key_in
from doorward.verification.validity import has_begun, has_ended
from doorward.wire.pem import render_certificates

MOST_BYTES = 1 << 20
"""A chain of three certificates with 4096-bit keys has 6 KiB."""

WARN_WITH_LEFT = 1 / 5
"""Of the life. Programs renew at a third: for 90 days, this is told 18 days before the end."""

_MOST_NAMED = 3
Stamp = tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A copied pair: its paths, the DNS names of the leaf, and the earliest end in the chain."""

    folder: Path
    names: tuple[str, ...]
    ends_at: datetime


_log = structlog.get_logger("doorward.certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWords:
    """How the log and the status speak about a pair of files.

    Args:
        what: the certificate, such as "the portal's certificate".
        shut: what is shut without it, such as "the portal is shut".
        names: what names the two files, chain and key.
    """

    what: str
    shut: str
    names: tuple[str, str]

    @property
    def hint(self) -> str:
        """What to do."""
        return f"replace {' and '.join(self.names)}; the gateway reads them again by itself"


class CertificateFiles:
    """Reads two files again and again; for one thread, except `changed` and `trouble`.

    Args:
        files: chain (leaf first) and key; None if no files are named.
        hosts: the names that the certificate must cover.
        folder: where copies are kept; made if it is missing, mode 0700.
        name: of the certificate for Envoy.
        words: for the log and the status.
    """

    def __init__(
        self,
        files: tuple[Path, Path] | None,
        hosts: tuple[str, ...],
        folder: Path,
        *,
        name: str,
        words: FileWords,
    ) -> None:
        self._files = files
        self._hosts = hosts
        self._folder = folder
        self._name = name
        self._words = words
        self._seen: tuple[Stamp, ...] = ()
        self._last: _Pair | None = None
        self._said = ""
        self._ends_at = self._warn_at = datetime.max.replace(tzinfo=UTC)

    @property
    def is_named(self) -> bool:
        """Whether the settings name files."""
        return self._files is not None

    def changed(self) -> bool:
        """Return whether the files changed since they were read last."""
        return self._files is not None and self._stamps() != self._seen

    def trouble(self) -> str:
        """Return the fault that the last reading of the files found, as one sentence; empty if there is none."""
        return self._said

    def require(self, hosts: tuple[str, ...]) -> None:
        """Change the hosts that the certificate must cover."""
        self._hosts = hosts

    def read(self, now: datetime) -> ServerCertificate | None:
        """Return the certificate to use from now on; None if there is no usable one. Its `hosts` may be a part of ours."""
        if self._files is None:
            delete_copies(self._folder)  # of a pair that the settings named before
            return None
        self._seen = self._stamps()
        try:
            self._last = self._take(*self._files, now)
            self._tell(self._lacks() or self._ends_soon(now))
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            if self._last is not None and (
                has_ended(self._last.ends_at, now) or not self._covered(self._last)
            ):
                self._last = None
            outcome = "the former certificate stays in use" if self._last else self._words.shut
            what = f"{self._words.what} cannot be used"
            self._tell(f"{what}, and {outcome}: {_why(error)} ({self._words.hint})")
        return self._certificate(self._last) if self._last is not None else None

    def _tell(self, said: str) -> None:
        if said and said != self._said:
            _log.warning(said)
        self._said = said

    def _certificate(self, pair: _Pair) -> ServerCertificate:
        return ServerCertificate(
            name=self._name,
            chain_path=str(pair.folder / "chain.pem"),
            key_path=str(pair.folder / "key.pem"),
            hosts=self._covered(pair),
        )

    def _covered(self, pair: _Pair) -> tuple[str, ...]:
        """Return those of our hosts that a pair covers."""
        return tuple(host for host in self._hosts if any(_covers(one, host) for one in pair.names))

    def _lacks(self) -> str:
        """Return the hosts that the pair does not cover, as a sentence; empty if it covers all."""
        assert self._last is not None
        lacking = [one for one in self._hosts if one not in self._covered(self._last)]
        if not lacking:
            return ""
        named = ", ".join(lacking[:_MOST_NAMED]) + (" and more" if len(lacking) > _MOST_NAMED else "")
        return f"{self._words.what} does not name {named}: no such host is served ({self._words.hint})"

    def _ends_soon(self, now: datetime) -> str:
        """Return a warning if only the last part of the life is left: no program renewed the files."""
        if now < self._warn_at:
            return ""
        return f"{self._words.what} ends {self._ends_at:%Y-%m-%d %H:%M} UTC and was not renewed ({self._words.hint})"

    def _take(self, chain_file: Path, key_file: Path, now: datetime) -> _Pair:
        """Check the files and copy them; raise ValueError with the fault if they cannot be used."""
        chain, key = (read_limited(one, MOST_BYTES) for one in (chain_file, key_file))
        certificates = certificates_in(chain, chain_file)
        leaf = certificates[0]
        ends_at = min(one.not_valid_after_utc for one in certificates)
        self._check(leaf, key_in(key, key_file), chain_file)
        _check_dates(leaf, ends_at, now, chain_file)
        # Only the certificates: Envoy must not get anything else from the file.
        pem = render_certificates(certificates)
        digest = hashlib.sha256(len(pem).to_bytes(8) + pem + key).hexdigest()[:32]
        found = _Pair(folder=self._folder / digest, names=_names(leaf), ends_at=ends_at)
        if not self._covered(found):
            raise ValueError(f"{chain_file} does not name {self._hosts[0]}")
        self._ends_at = ends_at
        self._warn_at = ends_at - (ends_at - leaf.not_valid_before_utc) * WARN_WITH_LEFT
        if not (found.folder / "key.pem").exists():
            found.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_copy(found.folder / "chain.pem", pem)
            write_copy(found.folder / "key.pem", key)
        # The former pair stays: a configuration that names it may still be packed.
        before = self._last.folder.name if self._last is not None else ""
        delete_copies(self._folder, keep={digest, before})
        return found

    def _check(self, leaf: x509.Certificate, key: PrivateKeyTypes, file: Path) -> None:
        public = key.public_key()
        spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if public.public_bytes(*spki) != leaf.public_key().public_bytes(*spki):
            raise ValueError(f"{self._words.names[1]} is not the key of {self._words.names[0]}")
        with suppress(x509.ExtensionNotFound):
            purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
                raise ValueError(f"{file} is not a server certificate: it lacks the purpose serverAuth")

    def _stamps(self) -> tuple[Stamp, ...]:
        return tuple(_stamp(one) for one in self._files or ())


def _check_dates(leaf: x509.Certificate, ends_at: datetime, now: datetime, file: Path) -> None:
    """Refuse a chain that is not valid now; an issuer that ends before the leaf ends the chain."""
    if not has_begun(leaf.not_valid_before_utc, now):
        raise ValueError(f"{file} is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if has_ended(ends_at, now):
        part = "it" if ends_at == leaf.not_valid_after_utc else "a certificate of its chain"
        raise ValueError(f"{file} cannot be used: {part} ended on {ends_at:%Y-%m-%d %H:%M} UTC; renew it")


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    with suppress(x509.ExtensionNotFound):
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(sorted(one.lower() for one in found.get_values_for_type(x509.DNSName)))
    return ()


def _covers(name: str, host: str) -> bool:
    """Return whether a name covers a host; a wildcard is the whole leftmost label (RFC 9525 section 6.3)."""
    return name == host or (name.startswith("*.") and name[2:] == host.partition(".")[2])


def _stamp(path: Path) -> Stamp:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size  # ctime: a chmod or chown


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read by this user: {(error.strerror or 'unknown').lower()}"
    return str(error)[:300] or type(error).__name__
