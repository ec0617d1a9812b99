"""What is not judged is skipped: one odd entry, or one odd part, does not affect the others."""

from __future__ import annotations

from functools import partial

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from doorward.core.errors import MalformedInput
from doorward.pki.der import (
    encode_enumerated,
    encode_extension,
    encode_integer,
    encode_octets,
    encode_oid,
    encode_sequence,
)
from doorward.verification.path.signatures import Strength, is_signature_valid
from doorward.verification.revocation import crl as module
from doorward.verification.revocation.crl import parse_crl, parse_crl_outline
from tests.support import refusals
from tests.support.certificates.der import tlv
from tests.support.certificates.issuing import certify, rsa_key
from tests.support.certificates.status import HOUR
from tests.support.certificates.status_der import (
    NULL,
    STRANGE,
    ecdsa_with_null,
    edwards,
    list_bytes,
    listed,
    odd,
    pss,
)
from tests.support.ports import NOON

ROOT = certify("Root")
OTHER = certify("Other")
NAMED = ROOT.parsed.subject
UNSPECIFIED = x509.ReasonFlags.unspecified
HOLD, REMOVE = encode_enumerated(6), encode_enumerated(8)
DELTA = encode_extension("2.5.29.27", encode_integer(0), critical=True)
INVALIDITY, HOLD_INSTRUCTION = "2.5.29.24", "2.5.29.23"

code_of = partial(refusals.code_of, parse_crl, kind=MalformedInput)


def issuer_of(*names: bytes, critical: bool = True) -> bytes:
    """The extension certificateIssuer."""
    return encode_extension("2.5.29.29", encode_sequence(*names), critical=critical)


def directory(name: bytes) -> bytes:
    """A directoryName."""
    return tlv(0xA4, name)


@pytest.mark.parametrize(
    "entry",
    [
        listed(9, reason=encode_enumerated(11)),
        listed(9, reason=encode_enumerated(7)),
        listed(9, reason=encode_integer(1)),
        listed(9, reason=tlv(0x0A)),
        listed(9, reason=b""),
        listed(9, reason=encode_enumerated(11), critical=True),
        listed(9, encode_extension(INVALIDITY, b"yesterday")),
        listed(9, encode_extension(INVALIDITY, NULL, critical=True)),
        listed(9, encode_extension(HOLD_INSTRUCTION, NULL, critical=True)),
        listed(9, odd(critical=False)),
        listed(9, date=tlv(0x17, b"2611231100+0100")),
        listed(9, date=tlv(0x04, b"whenever")),
        encode_sequence(encode_integer(9)),
        listed(-9 & 0xFFFF, date=NULL),
    ],
)
def test_an_odd_entry_is_one_entry(entry):
    """RFC 5280 sections 5.3.1 and 5.3.2: it is listed itself, and the others are as they are."""
    crl = parse_crl(list_bytes(ROOT, listed(7, reason=encode_enumerated(1)), entry, listed(8)))
    assert crl.find(NAMED, 7) == (True, x509.ReasonFlags.key_compromise)
    assert crl.find(NAMED, 8) == (True, None)
    assert crl.find(NAMED, 6) == (False, None)
    assert len(crl.entries) == 3
    assert crl.find(NAMED, 9)[1] in {None, UNSPECIFIED}
    assert is_signature_valid(ROOT.key.public_key(), crl.signed, Strength())


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (listed(9, odd(critical=True)), "crl-unusable"),
        (encode_sequence(), "crl-malformed"),
        (encode_sequence(NULL), "crl-malformed"),
        (encode_sequence(tlv(0x02)), "crl-malformed"),
        (NULL, "crl-malformed"),
        (encode_sequence(encode_integer(9), NULL, NULL), "crl-malformed"),
        (encode_sequence(encode_integer(9), NULL, encode_sequence(), NULL), "crl-malformed"),
        (listed(9, encode_sequence(encode_oid(STRANGE))), "crl-malformed"),
        (listed(9, encode_sequence(encode_oid(STRANGE), tlv(0x01), encode_octets(b""))), "crl-malformed"),
        (listed(9, encode_sequence(encode_oid(STRANGE), NULL, encode_octets(b""))), "crl-malformed"),
        (listed(9, issuer_of(tlv(0x82, b"a.example"))), "crl-malformed"),
        (listed(9, issuer_of(directory(tlv(0x30, NULL)))), "crl-malformed"),
        (listed(9, *[issuer_of(directory(OTHER.certificate.subject.public_bytes()))] * 2), "crl-malformed"),
    ],
)
def test_the_issuer_of_an_entry_must_be_known(entry, code):
    """RFC 5280 section 5.3: an entry that cannot be processed makes the whole CRL unusable."""
    assert code_of(list_bytes(ROOT, listed(7), entry)) == code


