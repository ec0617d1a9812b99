"""That a person wants to show another certificate at an application: how the change sequence says it.

A browser remembers which certificate it showed to a host, and forgets it if a handshake ends with an alert. So the person's page
asks, the change is noted, and gateways cut the connections of that certificate there and refuse the next one.

The subject of a change is `<application id>/<what was shown>`: the SHA-256 of the certificate, or, if none was shown, a
digest of the network source, so that no address stands in the sequence.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from doorward.audit.counting import source_key

CHOICE_LIFETIME = timedelta(seconds=10)
"""How long a gateway waits for the next connection; then the note counts no more."""

_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChoice:
    """What is to be shown no more: at which application, and what it was."""

    application_id: str
    shown: str

    @classmethod
    def of(cls, application_id: str, sha256: str, source: str) -> CertificateChoice:
        """Return the choice of a peer by what it showed.

        Args:
            application_id: of the application, or of the portal.
            sha256: of the certificate, hex; empty if none was shown.
            source: the network address that it came from.
        """
        digest = hashlib.sha256(f"{application_id} {source_key(source)}".encode()).hexdigest()
        return cls(application_id=application_id, shown=sha256 or f"none-{digest[:_DIGITS]}")

    @property
    def subject(self) -> str:
        """The subject of its change."""
        return f"{self.application_id}/{self.shown}"
