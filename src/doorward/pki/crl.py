"""Certificate revocation lists: version 2, direct, complete or one of several partitions, signed by the CA itself.

They are published for other relying parties; our own door asks the inventory. The DER encoder is our own, because
the library's builder takes quadratic time (1,000,000 entries: about 10 minutes; here: 1 to 2 seconds).
Not here: which certificates are revoked, storing, serving. Delta and indirect CRLs are not supported.
Standard: RFC 5280 section 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
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
    encode_generalized_time,
    encode_integer,
    encode_sequence,
    encode_time,
)
from doorward.pki.keys import check_public_key
from doorward.pki.signing import encode_algorithm, sign_structure

_INTEGER_OCTETS = 20  # RFC 5280 sections 4.1.2.2 and 5.2.3
_UTC_TIME_UNTIL = 2050  # RFC 5280 section 5.1.2.6
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_CRL_NUMBER = "2.5.29.20"
_ISSUING_DISTRIBUTION_POINT = "2.5.29.28"
_REASON_CODE = "2.5.29.21"
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
    entries: Iterable[tuple[int, datetime, RevocationReason]],
    *,
    number: int,
    this_update: datetime,
    next_update: datetime,
    distribution_point: str = "",
) -> UnsignedCrl:
    """Return an unsigned CRL.

    Args:
        issuer: the CA's certificate; its subject is the CRL's issuer.
        entries: see `CrlEntry`; each serial once; the order is kept.
        number: CRL number, larger than every earlier one, at most 20 octets.
        this_update: UTC.
        next_update: UTC, after `this_update`.
        distribution_point: the URL in the certificates' CRL distribution points, if the CRL is one partition of
            several and is about end entities only; empty for a complete CRL.

    Raises:
        RequestRefused: `crl-issuer-refused` (the certificate may not sign CRLs), `crl-refused` (dates,
            number or a serial out of range).

    Standard: RFC 5280 sections 5.1, 5.2.1, 5.2.3, 5.2.5 and 5.3.1.
    """
    key, _ = check_public_key(issuer.public_key())
    if not 0 <= number < 1 << 8 * _INTEGER_OCTETS - 1 or this_update >= next_update:
        raise RequestRefused(
            "crl-refused", "a CRL needs a number of at most 20 octets, and a next update after this update"
        )
    fields = [
        encode_integer(1),
        encode_algorithm(key),
        issuer.subject.public_bytes(),
        encode_time(this_update),
        encode_time(next_update),
    ]
    listed = _encode_entries(entries)
    if listed:  # without entries the field is absent (5.1.2.6)
        fields.append(encode(0x30, listed))
    extensions = [
        encode_extension(
            _AUTHORITY_KEY_IDENTIFIER, encode_sequence(encode(0x80, _find_key_identifier(issuer)))
        ),
        encode_extension(_CRL_NUMBER, encode_integer(number)),
    ]
    if distribution_point:
        name = encode(0x86, distribution_point.encode("ascii"))
        point = encode_explicit(0, encode_explicit(0, name))
        scope = encode_sequence(point, _ONLY_USER_CERTIFICATES)
        extensions.append(encode_extension(_ISSUING_DISTRIBUTION_POINT, scope, critical=True))
    fields.append(encode_explicit(0, encode_sequence(*extensions)))
    return UnsignedCrl(tbs=encode_sequence(*fields), issuer_key=key)


def sign_crl(unsigned: UnsignedCrl, issuer_key: PrivateKey) -> bytes:
    """Return the CRL in DER.

    Raises:
        IntegrityError: `issuer-key-mismatch`, `signature-broken`.
    """
    return sign_structure(unsigned.tbs, issuer_key, unsigned.issuer_key)


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


def _encode_entries(entries: Iterable[tuple[int, datetime, RevocationReason]]) -> bytes:
    """Return the entries, joined. The loop is written for speed: it takes nearly all the time of a large CRL."""
    reasons = {reason.value: _encode_reason(reason) for reason in RevocationReason}
    two = [b"%02d" % number for number in range(100)]  # joining these is twice as fast as formatting
    encoded: list[bytes] = []
    for serial, at, reason in entries:
        size = serial.bit_length() // 8 + 1
        if serial < 0 or size > _INTEGER_OCTETS:
            raise RequestRefused("crl-refused", "a serial number must be positive and have at most 20 octets")
        if at.year < _UTC_TIME_UNTIL:
            day = (b"\x17\x0d", two[at.year % 100], two[at.month], two[at.day])
            time = b"".join((*day, two[at.hour], two[at.minute], two[at.second], b"Z"))
        else:
            time = encode_generalized_time(at)
        extensions = reasons[reason.value]
        # Both lengths fit one octet: 2 + 20 + 17 + 14 is below 128.
        length = 2 + size + len(time) + len(extensions)
        encoded.append(b"\x30%c\x02%c%b%b%b" % (length, size, serial.to_bytes(size), time, extensions))
    return b"".join(encoded)