def test_issuers_of_entries_are_compared_without_case():
    """RFC 5280 sections 5.3.3 and 7.1: white space, case and the type of string are not the name."""
    written = encode_sequence(tlv(0x31, encode_sequence(encode_oid("2.5.4.3"), tlv(0x13, b"oTHER"))))
    crl = parse_crl(list_bytes(ROOT, listed(9, issuer_of(tlv(0x82, b"a"), directory(written))), listed(8)))
    assert crl.find(OTHER.parsed.subject, 9) == crl.find(OTHER.parsed.subject, 8) == (True, None)
    assert crl.find(NAMED, 9) == (False, None)


def test_only_a_delta_takes_from_a_list():
    """RFC 5280 section 5.3.1: `removeFromCRL` appears in delta CRLs only; a complete list that says it lists."""
    assert parse_crl(list_bytes(ROOT, listed(7, reason=REMOVE))).find(NAMED, 7) == (True, UNSPECIFIED)
    delta = parse_crl(list_bytes(ROOT, listed(7, reason=REMOVE), stated=[DELTA]))
    assert delta.find(NAMED, 7) == (True, x509.ReasonFlags.remove_from_crl)


@pytest.mark.parametrize("turn", [1, -1])
def test_of_two_entries_of_one_certificate_the_worse_counts(turn):
    """Also of two reasons of one entry."""
    entries = [listed(7, reason=encode_enumerated(4)), listed(7, reason=HOLD), listed(7, reason=REMOVE)][
        ::turn
    ]
    assert (
        parse_crl(list_bytes(ROOT, *entries, stated=[DELTA])).find(NAMED, 7)[1] is x509.ReasonFlags.superseded
    )
    two = [encode_extension("2.5.29.21", one) for one in (REMOVE, HOLD)][::turn]
    crl = parse_crl(list_bytes(ROOT, listed(7, *two), stated=[DELTA]))
    assert crl.find(NAMED, 7)[1] is x509.ReasonFlags.certificate_hold


@pytest.mark.parametrize(
    "stated",
    [
        odd(critical=False),
        encode_extension("2.5.29.46", b"no freshest CRL"),
        encode_extension("1.3.6.1.5.5.7.1.1", NULL),
        encode_extension("2.5.29.35", NULL),
        encode_extension("2.5.29.35", encode_sequence(tlv(0x82, b"\x01"))),
        encode_extension("2.5.29.35", encode_sequence(), critical=True),
    ],
)
def test_odd_extensions_that_decide_nothing(stated):
    """RFC 5280 section 5.2: what is not critical and not known may say anything; a key identifier finds a delta, no more."""
    crl = parse_crl(list_bytes(ROOT, listed(7), stated=[stated]))
    assert (crl.find(NAMED, 7), crl.authority_key_id) == ((True, None), None)
    keyed = encode_extension("2.5.29.35", encode_sequence(tlv(0x80, b"key")))
    assert parse_crl(list_bytes(ROOT, stated=[keyed])).authority_key_id == b"key"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"stated": [odd(critical=True)]}, "crl-unusable"),
        ({"stated": [encode_extension("2.5.29.46", b"", critical=True)]}, "crl-unusable"),
        ({"number": None, "stated": [encode_extension("2.5.29.20", NULL)]}, "crl-unusable"),
        ({"number": None}, "crl-unusable"),
        ({"stated": [encode_extension("2.5.29.27", NULL)]}, "crl-malformed"),
        ({"stated": [encode_extension("2.5.29.28", NULL)]}, "crl-malformed"),
        ({"stated": [odd(critical=False)] * 2}, "crl-malformed"),
        ({"more": NULL}, "crl-malformed"),
        ({"outer": encode_sequence(encode_oid("1.2.840.10045.4.3.3"))}, "crl-malformed"),
        ({"signature": tlv(0x03, b"\x01\x00")}, "crl-malformed"),
        ({"issuer_name": tlv(0x30, NULL)}, "crl-malformed"),
    ],
)
def test_what_decides_must_be_read(options, code):
    """RFC 5280 sections 5.1.1.2, 5.2, 5.2.3 to 5.2.5: scope, base, issuer, algorithm, number, what is critical."""
    assert code_of(list_bytes(ROOT, listed(7), **options)) == code


