"""A person's wish to use another certificate at an application, as an entry of the change sequence.

A browser remembers which certificate it showed to a host. It forgets the certificate only if a handshake ends with an
alert. So the portal notes the change; gateways cut the connections with that certificate and refuse the next one.

The subject of the change is `<application id>/<certificate>`: the SHA-256 of the certificate. If the browser showed none,
it is a digest of the network source, so that the sequence contains no address.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from doorward.audit.counting import source_key

CHOICE_LIFETIME = timedelta(seconds=10)
"""How long a gateway waits for the next connection to refuse."""

_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChoice:
    """The certificate that a person no longer wants to use at an application.

    Args:
        application_id: of the application, or of the portal.
        shown: SHA-256 of the certificate, or a digest of the network source if the browser showed none.
    """

    application_id: str
    shown: str

    @classmethod
    def of(cls, application_id: str, sha256: str, source: str) -> CertificateChoice:
        """Return the choice for a peer.

        Args:
            application_id: of the application, or of the portal.
            sha256: of the certificate that the peer showed, hex; empty if it showed none.
            source: the peer's network address.
        """
        digest = hashlib.sha256(f"{application_id} {source_key(source)}".encode()).hexdigest()
        return cls(application_id=application_id, shown=sha256 or f"none-{digest[:_DIGITS]}")

    @property
    def subject(self) -> str:
        """The subject of the entry in the change sequence."""
        return f"{self.application_id}/{self.shown}"
