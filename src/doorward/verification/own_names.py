r"""Whether a partner's certificate contains a name of our own namespace: `spiffe://<our trust domain>...`.

Only our own authorities issue these names. An application that reads `Client-Cert` itself would take such a name
for one of ours. So the certificate is refused, even if its other names are good, and in any spelling that a
reader could take for the same URI:
1. percent-encoding is decoded, compatibility forms and dots of other scripts are folded, and invisible characters
   are removed (RFC 3986 sections 2.1 and 6.2.2; UTS 46 section 4),
2. scheme and host are compared without case, `\\` counts as `/`, and any number of slashes counts as two,
3. user, port and dots at the end are not part of the host. A user that equals our trust domain counts as the host
   too, because careless readers take it for the host.
The name is searched for in all alternative names and in the subject, also inside a longer text or bytes.

Not here: how an identity is read (identity). A host below our trust domain is another trust domain.
Standard: SPIFFE-ID section 2; RFC 3986 section 3.2.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

_SCHEME = "spiffe:"
_ROUNDS = 4  # of percent-encoding within percent-encoding
_DOTS = str.maketrans({"\u3002": ".", "\\": "/"})
_AUTHORITY_END = re.compile(r"[/?#]")
_HOST_END = re.compile(r"[^a-z0-9._-]")


def claims_own_name(texts: Iterable[str], trust_domain: str) -> bool:
    """Return whether one of the texts contains a URI of the trust domain.

    Args:
        texts: the names of a certificate as text; percent-encoded or not.
        trust_domain: ours, in lower case.
    """
    return any(
        host == trust_domain for text in map(_fold, texts) if _SCHEME in text for host in _list_hosts(text)
    )


def _fold(text: str) -> str:
    """Step 1, and lower case."""
    for _ in range(_ROUNDS):
        if "%" not in text:
            break
        text = unquote(text, errors="replace")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if not (text.isascii() and text.isprintable()):  # no printable character of ASCII is invisible
        text = "".join(one for one in text if _is_seen(one))
    text = text.casefold()
    return text.replace("\\", "/") if text.isascii() else text.translate(_DOTS)


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] not in "CM"


def _list_hosts(text: str) -> Iterator[str]:
    """Steps 2 and 3: yield every part of a text that a reader could take for the host of a URI."""
    for piece in text.split(_SCHEME)[1:]:
        rest = piece.lstrip("/")
        authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
        for candidate in (rest, authority.rpartition("@")[2]):
            yield _HOST_END.split(candidate, maxsplit=1)[0].rstrip(".")
