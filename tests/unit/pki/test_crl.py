"""CRLs, read back by the library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from doorward.core.certificate import RevocationReason
from doorward.core.errors import IntegrityError, RequestRefused
from doorward.core.ports import KeyKind
from doorward.pki.crl import CrlEntry, EntryEncoder, build_crl, encode_entries, encode_removal, sign_crl
from tests.support.certificates.issuing import EVERY_EXTENSION, cached_key, certify, toy_ca
from tests.support.ports import NOON
from tests.support.refusals import refused

CA = toy_ca("Crl Root")
WEEK = NOON + timedelta(days=7)


def make(entries=(), *, ca=CA, number=1, this_update=NOON, next_update=WEEK, **options):
    """A signed CRL, parsed by the library."""
    unsigned = build_crl(
        ca.certificate,
        encode_entries(entries),
        number=number,
        this_update=this_update,
        next_update=next_update,
        **options,
    )
    return x509.load_der_x509_crl(sign_crl(unsigned, ca.key))


def test_an_empty_list_is_a_list():
    """No entries at all: the sequence is absent, and the list still verifies."""
    crl = make()
    assert len(crl) == 0
    assert crl.is_signature_valid(CA.key.public_key())
    assert crl.issuer == CA.certificate.subject


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_entries_come_back_with_time_and_reason(reason):
    """Every reason is written; unspecified is written by leaving it out."""
    at = NOON - timedelta(days=3, seconds=7)
    [entry] = make([CrlEntry(serial=1 << 126, revoked_at=at, reason=reason)])
    assert entry.serial_number == 1 << 126
    assert entry.revocation_date_utc == at
    if reason is RevocationReason.UNSPECIFIED:
        assert len(entry.extensions) == 0
    else:
        written = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        assert written.name.replace("_", "-") == reason.value


def test_dates_and_number_are_those_given():
    """thisUpdate, nextUpdate and the CRL number come back; 2050 changes the time type."""
    late = datetime(2050, 2, 3, 4, 5, 6, tzinfo=UTC)
    entry = CrlEntry(serial=1, revoked_at=late, reason=RevocationReason.SUPERSEDED)
    crl = make([entry], number=(1 << 159) - 1, next_update=late)
    assert (crl.last_update_utc, crl.next_update_utc) == (NOON, late)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == (1 << 159) - 1
    assert next(iter(crl)).revocation_date_utc == late


def test_the_issuer_is_found_by_its_key():
    """The authority key identifier is the CA's subject key identifier."""
    authority = make().extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    own = CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert authority.key_identifier == own.digest


def test_a_shard_names_its_distribution_point():
    """The scope is a critical extension, so a partition is never taken for the complete CRL; a complete CRL has none."""
    url = "http://pki.corp.example/crl/1/7.crl"
    extension = make(distribution_point=url).extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    assert extension.critical
    assert [name.value for name in extension.value.full_name] == [url]
    assert extension.value.only_contains_user_certs  # so that it is not taken for a CRL about CA certificates
    assert not extension.value.only_contains_ca_certs
    assert not extension.value.indirect_crl
    with pytest.raises(x509.ExtensionNotFound):
        make().extensions.get_extension_for_class(x509.IssuingDistributionPoint)


@pytest.mark.parametrize("kind", [KeyKind.P384, KeyKind.ED25519, KeyKind.RSA2048])
def test_every_kind_of_ca_key_signs_lists(kind):
    """The signature verifies with the CA's key."""
    ca = toy_ca(key_kind=kind)
    assert make(ca=ca).is_signature_valid(ca.key.public_key())


@pytest.mark.parametrize("size", [1, 127, 128, 255, 1 << 16, (1 << 159) - 1])
def test_serials_of_all_lengths(size):
    """From one octet to twenty."""
    entry = CrlEntry(serial=size, revoked_at=NOON, reason=RevocationReason.UNSPECIFIED)
    assert make([entry]).get_revoked_certificate_by_serial_number(size) is not None


@pytest.mark.parametrize("serial", [-1, 1 << 159, 1 << 400])
def test_impossible_serials_are_refused(serial):
    """Negative or longer than twenty octets: the inventory is wrong, and no list is made of it."""
    with refused(RequestRefused, "crl-refused"):
        make([CrlEntry(serial=serial, revoked_at=NOON, reason=RevocationReason.UNSPECIFIED)])


