"""The portal's server certificate from PEM files that the settings name.

Browsers refuse passkeys on a page with a certificate that they do not trust, so a portal for people needs a certificate
of an authority that browsers know.
Not here: reading the files (certificate_files).
"""

from __future__ import annotations

from pathlib import Path

from doorward.core.names import PORTAL_APPLICATION
from doorward.gateway.publishing.certificate_files import CertificateFiles, FileWords

_WORDS = FileWords(
    what="the portal's certificate", shut="the portal is shut", names=("portal_certificate", "portal_key")
)


class PortalCertificate(CertificateFiles):
    """Reads the portal's certificate.

    Args:
        files: chain (leaf first) and key; None if our own authority certifies the portal.
        host: the portal's host name.
        folder: where copies are kept; made if it is missing, mode 0700.
    """

    def __init__(self, files: tuple[Path, Path] | None, host: str, folder: Path) -> None:
        super().__init__(files, (host,), folder, name=PORTAL_APPLICATION, words=_WORDS)
