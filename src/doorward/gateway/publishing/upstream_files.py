"""Reading the files of upstreams that speak TLS (authorities, client certificate), and refusing forbidden upstreams.

A file that cannot be used closes its application before anything is sent, with the reason in the status.
Envoy reads these files itself. Each file is copied below the gateway's folder under the digest of its content:
a changed file has another path, so Envoy reads it again.

Not here: whether anything answers there (upstream_watch).
Standard: RFC 7468 (PEM), RFC 5280 section 4.2.1.12 (clientAuth).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.names import own_hosts
from doorward.enforcement.upstream_files import UpstreamFiles
from doorward.files import read_limited
from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams
from doorward.gateway.publishing.copies import write_copy
from doorward.gateway.publishing.pem_files import certificates_in, key_in
from doorward.gateway.publishing.upstream_watch import WatchedUpstream
from doorward.policy.model import AppPolicy, Document, HttpUpstream, Upstream, UpstreamTls
from doorward.verification.validity import has_begun, has_ended
from doorward.wire.pem import render_certificates

SYSTEM_STORES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),  # Debian, Alpine
    Path("/etc/pki/tls/certs/ca-bundle.crt"),  # Fedora, Red Hat
)
KEPT = timedelta(days=1)
MOST_BYTES = 4 << 20
"""The system's store of Debian has 220 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamParts:
    """By the application's name: the files of upstreams with TLS, and why other upstreams cannot be used."""

    files: Mapping[str, UpstreamFiles] = field(default_factory=dict)
    objections: Mapping[str, str] = field(default_factory=dict)

    def for_plan(self) -> dict[str, Any]:
        """Return the arguments for `build_plan`."""
        return {"upstream_files": self.files, "shut": frozenset(self.objections)}


class UpstreamReader:
    """Reads the files that the upstreams of a document need.

    Args:
        folder: where copies are kept; made if it is missing, mode 0700.
        forbidden: our own sockets and listeners, which no application may lead to.
    """

    def __init__(self, folder: Path, forbidden: ForbiddenUpstreams) -> None:
        self._folder = folder
        self._forbidden = forbidden
        self._said = ""
        self._watched: tuple[WatchedUpstream, ...] = ()

    def watched(self) -> tuple[WatchedUpstream, ...]:
        """Return every upstream of the last reading that can be used."""
        return self._watched

    def trouble(self) -> str:
        """Return which upstreams could not be used at the last reading, in one sentence; empty if all could."""
        return self._said

    def read(self, document: Document, now: datetime) -> UpstreamParts:
        """Return files and objections of every application; delete old copies that nothing names."""
        files: dict[str, UpstreamFiles] = {}
        objections: dict[str, str] = {}
        objection = self._forbidden.checker(known_hosts(document))
        for app in document.apps:
            try:
                self._read(app, objection, now, files, objections)
            except (OSError, ValueError) as error:
                objections[app.name] = _why(error)
        self._forget({path for one in files.values() for path in (one.ca, one.chain, one.key)}, now)
        self._said = "; ".join(
            f"{name} cannot reach its upstream: {why}" for name, why in sorted(objections.items())
        )
        self._watched = tuple(
            WatchedUpstream(name=app.name, upstream=app.upstream, files=files.get(app.name))
            for app in document.apps
            if app.name not in objections
        )
        return UpstreamParts(files=files, objections=objections)

    def _read(
        self,
        app: AppPolicy,
        objection: Callable[[Upstream], str],
        now: datetime,
        files: dict[str, UpstreamFiles],
        objections: dict[str, str],
    ) -> None:
        found = objection(app.upstream)
        if found:
            objections[app.name] = f"its upstream {app.upstream.url} is {found}"
        elif isinstance(app.upstream, HttpUpstream) and app.upstream.tls is not None:
            files[app.name] = self._files(app.upstream.tls, now)

    def _files(self, tls: UpstreamTls, now: datetime) -> UpstreamFiles:
        ca = self._kept(_authorities(Path(tls.ca_file) if tls.ca_file else _system_store()))
        if not tls.client_certificate:
            return UpstreamFiles(ca=ca)
        chain, key = _client_pair(Path(tls.client_certificate), now)
        return UpstreamFiles(ca=ca, chain=self._kept(chain), key=self._kept(key))

    def _kept(self, data: bytes) -> str:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{hashlib.sha256(data).hexdigest()}.pem"
        if not path.exists():
            write_copy(path, data)
        return str(path)

    def _forget(self, kept: Collection[str], now: datetime) -> None:
        """Delete old copies; Envoy's present configuration may still name one that was replaced recently."""
        for path in self._folder.glob("*.pem"):
            if str(path) not in kept and now.timestamp() - path.stat().st_mtime > KEPT.total_seconds():
                path.unlink(missing_ok=True)


def known_hosts(document: Document) -> frozenset[str]:
    """Return the names that lead to the door by the document."""
    return frozenset(host for app in document.apps for host in app.hosts) | own_hosts(document.trust_domain)


def _system_store() -> Path:
    for path in SYSTEM_STORES:
        if path.is_file():
            return path
    raise ValueError("this machine has no system store of authorities; set ca_file to a file of authorities")


def _authorities(path: Path) -> bytes:
    data = read_limited(path, MOST_BYTES)
    found = certificates_in(data, path)
    return render_certificates(found)


def _client_pair(folder: Path, now: datetime) -> tuple[bytes, bytes]:
    """Return chain and key of a folder that `doorward enroll` made, if they can be used as a client certificate."""
    chain, key = (read_limited(folder / name, MOST_BYTES) for name in ("chain.pem", "key.pem"))
    leaf = certificates_in(chain, folder / "chain.pem")[0]
    public = key_in(key, folder / "key.pem").public_key()
    if _spki(public) != _spki(leaf.public_key()):
        raise ValueError(f"{folder}: key.pem and chain.pem do not belong together")
    if not has_begun(leaf.not_valid_before_utc, now) or has_ended(leaf.not_valid_after_utc, now):
        raise ValueError(f"{folder}: the certificate is not valid now; renew it with a new link")
    try:
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return chain, key
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise ValueError(
            f"{folder}: the certificate is not a client certificate: it lacks the purpose clientAuth"
        )
    return chain, key


def _spki(key: object) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} cannot be read by this user: {os.strerror(error.errno or 0).lower()}"
    return str(error)[:300]
