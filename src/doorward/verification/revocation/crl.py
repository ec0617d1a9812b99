"""Parses one CRL: total, nothing is trusted, and look-ups are fast in a CRL of any length.

The fields that are judged are parsed strictly. The rest is skipped, so that one odd entry does not make the other entries unusable:
1. The library parses the outline (issuer, times, algorithm, scope) from a copy without the rest.
2. A CRL is unusable as a whole if it, or one of its entries, has an unknown critical extension (RFC 5280 sections 5.2
   and 5.3), if its number or next update is missing, or if its scope does not parse. Unknown extensions that are not
   critical are skipped, and so are the times in the entries.
3. Of an entry, the serial number and the issuer are read. An entry with an unknown or malformed reason is revoked as
   with `unspecified`. Invalidity dates and hold instructions change nothing, so they count as known extensions, with
   any value, critical or not.
4. `removeFromCRL` has a meaning only in a delta CRL (5.3.1); in a complete CRL the certificate is revoked.

Not here: whether the CRL is signed, current, and about the certificate (crl_judging).
Standard: RFC 5280 section 5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from cryptography import x509

from doorward.core.errors import MalformedInput
from doorward.verification.path.names import CanonicalName, canonicalise_name
from doorward.verification.path.signatures import SignedContent
from doorward.verification.revocation.der import (
    ENUMERATED,
    INTEGER,
    OBJECT,
    OCTET_STRING,
    SEQUENCE,
    Element,
    Extension,
    MalformedDer,
    read_bounds,
    read_extensions,
    read_whole,
    render_dotted,
    render_element,
)
from doorward.verification.revocation.signed import parse_canonical_name, read_outline, read_signed

CRL_LIMIT = 100 * 1024 * 1024
"""Bytes. A CRL with a million entries and reasons has about 40 MB."""

ALL_REASONS = frozenset(x509.ReasonFlags) - {x509.ReasonFlags.unspecified, x509.ReasonFlags.remove_from_crl}

_ISSUING_POINT = bytes.fromhex("551d1c")
_DELTA_BASE = bytes.fromhex("551d1b")
_NUMBER = bytes.fromhex("551d14")
_AUTHORITY_KEY = bytes.fromhex("551d23")
_REASON = bytes.fromhex("551d15")
_HOLD_INSTRUCTION = bytes.fromhex("551d17")
_INVALIDITY_DATE = bytes.fromhex("551d18")
_CERTIFICATE_ISSUER = bytes.fromhex("551d1d")
_PROCESSED = frozenset({_ISSUING_POINT, _DELTA_BASE, _AUTHORITY_KEY})
_ENTRY_PROCESSED = frozenset({_REASON, _CERTIFICATE_ISSUER, _HOLD_INSTRUCTION, _INVALIDITY_DATE})

_TIMES = (0x17, 0x18)
_DIRECTORY_NAME, _KEY_ID = 0xA4, 0x80
_EXPLICIT_0 = 0xA0
_REASONS = {
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    8: x509.ReasonFlags.remove_from_crl,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}
"""CRLReason (5.3.1); every other number counts as unspecified."""
_WEIGHTS = {x509.ReasonFlags.remove_from_crl: 0, x509.ReasonFlags.certificate_hold: 1}
_REMEMBERED = 4096
"""Cached extensions of entries: most entries of a CRL have the same extensions."""

PointNames = frozenset[tuple[str, object]]
"""General names of a distribution point: (kind, value); directory names in canonical form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The certificates that a CRL is about: its issuingDistributionPoint (5.2.5). The default is all certificates.

    `points` is None if no name is given; `reasons` is None if all reasons are covered.
    """

    points: PointNames | None = None
    only_users: bool = False
    only_authorities: bool = False
    only_attributes: bool = False
    reasons: frozenset[x509.ReasonFlags] | None = None
    indirect: bool = False


Entries = Mapping[int, x509.ReasonFlags | None]
"""Serial number -> reason; None if no reason is given."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crl:
    """The content of a CRL. `base` is the BaseCRLNumber of a delta CRL, None for a complete CRL.

    `entries` are those of the CRL's own issuer, `others` those of each other issuer (indirect CRLs).
    """

    signed: SignedContent
    sha256: str
    issuer: CanonicalName
    this_update: datetime
    next_update: datetime
    number: int
    base: int | None
    authority_key_id: bytes | None
    scope: Scope
    entries: Entries
    others: Mapping[CanonicalName, Entries]

    def find(self, issuer: CanonicalName, serial: int) -> tuple[bool, x509.ReasonFlags | None]:
        """Return whether a certificate is listed, and with which reason."""
        listed = self.entries if issuer == self.issuer else self.others.get(issuer, {})
        return serial in listed, listed.get(serial)


