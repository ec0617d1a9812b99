"""Certificate revocation lists: version 2, direct, complete or one of several partitions, and deltas of both, signed by the CA itself.

They are published for other relying parties; our own door asks the inventory. The DER encoder is our own, because
the library's builder takes quadratic time (1,000,000 entries: about 10 minutes; here: 1 to 2 seconds).
Not here: which certificates are revoked, storing, serving. Indirect CRLs are not supported.
Standard: RFC 5280 section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from doorward.core.certificate import RevocationReason
from doorward.core.errors import RequestRefused
from doorward.core.ports import PrivateKey, PublicKey
from doorward.pki.der import (
    encode,
    encode_enumerated,
    encode_explicit,
    encode_extension,
    encode_integer,
    encode_sequence,
    encode_time,
)
from doorward.pki.keys import check_public_key
from doorward.pki.signing import encode_algorithm, sign_structure

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = 3600
_MOST_HOURS = 65_536
_FIRST_HOUR = (datetime(1950, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(hours=1)  # RFC 5280 section 5.1.2.6
_LAST_HOUR = (datetime(9999, 12, 31, 23, tzinfo=UTC) - _EPOCH) // timedelta(hours=1)
_INTEGER_OCTETS = 20  # RFC 5280 sections 4.1.2.2 and 5.2.3
_UTC_TIME_UNTIL = 2050  # RFC 5280 section 5.1.2.6
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_CRL_NUMBER = "2.5.29.20"
_ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
_DELTA_INDICATOR = "2.5.29.27"
_FRESHEST_CRL = "2.5.29.46"
_REASON_CODE = "2.5.29.21"
_REMOVE_FROM_CRL = 8  # RFC 5280 section 5.3.1
_ONLY_USER_CERTIFICATES = encode(0x81, b"\xff")
"""onlyContainsUserCerts: such a CRL must not be taken for one about the CA's own certificates (5.2.5)."""


class CrlEntry(NamedTuple):
    """One revoked certificate: serial, time (UTC, whole seconds count), reason. A plain tuple may be used instead."""

    serial: int
    revoked_at: datetime
    reason: RevocationReason


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedCrl:
    """The argument of `sign_crl`: the to-be-signed CRL in DER, and the public key of the key that must sign it."""

    tbs: bytes
    issuer_key: PublicKey


def build_crl(
    issuer: x509.Certificate,
    entries: Sequence[bytes],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    distribution_point: str = "",
    base_number: int | None = None,
    delta_address: str = "",
) -> UnsignedCrl:
    """Return an unsigned CRL.

    Args:
        issuer: the CA's certificate; its subject is the CRL's issuer.
        entries: as `EntryEncoder` or `encode_entries` gives them; each serial once; the order is kept.
        number: CRL number, larger than every earlier one, at most 20 octets.
        this_update: UTC.
        next_update: UTC, after `this_update`.
        distribution_point: the URL in the certificates' CRL distribution points, if the CRL is one partition of
            several and is about end entities only; empty for a complete CRL. A delta has that of its base.
        base_number: of a delta CRL: it extends every complete CRL of its scope from this number on; None for a complete one.
        delta_address: of a complete CRL: the URL of its delta; empty if it has none.

    Raises:
        RequestRefused: `crl-issuer-refused` (the certificate may not sign CRLs), `crl-refused` (dates,
            number out of range, a base with a later number, a delta that names a delta).

    Standard: RFC 5280 sections 5.1, 5.2.1, 5.2.3 to 5.2.6 and 5.3.1.
    """
    key, _ = check_public_key(issuer.public_key())
    if not 0 <= number < 1 << 8 * _INTEGER_OCTETS - 1 or this_update >= next_update:
        raise RequestRefused(
            "crl-refused", "a CRL needs a number of at most 20 octets, and a next update after this update"
        )
    if base_number is not None and (not 0 <= base_number <= number or delta_address):
        raise RequestRefused("crl-refused", "a delta CRL needs a base that is not later, and names no delta")
    fields = [
        encode_integer(1),
        encode_algorithm(key),
        issuer.subject.public_bytes(),
        encode_time(this_update),
        encode_time(next_update),
    ]
    if entries:  # without entries the field is absent (5.1.2.6)
        fields.append(encode(0x30, *entries))
    extensions = [
        encode_extension(
            _AUTHORITY_KEY_IDENTIFIER, encode_sequence(encode(0x80, _find_key_identifier(issuer)))
        ),
        encode_extension(_CRL_NUMBER, encode_integer(number)),
    ]
    if base_number is not None:
        extensions.append(encode_extension(_DELTA_INDICATOR, encode_integer(base_number), critical=True))
    if distribution_point:
        scope = encode_sequence(_encode_point(distribution_point), _ONLY_USER_CERTIFICATES)
        extensions.append(encode_extension(_ISSUING_DISTRIBUTION_POINT, scope, critical=True))
    if delta_address:
        points = encode_sequence(encode_sequence(_encode_point(delta_address)))
        extensions.append(encode_extension(_FRESHEST_CRL, points))
    fields.append(encode_explicit(0, encode_sequence(*extensions)))
    return UnsignedCrl(tbs=encode_sequence(*fields), issuer_key=key)


