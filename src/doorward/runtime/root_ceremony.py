"""A first start below a root that was never on this machine, in two commands.

    doorward init --root-offline             makes everything except the authority, and the request for the root
    doorward ca install CERT --root ROOT     founds the authority

In between, DATA/founding.json holds what the second command needs; nothing in it is secret. No mark of the founding exists and no tenant, so
every role and every other command refuses. The two public files for the root are beside it.

Not here: the checks (authority.founding_ceremony), the other first start (initialise).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.founding_ceremony import (
    FoundingRequest,
    found_below,
    founding_extensions,
    request_founding,
)
from doorward.core.errors import IntegrityError, RequestRefused
from doorward.files import read_limited, replace_file
from doorward.runtime.compose import Installation
from doorward.runtime.layout import Layout, only_one
from doorward.stores.records import TenantRecord

MAX_BYTES = 64 * 1024
_MEMBERS = ("root_id", "key_name", "trust_domain", "status_url")


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFiles:
    """The two files that go to the root: the request, and the extensions for `openssl x509 -req -extfile`."""

    request: Path
    extensions: Path


def is_waiting(layout: Layout) -> bool:
    """Return whether an installation waits for its root: it was begun with `--root-offline`, and is not founded."""
    return layout.founding.exists() and not layout.founded.exists()


def refuse_waiting(layout: Layout) -> None:
    """Raise `RequestRefused` (`founding-requested`) if an installation waits for its root."""
    if is_waiting(layout):
        raise RequestRefused(
            "founding-requested",
            f"{layout.data} waits for the certificate that its root makes",
            hint="with that certificate: doorward ca install CERTIFICATE --root ROOT; or name another directory with --data",
        )


def require_waiting(layout: Layout) -> None:
    """Raise `RequestRefused` (`founding-none`) if no installation waits for its root here."""
    if not layout.founding.exists():
        raise RequestRefused(
            "founding-none",
            f"no installation in {layout.data} waits for its root",
            hint="begin one with `doorward init --root-offline`; or leave --root out to install the next issuing authority",
        )


def request(installation: Installation) -> RootFiles:
    """Make the request for the root, after `Installation.begin_founding`; an earlier request is kept.

    Raises:
        IntegrityError: `founding-damaged`. RequestRefused, MalformedInput, Unavailable: as `request_founding`.
    """
    layout = installation.layout
    if layout.founding.exists():
        founding = load(layout)
    else:
        settings = installation.settings
        founding = request_founding(
            installation.services,
            trust_domain=settings.trust_domain,
            status_url=settings.public_status_url,
        )
        replace_file(layout.founding, render(founding), mode=0o644)
    files = RootFiles(request=layout.data / "issuing.csr", extensions=layout.data / "issuing.ext")
    pem = x509.load_der_x509_csr(founding.request).public_bytes(Encoding.PEM)
    replace_file(files.request, pem, mode=0o644)
    replace_file(files.extensions, founding_extensions(founding).encode("ascii"), mode=0o644)
    return files


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundedBelow:
    """An authority that was founded below a root elsewhere: its tenant, and the name and digest of the root."""

    tenant: TenantRecord
    root: str
    root_sha256: str


def found(installation: Installation, *, issuing: bytes, root: bytes, actor: str) -> FoundedBelow:
    """Found the authority with the certificate that the root made; repeated after a crash, it completes the founding.

    Args:
        installation: not founded yet.
        issuing: DER.
        root: DER.
        actor: who acts.

    Raises:
        IntegrityError: `founding-damaged`. Others: as `found_below`.
    """
    layout = installation.layout
    with only_one(layout, "init"):
        if installation.is_founded():  # interrupted just before its end
            tenant = installation.tenant()
        else:
            installation.begin_founding()
            tenant = found_below(installation.services, load(layout), issuing=issuing, root=root, actor=actor)
            installation.close()
            installation.mark_founded(tenant)
        layout.founding.unlink(missing_ok=True)
    return FoundedBelow(
        tenant=tenant,
        root=x509.load_der_x509_certificate(root).subject.rfc4514_string(),
        root_sha256=hashlib.sha256(root).hexdigest(),
    )


def render(founding: FoundingRequest) -> bytes:
    """Return what the file holds."""
    members = {name: getattr(founding, name) for name in _MEMBERS}
    members["request"] = base64.b64encode(founding.request).decode("ascii")
    return json.dumps(members, indent=1).encode("ascii") + b"\n"


def load(layout: Layout) -> FoundingRequest:
    """Return the request of the file; raise `IntegrityError` (`founding-damaged`)."""
    try:
        members = json.loads(read_limited(layout.founding, MAX_BYTES))
        texts = {name: members[name] for name in _MEMBERS}
        if all(isinstance(one, str) for one in texts.values()):
            return FoundingRequest(**texts, request=base64.b64decode(members["request"], validate=True))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        pass
    raise IntegrityError(
        "founding-damaged",
        f"{layout.founding} cannot be read",
        hint="restore it from your backup; or begin in another directory (--data), with another request",
    )
