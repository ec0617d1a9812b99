"""Whether a text is an https URL that we may be configured to ask.

Not here: asking it, and whether its address may be contacted (`core.addresses`).
Standard: RFC 3986 section 3.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MOST_CHARACTERS = 1024

_PRINTABLE = re.compile(r"[!-~]+")


def is_https_url(text: str) -> bool:
    """Return whether a text is an absolute https URL without user information and fragment."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    good = len(text) <= MOST_CHARACTERS and _PRINTABLE.fullmatch(text) and parts.scheme == "https"
    return bool(good and parts.hostname and "@" not in parts.netloc and not parts.fragment and port != 0)
