"""Distinguished names compared as RFC 5280 section 7.1 asks, and nothing else about them.

Two names are one where their relative distinguished names are, in order; attribute values are compared
after Unicode normalisation (NFKC), case folding and with runs of white space taken as one space. The
string type that a value was written in does not matter (UTF8String equals PrintableString).

Not here: what a name means (identity), and subtrees (constraints).
Standard: RFC 5280 section 7.1; RFC 4518 section 2, less the tables of prohibited characters: a value that
has one compares unequal to whatever lacks it, and a name is never folded into another by removal.
"""

from __future__ import annotations

import unicodedata

from cryptography import x509

CanonicalName = tuple[tuple[tuple[str, str | bytes], ...], ...]
"""Relative names in order, most general first; each is its sorted (attribute type, value) pairs."""


def canonicalise_name(name: x509.Name) -> CanonicalName:
    """Return a form that is equal for two names exactly where RFC 5280 calls them equal."""
    return tuple(_canonicalise_relative(relative) for relative in name.rdns)


def _canonicalise_relative(relative: x509.RelativeDistinguishedName) -> tuple[tuple[str, str | bytes], ...]:
    pairs = [(attribute.oid.dotted_string, _canonicalise_value(attribute.value)) for attribute in relative]
    if len(pairs) > 1:  # a SET has no order
        pairs.sort(key=repr)
    return tuple(pairs)


def _canonicalise_value(value: str | bytes) -> str | bytes:
    """Return the prepared string; a value that is no string (a bit string) is compared as it is."""
    if isinstance(value, bytes):
        return value
    if not value.isascii():
        value = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
        return " ".join(value.split())
    return " ".join(value.lower().split())