@pytest.mark.parametrize("serial", [-1, 1 << 159, 1 << 400])
def test_impossible_serials_are_refused_beside_good_ones(serial):
    """An encoder that has the parts of such an entry already refuses it all the same."""
    encoder = EntryEncoder()
    for good in (1, (1 << 159) - 1):
        encoder.encode(good, 0, RevocationReason.SUPERSEDED)
    with refused(RequestRefused, "crl-refused"):
        encoder.encode(serial, 0, RevocationReason.SUPERSEDED)


@pytest.mark.parametrize("year", [1949, 10_000])
def test_impossible_times_are_refused(year):
    """A time that DER cannot tell apart, or cannot write."""
    seconds = (year - 1970) * 366 * 86_400
    with refused(RequestRefused, "crl-refused"):
        EntryEncoder().encode(1, seconds, RevocationReason.SUPERSEDED)


def test_the_memory_of_an_encoder_is_bounded():
    """After 65,536 different hours it forgets them, and encodes on."""
    encoder = EntryEncoder()
    first = encoder.encode(1, 7, RevocationReason.SUPERSEDED)
    for hour in range(1, 65_537):
        encoder.encode(1, hour * 3600, RevocationReason.SUPERSEDED)
    assert encoder.encode(1, 7, RevocationReason.SUPERSEDED) == first


@pytest.mark.parametrize(
    "options", [{"number": -1}, {"number": 1 << 159}, {"next_update": NOON}, {"this_update": WEEK}]
)
def test_impossible_lists_are_refused(options):
    """Numbers have at most twenty octets, and the next update comes after this one."""
    with refused(RequestRefused, "crl-refused"):
        make(**options)


def test_only_a_ca_with_crl_sign_lists():
    """A certificate without key usage, or without cRLSign in it, cannot be the issuer of a list."""
    bare = CA.leaf()
    usage = CA.leaf(ca=True, usage=("key_cert_sign",))
    for issued in (bare, usage):
        with refused(RequestRefused, "crl-issuer-refused"):
            make(ca=issued)
    with pytest.raises(RequestRefused):
        make(ca=certify(CA.name, key=CA.key, drop=EVERY_EXTENSION))


def test_another_key_signs_no_list():
    """Only the issuer's key may sign."""
    unsigned = build_crl(CA.certificate, (), number=1, this_update=NOON, next_update=WEEK)
    with pytest.raises(IntegrityError):
        sign_crl(unsigned, cached_key(number=3))


def test_a_delta_has_a_critical_base():
    """A client that does not know deltas must not take one for a complete list; a complete list names its delta for those that do."""
    url = "http://pki.corp.example/crl/1/delta.crl"
    complete, delta = make(number=7, delta_address=url), make(number=7, base_number=7)
    indicator = delta.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert indicator.critical
    assert indicator.value.crl_number == 7
    named = complete.extensions.get_extension_for_class(x509.FreshestCRL)
    assert not named.critical
    assert [one.value for point in named.value for one in point.full_name] == [url]
    for crl, kind in ((complete, x509.DeltaCRLIndicator), (delta, x509.FreshestCRL)):
        with pytest.raises(x509.ExtensionNotFound):
            crl.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize(
    "options", [{"base_number": 8}, {"base_number": -1}, {"base_number": 1, "delta_address": "http://a/"}]
)
def test_impossible_deltas_are_refused(options):
    """The base is not later, and a delta names no other delta (RFC 5280 section 5.2.6)."""
    with refused(RequestRefused, "crl-refused"):
        make(number=7, **options)


def test_the_end_of_a_hold_comes_back():
    """As `removeFromCRL`, which is no reason of a revocation."""
    unsigned = build_crl(
        CA.certificate,
        [encode_removal((1 << 159) - 1, NOON)],
        number=2,
        this_update=NOON,
        next_update=WEEK,
        base_number=1,
    )
    [entry] = x509.load_der_x509_crl(sign_crl(unsigned, CA.key))
    assert entry.serial_number == (1 << 159) - 1
    assert entry.revocation_date_utc == NOON
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.remove_from_crl