def parse_crl(der: bytes) -> Crl:
    """Return the content of a CRL.

    Args:
        der: one CRL in DER, at most 100 MB, nothing after it.

    Raises:
        MalformedInput: `crl-too-large`, `crl-malformed`, or `crl-unusable` if the standard forbids using it.

    Standard: RFC 5280 sections 5.1 to 5.3.
    """
    return _parse(der, with_entries=True)


def parse_crl_outline(der: bytes) -> Crl:
    """Return a CRL without its entries, which take seconds if there are many; `find` finds nothing in it."""
    return _parse(der, with_entries=False)


def _parse(der: bytes, *, with_entries: bool) -> Crl:
    if len(der) > CRL_LIMIT:
        raise MalformedInput("crl-too-large", f"a CRL may have at most {CRL_LIMIT} bytes", size=len(der))
    try:
        crl, listed = _read_outline(der)
        return _read_entries(crl, listed) if with_entries and listed is not None else crl
    except MalformedInput:
        raise
    except Exception as fault:  # a parser is total, whatever the library raises
        raise MalformedInput("crl-malformed", "this is not an X.509 CRL") from fault


def _read_outline(der: bytes) -> tuple[Crl, Element | None]:
    """Steps 1 and 2: return the CRL without its entries, and the element that contains the entries."""
    content, algorithm, signature = read_whole(der).require(SEQUENCE).children()
    parts = list(content.require(SEQUENCE).children())
    if parts[0].tag == INTEGER:
        parts.pop(0)
    inner, issuer, *rest = parts
    times = [rest.pop(0) for _ in range(2) if rest and rest[0].tag in _TIMES]
    listed = rest.pop(0) if rest and rest[0].tag == SEQUENCE else None
    extensions = read_extensions(rest.pop(0).require(_EXPLICIT_0).only_child()) if rest else ()
    if rest or inner.whole != algorithm.whole:
        raise MalformedDer("unknown fields, or two different algorithms")
    found = {one.oid: one for one in extensions}
    if len(found) != len(extensions):
        raise MalformedDer("two extensions of one kind")
    _check_critical(extensions, _PROCESSED, "the CRL")
    number = _read_number(found.get(_NUMBER))
    if number is None or len(times) < 2:  # noqa: PLR2004  this update and next update
        raise MalformedInput("crl-unusable", "the CRL has no number, or no next update")
    outline = read_outline(
        algorithm=algorithm.whole,
        issuer=issuer.whole,
        times=b"".join(one.whole for one in times),
        extensions=_render(found[_ISSUING_POINT]) if _ISSUING_POINT in found else b"",
    )
    next_update = outline.next_update_utc
    assert next_update is not None
    base = _read_base(found.get(_DELTA_BASE))
    crl = Crl(
        signed=read_signed(content, outline, signature),
        sha256=hashlib.sha256(der).hexdigest(),
        issuer=parse_canonical_name(issuer.whole),
        this_update=outline.last_update_utc,
        next_update=next_update,
        number=number,
        base=base,
        authority_key_id=_read_key_id(found.get(_AUTHORITY_KEY)),
        scope=_read_scope(outline) if _ISSUING_POINT in found else Scope(),
        entries=MappingProxyType({}),
        others=MappingProxyType({}),
    )
    return crl, listed


def _check_critical(extensions: tuple[Extension, ...], known: frozenset[bytes], what: str) -> None:
    for one in extensions:
        if one.critical and one.oid not in known:
            name = render_dotted(one.oid)
            raise MalformedInput("crl-unusable", f"{what} has an unknown critical extension: {name}")


def _render(extension: Extension) -> bytes:
    return render_element(
        SEQUENCE, render_element(OBJECT, extension.oid), render_element(OCTET_STRING, extension.value)
    )


def _read_number(extension: Extension | None) -> int | None:
    """Return the CRL number; None if it is missing or malformed."""
    try:
        return None if extension is None else read_whole(extension.value).require(INTEGER).read_integer()
    except MalformedDer:
        return None


def _read_base(extension: Extension | None) -> int | None:
    """Return the BaseCRLNumber. If it is malformed the CRL is malformed, because it tells a delta from a complete CRL."""
    return None if extension is None else read_whole(extension.value).require(INTEGER).read_integer()


def _read_key_id(extension: Extension | None) -> bytes | None:
    """Return the authority key identifier, None if it is malformed: it only connects a delta with its complete CRL."""
    try:
        parts = read_whole(extension.value).require(SEQUENCE).children() if extension is not None else ()
        return next((one.value for one in parts if one.tag == _KEY_ID), None)
    except MalformedDer:
        return None


