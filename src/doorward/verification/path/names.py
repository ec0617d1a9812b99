"""Distinguished names compared as RFC 5280 section 7.1 asks, and nothing else about them.

Two names are one where their relative distinguished names are, in order; attribute values are compared
1. without the characters that nobody sees (RFC 4518 section 2.2: controls, soft hyphens, joiners, ...):
   an excluded name must not come back with one of them inside,
2. with runs of white space taken as one space,
3. after Unicode normalisation (NFKC) and case folding.
The string type that a value was written in does not matter (UTF8String equals PrintableString).

Not here: what a name means (identity), and subtrees (constraints).
Standard: RFC 5280 section 7.1; RFC 4518 section 2, less the tables of prohibited characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from cryptography import x509

from doorward.verification.revocation.der import BIT_STRING, render_element

NORMALISED_LIMIT = 256
"""Characters. Normalisation costs the square of a run of combining characters: 64 KiB of them take seconds.
X.520 gives most values 64 characters; a longer value than this is compared without it."""

_VARIATION = frozenset("\u034f\u180b\u180c\u180d\ufffc") | {chr(code) for code in range(0xFE00, 0xFE10)}

CanonicalName = tuple[tuple[tuple[str, str | bytes], ...], ...]
"""Relative names in order, most general first; each is its sorted (attribute type, value) pairs."""


def canonicalise_name(name: x509.Name) -> CanonicalName:
    """Return a form that is equal for two names exactly where RFC 5280 calls them equal."""
    return tuple(
        canonicalise_relative((one.oid.dotted_string, _tag_bits(one.value)) for one in relative)
        for relative in name.rdns
    )


def _tag_bits(value: str | bytes) -> str | bytes:
    """Return a value as it is written: the library gives the content of a bit string, which is no other type's."""
    return render_element(BIT_STRING, value) if isinstance(value, bytes) else value


def canonicalise_relative(
    attributes: Iterable[tuple[str, str | bytes]],
) -> tuple[tuple[str, str | bytes], ...]:
    """Return a relative name of attributes (dotted type; text, or the bytes of a value that is none)."""
    pairs = [(oid, _canonicalise_value(value)) for oid, value in attributes]
    if len(pairs) > 1:  # a SET has no order
        pairs.sort(key=repr)
    return tuple(pairs)


def _canonicalise_value(value: str | bytes) -> str | bytes:
    """Return the prepared string; a value that is no string is compared as it is."""
    if isinstance(value, bytes):
        return value
    if value.isascii() and value.isprintable():
        return " ".join(value.lower().split())
    value = " ".join("".join(one for one in value if not _is_unseen(one)).split()).casefold()
    if value.isascii() or len(value) > NORMALISED_LIMIT:
        return value
    value = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    return " ".join(value.split())


def _is_unseen(character: str) -> bool:
    """Step 1; tabs, line ends and the like are white space."""
    if unicodedata.category(character) == "Cc":
        return character not in "\t\n\v\f\r\x85"
    return unicodedata.category(character) == "Cf" or character in _VARIATION
