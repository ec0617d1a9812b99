"""Distinguished names in canonical form, so that they compare as RFC 5280 section 7.1 requires.

Two names are equal if their relative distinguished names are equal, in order. Attribute values are compared
1. without invisible characters (RFC 4518 section 2.2: controls, soft hyphens, joiners …), so that an excluded
   name cannot be used again with one of them inside,
2. with each run of white space as one space,
3. after Unicode normalisation (NFKC) and case folding.
The string type of a value does not matter (UTF8String equals PrintableString).

Not here: the identity in a name (identity), and subtrees (constraints).
Standard: RFC 5280 section 7.1; RFC 4518 section 2, without the tables of prohibited characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from cryptography import x509

from doorward.verification.revocation.der import BIT_STRING, render_element

NORMALISED_LIMIT = 256
"""Characters. The cost of normalisation is quadratic in a run of combining characters: 64 KiB of them take seconds.
X.520 allows 64 characters in most values; a value longer than this limit is compared without normalisation."""

_VARIATION = frozenset("\u034f\u180b\u180c\u180d\ufffc") | {chr(code) for code in range(0xFE00, 0xFE10)}

CanonicalName = tuple[tuple[tuple[str, str | bytes], ...], ...]
"""Relative names in order, most general first; each consists of its sorted (attribute type, value) pairs."""


def canonicalise_name(name: x509.Name) -> CanonicalName:
    """Return a form that is equal for two names exactly if RFC 5280 says that they are equal."""
    return tuple(
        canonicalise_relative((one.oid.dotted_string, _tag_bits(one.value)) for one in relative)
        for relative in name.rdns
    )


def _tag_bits(value: str | bytes) -> str | bytes:
    """Return a value with its tag if it is a bit string, of which the library returns only the content."""
    return render_element(BIT_STRING, value) if isinstance(value, bytes) else value


def canonicalise_relative(
    attributes: Iterable[tuple[str, str | bytes]],
) -> tuple[tuple[str, str | bytes], ...]:
    """Return the canonical form of a relative name.

    Args:
        attributes: pairs of dotted type and text, or bytes if the value is not text.
    """
    pairs = [(oid, _canonicalise_value(value)) for oid, value in attributes]
    if len(pairs) > 1:  # a SET has no order
        pairs.sort(key=repr)
    return tuple(pairs)


def _canonicalise_value(value: str | bytes) -> str | bytes:
    """Return the normalised text; a value that is not text is compared unchanged."""
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
    """Step 1: return whether a character is invisible; tabs and line ends are white space."""
    if unicodedata.category(character) == "Cc":
        return character not in "\t\n\v\f\r\x85"
    return unicodedata.category(character) == "Cf" or character in _VARIATION
