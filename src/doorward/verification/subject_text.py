"""Converts a subject as people write it into the text that is compared: RFC 4514 as the library writes it.

Normalised are: spaces around commas and equals signs, the case of types, names of types that RFC 4514 does not list
(`emailAddress`, `serialNumber`), and needless escapes. The order, most specific part first, and the case of values
are kept.
Not here: the identity in a subject (identity).
Standard: RFC 4514 sections 2 and 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from doorward.core.errors import MalformedInput

_NAMES = ("CN", "L", "ST", "O", "OU", "C", "STREET", "DC", "UID")
"""The types that RFC 4514 section 3 and the library write as a name."""

_TYPES = {
    **{name.lower(): name for name in _NAMES},
    "s": "ST",
    "userid": "UID",
    "e": "1.2.840.113549.1.9.1",
    "email": "1.2.840.113549.1.9.1",
    "emailaddress": "1.2.840.113549.1.9.1",
    "serialnumber": "2.5.4.5",
    "sn": "2.5.4.4",
    "surname": "2.5.4.4",
    "gn": "2.5.4.42",
    "givenname": "2.5.4.42",
    "initials": "2.5.4.43",
    "title": "2.5.4.12",
    "t": "2.5.4.12",
    "pseudonym": "2.5.4.65",
    "dnq": "2.5.4.46",
    "dnqualifier": "2.5.4.46",
    "organizationidentifier": "2.5.4.97",
    "businesscategory": "2.5.4.15",
    "postalcode": "2.5.4.17",
    "name": "2.5.4.41",
}
_DOTTED = re.compile(r"(?:[0-2])(?:\.(?:0|[1-9][0-9]*))+")
_HEX = re.compile(r"#(?:[0-9a-fA-F]{2})+")
_PIECE = re.compile(r'(?:\\.|[^\\,+"]|"(?:\\.|[^"\\])*")+', re.DOTALL)
_ESCAPE = re.compile(r"(?:\\[0-9a-fA-F]{2})+|\\.", re.DOTALL)
_SPECIAL = re.compile(r'([",+;<>\\])')
_HEX_PAIR = 3


def parse_subject_text(text: str) -> str:
    """Return the RFC 4514 text of a subject.

    Raises:
        MalformedInput: `subject-malformed`.
    """
    written, at = [], 0
    while True:
        piece = _PIECE.match(text, at)
        if piece is None:
            raise _malformed()
        written.append(_rewrite(piece[0]))
        at = piece.end()
        if at == len(text):
            return "".join(written)
        written.append(text[at])
        at += 1


def _rewrite(piece: str) -> str:
    kind, equals, value = piece.partition("=")
    kind = kind.strip()
    name = kind if _DOTTED.fullmatch(kind) else _TYPES.get(kind.lower().removeprefix("oid."), "")
    if not equals or not name:
        raise _malformed()
    value = _strip(value)
    if _HEX.fullmatch(value):
        return f"{name}={value.lower()}"
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):  # RFC 2253 and 1779
        value = value[1:-1]
    return f"{name}={_escape(''.join(_unescape(value)))}"


def _strip(value: str) -> str:
    """Return a value without spaces around it; an escaped space at the end is kept."""
    bare = value.strip(" ")
    return bare + " " if bare.endswith("\\") and value != bare and not bare.endswith("\\\\") else bare


def _unescape(value: str) -> Iterator[str]:
    at = 0
    for found in _ESCAPE.finditer(value):
        yield value[at : found.start()]
        escaped = found[0]
        if len(escaped) >= _HEX_PAIR:
            yield bytes.fromhex(escaped.replace("\\", "")).decode("utf-8", "replace")
        else:
            yield escaped[1:]
        at = found.end()
    yield value[at:]


def _escape(value: str) -> str:
    """Return a value escaped as the library does it: RFC 4514 section 2.4."""
    text = _SPECIAL.sub(r"\\\1", value).replace("\0", "\\00")
    if text[:1] in ("#", " "):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(text) > 1 and not text.endswith("\\ ") else text


def _malformed() -> MalformedInput:
    hint = "write it as `openssl x509 -noout -subject -nameopt RFC2253` does, such as CN=bob,O=Clinic,C=DE"
    return MalformedInput("subject-malformed", "the text is not a subject in the form of RFC 4514", hint=hint)
