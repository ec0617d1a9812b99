"""Parses distinguished names attribute by attribute, so that an attribute that cannot be decoded does not make the others unreadable.

The library parses a whole name or nothing. Here each value is text, or opaque: bytes that can be compared and shown.
- UTF8String, BMPString and UniversalString are decoded by X.680 section 41; PrintableString, IA5String,
  VisibleString, NumericString and times as ASCII, so `&` and `_` in a PrintableString are accepted.
- TeletexString is decoded as UTF-8 if possible, as the library does, and otherwise as Latin-1, which most programs write.
- Everything else is opaque: other types, such as postalAddress, and bytes that do not fit their type.
An opaque value equals only the same bytes. It is shown as `#` and hexadecimal digits (RFC 4514 section 2.4), which
differs from any text.

Not here: the comparison of text (names).
Standard: RFC 5280 section 4.1.2.4; RFC 4514 section 2.4; X.680 section 41.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509

from doorward.verification.path.names import CanonicalName, canonicalise_relative
from doorward.verification.revocation.der import (
    BIT_STRING,
    OBJECT,
    SEQUENCE,
    Element,
    MalformedDer,
    read_whole,
    render_dotted,
    render_element,
)

_SET = 0x31
_UTF8_STRING = 0x0C
_TELETEX_STRING = 0x14
_BMP_STRING, _UNIVERSAL_STRING = 0x1E, 0x1C
_UNICODE = (_UTF8_STRING, _BMP_STRING, _UNIVERSAL_STRING)


def _read_ascii(value: bytes) -> str:
    return value.decode("ascii")


def _read_teletex(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


# The decoder functions are called directly: `decode("utf-16-be")` would import a module, which may fail late.
def _read_bmp(value: bytes) -> str:
    return codecs.utf_16_be_decode(value, "strict", True)[0]  # noqa: FBT003  takes no keywords


def _read_universal(value: bytes) -> str:
    return codecs.utf_32_be_decode(value, "strict", True)[0]  # noqa: FBT003  as above


_TEXTS: dict[int, Callable[[bytes], str]] = {
    _UTF8_STRING: lambda value: value.decode("utf-8"),
    _TELETEX_STRING: _read_teletex,
    _BMP_STRING: _read_bmp,
    _UNIVERSAL_STRING: _read_universal,
    **dict.fromkeys((0x12, 0x13, 0x16, 0x1A, 0x17, 0x18), _read_ascii),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute: its type, dotted and in DER, its text if it has one, and its value with tag and length."""

    oid: str
    oid_der: bytes
    text: str | None
    value: bytes

    @property
    def opaque(self) -> bool:
        """Whether it is opaque. A bit string is not, because the library can parse it."""
        return self.text is None and self.value[0] != BIT_STRING


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedName:
    """A name: its relative names in order, each with its attributes in the order of a SET in DER (X.690 section 11.6)."""

    relatives: tuple[tuple[Attribute, ...], ...]

    @property
    def opaque(self) -> tuple[bytes, ...]:
        """The opaque values."""
        return tuple(one.value for relative in self.relatives for one in relative if one.opaque)

    @property
    def malformed(self) -> bool:
        """Whether a value is not valid in its Unicode type: BoringSSL refuses a certificate with such a name."""
        return any(
            one.text is None and one.value[0] in _UNICODE for relative in self.relatives for one in relative
        )

    def canonicalise(self) -> CanonicalName:
        """Return what `canonicalise_name` returns for the same name, opaque values included."""
        return tuple(
            canonicalise_relative((one.oid, one.value if one.text is None else one.text) for one in relative)
            for relative in self.relatives
        )

    def rewrite(self) -> bytes:
        """Return the name in DER as the library can parse it: text as UTF8String, a mark in place of an opaque value."""
        return render_element(
            SEQUENCE,
            *(render_element(_SET, *(_rewrite(one) for one in relative)) for relative in self.relatives),
        )

    def render(self, readable: x509.Name) -> str:
        """Return its RFC 4514 text; `readable` is the library's result for `rewrite`."""
        return ",".join(
            "+".join(
                f"{one.oid}=#{one.value.hex()}" if one.opaque else attribute.rfc4514_string()
                for one, attribute in zip(relative, found, strict=True)
            )
            for relative, found in zip(reversed(self.relatives), reversed(readable.rdns), strict=True)
        )


def parse_name(der: bytes) -> ParsedName:
    """Return a Name.

    Args:
        der: as in a certificate or a CRL.

    Raises:
        MalformedDer: it is not a SEQUENCE of SETs of attributes.
    """
    return ParsedName(
        relatives=tuple(
            tuple(sorted(map(_read_attribute, relative.require(_SET).children()), key=_rewrite))
            for relative in read_whole(der).require(SEQUENCE).children()
        )
    )


def _read_attribute(element: Element) -> Attribute:
    parts = list(element.require(SEQUENCE).children())
    if len(parts) != 2:  # noqa: PLR2004  type and value
        raise MalformedDer("not an attribute with type and value")
    kind, value = parts
    return Attribute(
        oid=render_dotted(kind.require(OBJECT).value),
        oid_der=kind.whole,
        text=_read_text(value),
        value=value.whole,
    )


def _read_text(value: Element) -> str | None:
    reader = _TEXTS.get(value.tag)
    try:
        return reader(value.value) if reader is not None else None
    except ValueError:  # also UnicodeDecodeError
        return None


def _rewrite(attribute: Attribute) -> bytes:
    value = attribute.value
    if value[0] != BIT_STRING:
        text = "#" if attribute.text is None else attribute.text
        value = render_element(_UTF8_STRING, text.encode("utf-8"))
    return render_element(SEQUENCE, attribute.oid_der, value)
