"""The canonical spelling of DNS names, mailboxes and URIs in certificates, so that rules can compare them as text.

Letters are made lower case only if a standard says that case does not matter: in DNS names, in the domain of a
mailbox, in the scheme and authority of a URI. The local part of a mailbox and the path of a URI are compared exactly.
A name that could be spelled in several ways (quoted mailbox, dot segment, needless escape, wildcard …) is refused.

Not here: patterns over such names (policy.selectors), and name constraints of authorities (verification.path).
Standard: RFC 5280 sections 4.2.1.6, 7.2, 7.4 and 7.5; RFC 4343 section 3; RFC 5321 section 4.1.2; RFC 3986
sections 3.2.2 and 6.2.2.
"""

from __future__ import annotations

import re

from doorward.core.errors import MalformedInput

URI_LIMIT = 2048
"""Characters of a URI. SPIFFE-ID section 2.3 requires support for the same length."""

_DNS_LIMIT = 253  # RFC 1035 section 2.3.4: 255 octets on the wire
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LOCAL_LIMIT = 64  # RFC 5321 section 4.5.3.1.1
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):((?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-F]{2})+)")
_AUTHORITY = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(:[0-9]{1,5})?|\[[0-9a-f:.]+\](:[0-9]{1,5})?")
_URN = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,30}):(.+)")
# Unreserved characters, slash and backslash. If they are escaped, one URI has two spellings.
_NEEDLESS_ESCAPE = re.compile(r"%(?:2D|2E|2F|3\d|4[1-9A-F]|5[0-9AF]|5C|6[1-9A-F]|7[0-9AE])")


def spell_dns(text: str) -> str:
    """Return a DNS name in lower case. Underscores are accepted, because directories write them in names of machines.

    Raises:
        MalformedInput: `dns-name-malformed`: a wildcard, a dot at the end, an empty label, or a number as the last label.
    """
    name = text.lower() if text.isascii() else ""
    labels = name.split(".")
    if len(name) > _DNS_LIMIT or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        hint = "write labels of a-z, 0-9, '-' and '_', joined by dots, without a dot at the end"
        raise MalformedInput("dns-name-malformed", f"{text[:80]!a} is not a plain DNS name", hint=hint)
    return name


def spell_mailbox(text: str) -> str:
    """Return a mailbox with its domain in lower case.

    Raises:
        MalformedInput: `mailbox-malformed` if the text before the `@` is not a dot-string; `dns-name-malformed` if
            the text after it is not a DNS name.
    """
    local, _, domain = text.rpartition("@")
    if not _LOCAL_PART.fullmatch(local) or len(local) > _LOCAL_LIMIT:
        hint = "write name@domain, without quotation marks or comments"
        raise MalformedInput("mailbox-malformed", f"{text[:80]!a} is not a plain mailbox", hint=hint)
    return f"{local}@{spell_dns(domain)}"


def spell_uri(text: str) -> str:
    """Return a URI with its scheme and authority in lower case.

    Raises:
        MalformedInput: `uri-malformed`: more than 2,048 characters, a user name, an empty segment or a dot segment
            in the path, an escape that is needless or in lower case, or not a URI.
    """
    found = _URI.fullmatch(text) if len(text) <= URI_LIMIT else None
    if found is None or _NEEDLESS_ESCAPE.search(text):
        raise _bad_uri(text)
    scheme, rest = found[1].lower(), found[2]
    if not rest.startswith("//"):
        urn = _URN.fullmatch(rest) if scheme == "urn" else None
        return f"urn:{urn[1].lower()}:{urn[2]}" if urn is not None else f"{scheme}:{rest}"
    authority, path, tail = _split(rest[2:])
    if not _AUTHORITY.fullmatch(authority.lower()):
        raise _bad_uri(text)
    segments = path.split("/")[1:]
    if any(one in {".", ".."} for one in segments) or "" in segments[:-1]:
        raise _bad_uri(text)
    return f"{scheme}://{authority.lower()}{path}{tail}"


def split_uri(spelled: str) -> tuple[str, tuple[str, ...]] | None:
    """Return `scheme://authority` and the segments of the path; None for a URI without an authority.

    Args:
        spelled: a result of `spell_uri`. Query and fragment are not part of the path.
    """
    scheme, colon, rest = spelled.partition("://")
    if not colon or ":" in scheme:
        return None
    authority, path, _ = _split(rest)
    return f"{scheme}://{authority}", tuple(path.split("/")[1:])


def _split(rest: str) -> tuple[str, str, str]:
    """Return authority, path, and query with fragment."""
    end = re.search(r"[?#]", rest)
    whole, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    authority, slash, path = whole.partition("/")
    return authority, slash + path, tail


def _bad_uri(text: str) -> MalformedInput:
    hint = "write scheme://host/path or urn:..., without user name, dot segments and needless escapes"
    return MalformedInput("uri-malformed", f"{text[:80]!a} is not a plain URI", hint=hint)
