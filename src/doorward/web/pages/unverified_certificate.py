"""The content of a certificate that was not accepted, for the page that explains the refusal to its holder.

The content is only displayed and never trusted. In TLS the peer proved possession of the private key, so people see
only their own certificate.
Not checked: anything.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from dataclasses import dataclass
from datetime import datetime

from doorward.core.errors import MalformedInput
from doorward.verification.parsing import CERTIFICATE_LIMIT, parse_certificate

MAX_CLAIM_CHARACTERS = 6 * CERTIFICATE_LIMIT
"""Room for the URL-encoded PEM of the largest certificate that is parsed."""

MAX_NAME_CHARACTERS = 160
"""The length of a name on a page."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_COMMON_NAME = re.compile(r"(?:^|[,+])CN=((?:[^,+\\]|\\.)+)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCertificate:
    """The displayed content of a certificate; names are shortened, and only the last digits of the serial number remain."""

    sha256: str
    subject: str
    issuer: str
    issuer_name: str
    serial_end: str
    not_before: datetime
    not_after: datetime


def parse_unverified_certificate(value: str) -> UnverifiedCertificate | None:
    """Return the content of the certificate in a header field; None if there is none or it cannot be parsed.

    Args:
        value: URL-encoded PEM as Envoy writes it (`%DOWNSTREAM_PEER_CERT%`), at most 98,304 characters; `-` or empty if
            the peer showed no certificate.
    """
    if len(value) > MAX_CLAIM_CHARACTERS:
        return None
    pem = urllib.parse.unquote(value, errors="replace").strip()
    if not pem.startswith(_BEGIN) or not pem.endswith(_END):
        return None
    try:
        der = base64.b64decode("".join(pem[len(_BEGIN) : -len(_END)].split()), validate=True)
        facts = parse_certificate(der).facts
    except (MalformedInput, ValueError):
        return None
    return UnverifiedCertificate(
        sha256=facts.sha256,
        subject=_shortened(facts.subject),
        issuer=_shortened(facts.issuer),
        issuer_name=_shortened(_common_name(facts.issuer)),
        serial_end=f"{facts.serial:x}"[-8:],
        not_before=facts.not_before,
        not_after=facts.not_after,
    )


def _common_name(name: str) -> str:
    """Return the first common name in an RFC 4514 string; the whole string if it has none."""
    found = _COMMON_NAME.search(name)
    return _ESCAPED.sub(r"\1", found[1]) if found else name


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[: MAX_NAME_CHARACTERS - 1]}…"