def sign_crl(unsigned: UnsignedCrl, issuer_key: PrivateKey) -> bytes:
    """Return the CRL in DER.

    Raises:
        IntegrityError: `issuer-key-mismatch`, `signature-broken`.
    """
    return sign_structure(unsigned.tbs, issuer_key, unsigned.issuer_key)


def _encode_point(address: str) -> bytes:
    """Return the field distributionPoint with one URL (4.2.1.13)."""
    return encode_explicit(0, encode_explicit(0, encode(0x86, address.encode("ascii"))))


def _find_key_identifier(issuer: x509.Certificate) -> bytes:
    """Return the issuer's subject key identifier; refuse an issuer that may not sign CRLs."""
    try:
        usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound as fault:
        raise RequestRefused("crl-issuer-refused", "this certificate is not a CA certificate") from fault
    if not usage.crl_sign:
        raise RequestRefused("crl-issuer-refused", "this certificate may not sign CRLs")
    return identifier.digest


def _encode_reason(reason: RevocationReason) -> bytes:
    """Return the entry's extensions; for `unspecified` the reason is left out (5.3.1)."""
    if reason is RevocationReason.UNSPECIFIED:
        return b""
    return encode_sequence(encode_extension(_REASON_CODE, encode_enumerated(reason.code)))


class EntryEncoder:
    """Encodes the entries of CRLs, which takes most of the time of a large one.

    A CRL has few hours of revocation, few reasons and few lengths of serial numbers, so their DER is kept, in bounded
    memory: 65,536 hours (seven years), and the 3,600 seconds of an hour for each reason.
    """

    def __init__(self) -> None:
        self._hours: dict[int, bytes] = {}
        self._reasons: dict[RevocationReason, tuple[dict[int, bytes], list[bytes]]] = {}

    def encode(self, serial: int, revoked_at: int, reason: RevocationReason) -> bytes:
        """Return one entry in DER.

        Args:
            serial: at most 20 octets.
            revoked_at: whole seconds since 1970, UTC, in the years 1950 to 9999.
            reason: `unspecified` is left out (RFC 5280 section 5.3.1).

        Raises:
            RequestRefused: `crl-refused`.
        """
        size = serial.bit_length() // 8 + 1
        if serial < 0 or size > _INTEGER_OCTETS:
            raise RequestRefused("crl-refused", "a serial number must be positive and have at most 20 octets")
        number, second = divmod(revoked_at, _HOUR)
        hour = self._hours.get(number) or self._encode_hour(number)
        heads, tails = self._reasons.get(reason) or self._encode_tails(reason)
        tail = tails[second]
        length = 2 + size + len(hour) + len(tail)  # at most 2 + 20 + 17 + 14: one octet
        head = heads.get(length << 5 | size)
        if head is None:
            head = heads[length << 5 | size] = b"\x30%c\x02%c" % (length, size)
        return b"".join((head, serial.to_bytes(size), hour, tail))

    def _encode_hour(self, number: int) -> bytes:
        """Return the beginning of a time, up to its hour."""
        if not _FIRST_HOUR <= number <= _LAST_HOUR:
            raise RequestRefused("crl-refused", "a revocation must be in the years 1950 to 9999")
        if len(self._hours) >= _MOST_HOURS:
            self._hours.clear()
        moment = _EPOCH + timedelta(hours=number)
        begin = b"\x17\x0d" if moment.year < _UTC_TIME_UNTIL else b"\x18\x0f"
        text = encode_time(moment)[len(begin) : -len(b"0000Z")]
        self._hours[number] = begin + text
        return self._hours[number]

    def _encode_tails(self, reason: RevocationReason) -> tuple[dict[int, bytes], list[bytes]]:
        """Return the heads of a reason's entries, none yet, and what follows the hour for each second of it."""
        extensions = _encode_reason(reason)
        tails = [b"%02d%02dZ%b" % (*divmod(second, 60), extensions) for second in range(_HOUR)]
        self._reasons[reason] = ({}, tails)
        return self._reasons[reason]


def encode_entries(entries: Iterable[tuple[int, datetime, RevocationReason]]) -> list[bytes]:
    """Return the entries of a short CRL in DER; see `CrlEntry`.

    Raises:
        RequestRefused: `crl-refused`.
    """
    encoder = EntryEncoder()
    second = timedelta(seconds=1)
    return [encoder.encode(serial, (at - _EPOCH) // second, reason) for serial, at, reason in entries]


def encode_removal(serial: int, at: datetime) -> bytes:
    """Return an entry of a delta CRL in DER that ends a hold: `removeFromCRL`.

    Args:
        serial: at most 20 octets.
        at: UTC; the standard gives it no meaning, so it is thisUpdate of the delta.

    Standard: RFC 5280 sections 5.2.4 and 5.3.1.
    """
    reason = encode_extension(_REASON_CODE, encode_enumerated(_REMOVE_FROM_CRL))
    return encode_sequence(encode_integer(serial), encode_time(at), encode_sequence(reason))