@pytest.mark.parametrize(
    ("make", "sign"),
    [
        (rsa_key, lambda key: pss(key, "2.16.840.1.101.3.4.2.1", 32)),
        (lambda: ec.generate_private_key(ec.SECP256R1()), ecdsa_with_null),
        (ed25519.Ed25519PrivateKey.generate, edwards),
    ],
    ids=["pss", "null", "ed25519"],
)
def test_crls_may_have_every_strong_signature(make, sign):
    """RFC 4055 section 3.1, RFC 5758 section 3.2 with the parameters that Java adds, RFC 8410."""
    key = make()
    crl = parse_crl(list_bytes(certify("Root", key=key), listed(7), by=sign(key)))
    assert is_signature_valid(key.public_key(), crl.signed, Strength())
    assert not is_signature_valid(ROOT.key.public_key(), crl.signed, Strength())


def test_a_list_of_version_1_has_no_number():
    """RFC 5280 section 5.1.2.1: extensions, and so the number, need version 2."""
    assert code_of(list_bytes(ROOT, version=b"", number=None)) == "crl-unusable"


def test_the_outline_has_no_entries():
    """It is for the comparison with a newer CRL, and fast for a CRL of any length."""
    der = list_bytes(ROOT, listed(7), number=5)
    outline = parse_crl_outline(der)
    assert (outline.number, outline.issuer, outline.find(NAMED, 7)) == (5, NAMED, (False, None))
    assert (outline.this_update, outline.next_update) == (NOON - HOUR, NOON + HOUR)
    assert outline.sha256 == parse_crl(der).sha256


def test_many_ways_to_write_extensions_are_read(monkeypatch):
    """The cache of extensions is limited; others are parsed each time."""
    monkeypatch.setattr(module, "_REMEMBERED", 1)
    entries = [listed(one, reason=encode_enumerated(one)) for one in (1, 1, 2, 2, 3)]
    crl = parse_crl(list_bytes(ROOT, *entries))
    assert [crl.find(NAMED, one)[1].value for one in (1, 2, 3)] == [
        "keyCompromise",
        "cACompromise",
        "affiliationChanged",
    ]


def test_a_scope_that_is_not_critical_counts():
    """RFC 5280 section 5.2.5 requires critical; without it the scope still limits the CRL."""
    scope = encode_extension("2.5.29.28", encode_sequence(tlv(0x81, b"\xff")))
    assert parse_crl(list_bytes(ROOT, stated=[scope])).scope.only_users


def test_the_serial_numbers_of_entries_have_any_length_and_sign():
    """RFC 5280 section 4.1.2.2: users must handle serial numbers that break the rule for issuers."""
    long = encode_sequence(tlv(0x02, b"\x01" * 300), NULL)
    below = encode_sequence(tlv(0x02, b"\xff"), NULL)
    crl = parse_crl(list_bytes(ROOT, long, below))
    assert set(crl.entries) == {int.from_bytes(b"\x01" * 300), -1}