def _read_scope(outline: x509.CertificateRevocationList) -> Scope:
    point = outline.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    return Scope(
        points=read_point_names(point.full_name, point.relative_name, (outline.issuer,)),
        only_users=point.only_contains_user_certs,
        only_authorities=point.only_contains_ca_certs,
        only_attributes=point.only_contains_attribute_certs,
        reasons=point.only_some_reasons,
        indirect=point.indirect_crl,
    )


def _read_entries(crl: Crl, listed: Element) -> Crl:
    """Steps 3 and 4. Each entry belongs to the issuer that was named last before it (5.3.3)."""
    own: dict[int, x509.ReasonFlags | None] = {}
    others: dict[CanonicalName, dict[int, x509.ReasonFlags | None]] = {}
    data, at, end = listed.data, listed.content, listed.end
    entries, meanings = own, _Meanings(delta=crl.base is not None)
    while at < end:
        tag, content, stop = read_bounds(data, at, end)
        kind, begin, after = read_bounds(data, content, stop)
        if tag != SEQUENCE or kind != INTEGER or begin == after:
            raise MalformedDer("an entry without a serial number")
        serial = int.from_bytes(data[begin:after], signed=True)
        at, reason = stop, None
        if after < stop:
            _, _, after = read_bounds(data, after, stop)  # the date of the revocation, which is ignored
        if after < stop:
            reason, issuer = meanings.of(data[after:stop])
            if issuer is not None:
                entries = own if issuer == crl.issuer else others.setdefault(issuer, {})
        if serial in entries:
            reason = max(entries[serial], reason, key=_weight)
        entries[serial] = reason
    return replace(crl, entries=own, others=others)


_Meaning = tuple[x509.ReasonFlags | None, CanonicalName | None]


class _Meanings:
    """The meaning of an entry's extensions: the reason, and the new issuer if one is named; with a cache."""

    def __init__(self, *, delta: bool) -> None:
        self._delta = delta
        self._known: dict[bytes, _Meaning] = {}

    def of(self, extensions: bytes) -> _Meaning:
        """Return the meaning of these extensions, in DER as in the entry."""
        known = self._known.get(extensions)
        if known is None:
            known = self._read(read_extensions(read_whole(extensions)))
            if len(self._known) < _REMEMBERED:
                self._known[extensions] = known
        return known

    def _read(self, extensions: tuple[Extension, ...]) -> _Meaning:
        _check_critical(extensions, _ENTRY_PROCESSED, "an entry of the CRL")
        reasons = [read_reason(one.value) for one in extensions if one.oid == _REASON]
        issuers = [_read_issuer(one.value) for one in extensions if one.oid == _CERTIFICATE_ISSUER]
        if len(issuers) > 1:
            raise MalformedDer("an entry with two issuers")
        reason = max(reasons, key=_weight, default=None)
        if reason is x509.ReasonFlags.remove_from_crl and not self._delta:
            reason = x509.ReasonFlags.unspecified
        return reason, issuers[0] if issuers else None


def read_reason(value: bytes) -> x509.ReasonFlags:
    """Return the reason in a CRLReason in DER; unspecified if it is unknown or malformed."""
    try:
        number = read_whole(value).require(ENUMERATED).read_integer()
    except MalformedDer:
        return x509.ReasonFlags.unspecified
    return _REASONS.get(number, x509.ReasonFlags.unspecified)


def _read_issuer(value: bytes) -> CanonicalName:
    names = [one for one in read_whole(value).require(SEQUENCE).children() if one.tag == _DIRECTORY_NAME]
    if not names:
        raise MalformedDer("an entry with an issuer that is not a directory name")
    return parse_canonical_name(names[0].only_child().whole)


def _weight(reason: x509.ReasonFlags | None) -> int:
    """Rank reasons, for a CRL that lists a certificate twice: final before on hold before removeFromCRL."""
    return 2 if reason is None else _WEIGHTS.get(reason, 2)


def read_point_names(
    full: list[x509.GeneralName] | None,
    relative: x509.RelativeDistinguishedName | None,
    issuers: tuple[x509.Name, ...],
) -> PointNames | None:
    """Return the names of a distribution point; a relative name is completed with each issuer (4.2.1.13)."""
    if relative is not None:
        whole = [x509.Name([*issuer.rdns, relative]) for issuer in issuers]
        return frozenset(("DirectoryName", canonicalise_name(name)) for name in whole)
    return None if full is None else frozenset(_read_point_name(name) for name in full)


def _read_point_name(name: x509.GeneralName) -> tuple[str, object]:
    if isinstance(name, x509.DirectoryName):
        return "DirectoryName", canonicalise_name(name.value)
    return type(name).__name__, name.value
