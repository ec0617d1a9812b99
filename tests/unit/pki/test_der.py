"""The DER encoder, judged by the library's parser and by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from doorward.pki import der


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, "0400"), (127, "047f"), (128, "048180"), (255, "0481ff"), (256, "04820100"), (65536, "0483010000")],
)
def test_lengths_take_the_shortest_form(size, head):
    """DER allows one form of each length."""
    encoded = der.encode_octets(bytes(size))
    assert encoded.hex().startswith(head)
    assert len(encoded) == len(bytes.fromhex(head)) + size


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (255, "020200ff"), (256, "02020100")],
)
def test_integers_are_positive_and_short(value, encoded):
    """A leading zero octet appears exactly if the sign bit would be set."""
    assert der.encode_integer(value).hex() == encoded


def test_object_identifiers_of_the_standards():
    """Arcs of one, two and three octets, and the joined first pair."""
    assert der.encode_oid("1.2.840.113549.1.1.11").hex() == "06092a864886f70d01010b"
    assert der.encode_oid("2.5.29.20").hex() == "0603551d14"
    assert der.encode_oid("2.999.1").hex() == "0603883701"


def test_the_century_decides_the_time_type():
    """UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 section 4.1.2.5)."""
    assert der.encode_time(datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)) == b"\x17\x0d491231235959Z"
    assert der.encode_time(datetime(2050, 1, 1, tzinfo=UTC)) == b"\x18\x0f20500101000000Z"


def test_an_extension_says_critical_only_if_it_is():
    """FALSE is the default and DER leaves defaults out."""
    assert der.encode_extension("2.5.29.20", b"\x02\x01\x05").hex() == "300a0603551d140403020105"
    critical = der.encode_extension("2.5.29.20", b"\x02\x01\x05", critical=True)
    assert critical.hex() == "300d0603551d140101ff0403020105"


def test_bits_enumerated_and_context_tags():
    """The rest of what a CRL and an OCSP answer need."""
    assert der.encode_bits(b"\xaa").hex() == "030200aa"
    assert der.encode_enumerated(10).hex() == "0a010a"
    assert der.encode_explicit(1, b"\x05\x00").hex() == "a1020500"
    assert der.encode_sequence(b"\x05\x00", b"\x05\x00").hex() == "300405000500"
