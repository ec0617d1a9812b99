"""What a peer's certificate says of itself, for the page that tells its holder why it is not enough.

Nothing of it is believed: it was not accepted. TLS has shown that the peer holds its private key, so the holder reads
about their own certificate only.
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
"""URL-encoded PEM of the largest certificate that is parsed: base64 and some `%2B`."""

MAX_NAME_CHARACTERS = 160
"""Of a name on a page."""

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_COMMON_NAME = re.compile(r"(?:^|[,+])CN=((?:[^,+\\]|\\.)+)")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedCertificate:
    """A certificate as its holder may read it; names are shortened, and the serial number to its last digits."""

    sha256: str
    subject: str
    issuer: str
    issuer_name: str
    serial_end: str
    not_before: datetime
    not_after: datetime


def parse_unverified_certificate(value: str) -> UnverifiedCertificate | None:
    """Return what the certificate of a header field says, None if there is none that can be read.

    Args:
        value: URL-encoded PEM as Envoy writes it (`%DOWNSTREAM_PEER_CERT%`), at most 98,304 characters; `-` or an
            empty text if the peer showed none.
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
    """Return the first common name of an RFC 4514 text, or the whole text if it has none."""
    found = _COMMON_NAME.search(name)
    return _ESCAPED.sub(r"\1", found[1]) if found else name


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_NAME_CHARACTERS else f"{text[: MAX_NAME_CHARACTERS - 1]}…"
