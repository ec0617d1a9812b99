"""Every CRL that we write is parsed back equal by the library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.certificate import RevocationReason
from doorward.pki.crl import build_crl, encode_entries, sign_crl
from doorward.pki.der import (
    encode_enumerated,
    encode_extension,
    encode_integer,
    encode_sequence,
    encode_time,
)
from tests.support.certificates.issuing import toy_ca

CA = toy_ca("Property Root")
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2120, 1, 1)).map(  # noqa: DTZ001 - made aware here
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)
ENTRIES = st.lists(
    st.tuples(st.integers(1, (1 << 159) - 1), MOMENTS, st.sampled_from(RevocationReason)),
    max_size=30,
    unique_by=lambda entry: entry[0],
)


@settings(max_examples=60)
@given(ENTRIES, st.integers(0, (1 << 159) - 1), MOMENTS)
def test_a_list_comes_back_equal(entries, number, this_update):
    """Serials, dates, reasons, order, number, issuer and signature survive the way through DER."""
    next_update = this_update + timedelta(days=7)
    unsigned = build_crl(
        CA.certificate,
        encode_entries(entries),
        number=number,
        this_update=this_update,
        next_update=next_update,
    )
    crl = x509.load_der_x509_crl(sign_crl(unsigned, CA.key))
    assert crl.is_signature_valid(CA.key.public_key())
    assert (crl.last_update_utc, crl.next_update_utc) == (this_update, next_update)
    assert crl.issuer == CA.certificate.subject
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == number
    assert [(entry.serial_number, entry.revocation_date_utc, reason_of(entry)) for entry in crl] == entries


@settings(max_examples=60)
@given(ENTRIES)
def test_entries_are_those_of_the_plain_writer(entries):
    """The encoder that keeps parts of entries writes the same bytes as one that writes each value by itself."""
    assert encode_entries(entries) == [write_plainly(*entry) for entry in entries]


def write_plainly(serial: int, at: datetime, reason: RevocationReason) -> bytes:
    """Return the DER of an entry."""
    parts = [encode_integer(serial), encode_time(at)]
    if reason is not RevocationReason.UNSPECIFIED:
        parts.append(encode_sequence(encode_extension("2.5.29.21", encode_enumerated(reason.code))))
    return encode_sequence(*parts)


def reason_of(entry: x509.RevokedCertificate) -> RevocationReason:
    """The reason that an entry says; silence is unspecified."""
    for extension in entry.extensions:
        return RevocationReason(extension.value.reason.name.replace("_", "-"))
    return RevocationReason.UNSPECIFIED
