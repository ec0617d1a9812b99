"""Whether fetched evidence may replace the stored evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.errors import DoorwardError, MalformedInput, Unavailable
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.acceptance import AcceptedEvidence, accept_crl, accept_ocsp_response
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.der import children, tlv
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import CRL_RULES, OCSP_RULES
from tests.support.certificates.status import HOUR, answer_about, crl_of, scope
from tests.support.ports import NOON

ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
ALICE = certify("alice", ISSUING, ca=False)
STRANGER = certify("Root")
STORE = TrustStore([ROOT.parsed], [ISSUING.parsed])
MINUTE = timedelta(minutes=1)
CA_ONLY = scope(only_contains_ca_certs=True)


def take(der: bytes, before: bytes = b"", store: TrustStore = STORE) -> AcceptedEvidence:
    """Accept a CRL at noon."""
    return accept_crl(
        der, before, store, is_named=lambda _: True, inputs=PathInputs(), now=NOON, rules=CRL_RULES
    )


def refused(der: bytes, before: bytes = b"", store: TrustStore = STORE) -> str:
    """The code that a CRL is refused with."""
    with pytest.raises(DoorwardError) as caught:
        take(der, before, store)
    return caught.value.code


def test_a_crl_of_an_authority_is_taken():
    """A CRL of an anchor and of an intermediate is accepted, with its times and number."""
    expected = AcceptedEvidence(this_update=NOON - HOUR, next_update=NOON + HOUR, number=3)
    assert take(crl_of(ISSUING, 7, number=3)) == expected
    assert take(crl_of(ROOT, number=3)) == expected


@pytest.mark.parametrize(
    "der",
    [b"", b"<html>no list here</html>", crl_of(ISSUING)[:-1], ALICE.der],
    ids=["", "html", "cut", "other"],
)
def test_bytes_that_are_no_crl_are_refused(der):
    """A web page, half a CRL or a certificate is not a CRL."""
    assert refused(der) == "crl-malformed"


def test_a_crl_of_another_signer_is_refused():
    """A CRL by another key under an authority's name, or by an authority that was not imported, is refused."""
    assert refused(crl_of(ISSUING, signer=STRANGER.key)) == "evidence-not-signed"
    assert refused(crl_of(STRANGER)) == "evidence-not-signed"
    assert refused(crl_of(certify("Other", ROOT))) == "evidence-not-signed"


def test_an_authority_must_be_one_that_may_sign_crls():
    """The signer needs cRLSign and a good path to an anchor."""
    mute = certify("Issuing", ROOT, usage=("key_cert_sign",))
    lost = certify("Issuing", STRANGER, key=ISSUING.key)
    late = certify("Issuing", ROOT, not_after=NOON - HOUR)
    for authority in (mute, lost, late):
        store = TrustStore([ROOT.parsed], [authority.parsed])
        assert refused(crl_of(authority), store=store) == "evidence-not-signed"


def test_key_usage_may_be_absent():
    """An authority without key usage may sign CRLs (6.3.3 (f))."""
    plain = certify("Issuing", ROOT, drop=[x509.KeyUsage])
    assert take(crl_of(plain), store=TrustStore([ROOT.parsed], [plain.parsed])).number == 1


@pytest.mark.parametrize(
    ("begins", "ends"),
    [(6 * MINUTE, HOUR), (-HOUR, -MINUTE)],
    ids=["later", "ended"],
)
def test_a_crl_must_be_current(begins, ends):
    """A CRL from the future, or an expired one, is refused."""
    der = crl_of(ISSUING, this_update=NOON + begins, next_update=NOON + ends)
    assert refused(der) == "evidence-not-in-time"


def test_a_crl_of_a_clock_that_is_ahead_is_taken():
    """Clocks differ: five minutes are tolerated, as with OCSP responses (RFC 5280 section 5.1.2.4)."""
    ahead = crl_of(ISSUING, this_update=NOON + 5 * MINUTE)
    assert take(ahead).this_update == NOON + 5 * MINUTE


def test_a_crl_may_be_late_within_its_grace():
    """A CRL that may still be used may still be accepted."""
    der = crl_of(ISSUING, next_update=NOON - MINUTE)
    rules = type(CRL_RULES)(strength=CRL_RULES.strength, grace=HOUR)
    assert (
        accept_crl(
            der, b"", STORE, is_named=lambda _: True, inputs=PathInputs(), now=NOON, rules=rules
        ).number
        == 1
    )


def test_a_crl_does_not_end_before_it_begins():
    """Times in the wrong order are refused, with any grace time."""
    signed, algorithm, _ = children(crl_of(ISSUING, this_update=NOON - 2 * HOUR, next_update=NOON - HOUR))
    version, inner, issuer, begins, ends, *rest = children(signed)
    signed = tlv(0x30, version, inner, issuer, ends, begins, *rest)
    signature = ISSUING.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = tlv(0x30, signed, algorithm, tlv(0x03, b"\0", signature))
    rules = type(CRL_RULES)(strength=CRL_RULES.strength, grace=3 * HOUR)
    with pytest.raises(DoorwardError, match="ends before it begins"):
        accept_crl(der, b"", STORE, is_named=lambda _: True, inputs=PathInputs(), now=NOON, rules=rules)


def test_a_crl_that_no_certificate_accepts_from_its_address_is_refused():
    """A genuine, current CRL is not enough. `is_named` is not called for a CRL that is not genuine or not current."""
    asked = []

    def is_named(crl):
        asked.append(crl.issuer)
        return False

    for der, code in (
        (crl_of(ISSUING), "evidence-of-another"),
        (crl_of(STRANGER), "evidence-not-signed"),
        (crl_of(ISSUING, next_update=NOON - MINUTE), "evidence-not-in-time"),
    ):
        with pytest.raises(DoorwardError) as caught:
            accept_crl(der, b"", STORE, is_named=is_named, inputs=PathInputs(), now=NOON, rules=CRL_RULES)
        assert caught.value.code == code
    assert asked == [ISSUING.parsed.subject]


def test_an_older_crl_is_a_replay():
    """Neither number nor time goes back; the same again, and a later one, are taken."""
    kept = crl_of(ISSUING, 7, number=5)
    assert refused(crl_of(ISSUING, number=4), kept) == "evidence-replayed"
    assert refused(crl_of(ISSUING, number=6, this_update=NOON - 2 * HOUR), kept) == "evidence-replayed"
    assert take(kept, kept).number == 5
    assert take(crl_of(ISSUING, number=6), kept).number == 6


def test_a_crl_about_other_certificates_replaces_nothing():
    """A genuine CRL of another authority or scope, or a delta, does not replace the stored one, old or new."""
    kept = crl_of(ISSUING, 7, number=5)
    for number in (4, 9):
        assert refused(crl_of(ROOT, number=number), kept) == "evidence-replaced"
        assert refused(crl_of(ISSUING, number=number, scope=CA_ONLY), kept) == "evidence-replaced"
        assert refused(crl_of(ISSUING, number=number, base=2), kept) == "evidence-replaced"


@pytest.mark.parametrize(
    "other",
    [
        {"issuer": ROOT},
        {"issuer": ISSUING, "scope": CA_ONLY},
        {"issuer": ISSUING, "number": 9, "base": 5},
    ],
    ids=["issuer", "scope", "delta"],
)
def test_an_expired_crl_excludes_no_crl_of_another_kind(other):
    """A CRL that was accepted by mistake expires, and then excludes no other by its number or time."""
    kept = crl_of(**{"number": 9, **other, "this_update": NOON - HOUR, "next_update": NOON - MINUTE})
    right = crl_of(ISSUING, 7, number=1, this_update=NOON - 2 * HOUR)
    assert take(right, kept).number == 1


def test_an_expired_crl_within_its_grace_still_excludes_others():
    """A CRL that may still be used is not replaced by a CRL about other certificates."""
    kept = crl_of(ROOT, number=9, next_update=NOON - MINUTE)
    rules = type(CRL_RULES)(strength=CRL_RULES.strength, grace=HOUR)
    with pytest.raises(DoorwardError) as caught:
        accept_crl(
            crl_of(ISSUING), kept, STORE, is_named=lambda _: True, inputs=PathInputs(), now=NOON, rules=rules
        )
    assert caught.value.code == "evidence-replaced"


def test_an_older_crl_of_the_same_kind_is_always_a_replay():
    """Even after the stored CRL has expired, an older CRL or an older delta does not replace it."""
    for base in (None, 2):
        kept = crl_of(ISSUING, 7, number=5, base=base, this_update=NOON - HOUR, next_update=NOON - MINUTE)
        earlier = crl_of(ISSUING, number=6, base=base, this_update=NOON - 2 * HOUR)
        assert refused(earlier, kept) == "evidence-replayed"
        assert take(crl_of(ISSUING, number=6, base=base), kept).number == 6


def test_numbers_may_restart_with_another_key_or_after_expiry():
    """If an authority was set up again, its CRL numbers may restart, but its times may not go back."""
    kept = crl_of(ISSUING, number=900, this_update=NOON - HOUR)
    restarted = crl_of(ISSUING, number=1, this_update=NOON - MINUTE)
    assert refused(restarted, kept) == "evidence-replayed"
    ended = crl_of(ISSUING, number=900, this_update=NOON - HOUR, next_update=NOON - MINUTE)
    assert take(restarted, ended).number == 1
    keys = [
        (x509.AuthorityKeyIdentifier(identifier, None, None), False)
        for identifier in (b"old key", b"new key")
    ]
    old = crl_of(ISSUING, number=900, this_update=NOON - HOUR, extra=keys[:1])
    assert take(crl_of(ISSUING, number=1, this_update=NOON - MINUTE, extra=keys[1:]), old).number == 1
    assert refused(crl_of(ISSUING, number=1, this_update=NOON - MINUTE, extra=keys[:1]), old) == (
        "evidence-replayed"
    )
    before = crl_of(ISSUING, number=1, this_update=NOON - 2 * HOUR, extra=keys[1:])
    assert refused(before, old) == "evidence-replayed"


def test_an_answer_that_is_too_much_work_is_refused():
    """Many responder certificates, each expensive to verify."""
    numbers = rsa.RSAPublicNumbers((1 << 3070) + 1, (1 << 3071) + 1)
    issuer = replace(ISSUING.parsed, key=numbers.public_key())
    crowd = [
        certify(f"Responder {one}", ISSUING, ca=False, purposes=(ExtendedKeyUsageOID.OCSP_SIGNING,))
        for one in range(5)
    ]
    der = answer_about(ALICE, ISSUING, responder=crowd[0], included=crowd)
    with pytest.raises(MalformedInput, match="signatures") as caught:
        accept_ocsp_response(der, None, ALICE.parsed, issuer, now=NOON, rules=OCSP_RULES)
    assert caught.value.code == "ocsp-answer-unfit"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (ocsp.OCSPCertStatus.GOOD, RevocationStatus.GOOD),
        (ocsp.OCSPCertStatus.REVOKED, RevocationStatus.REVOKED),
        (ocsp.OCSPCertStatus.UNKNOWN, RevocationStatus.UNDETERMINED),
    ],
)
def test_a_genuine_answer_is_taken(said, status):
    """A genuine response replaces the one before it, with any status."""
    der = answer_about(ALICE, ISSUING, status=said)
    taken = accept_ocsp_response(der, NOON - HOUR, ALICE.parsed, ISSUING.parsed, now=NOON, rules=OCSP_RULES)
    assert taken == AcceptedEvidence(this_update=NOON - HOUR, next_update=NOON + HOUR, status=status)
    assert accept_ocsp_response(der, None, ALICE.parsed, ISSUING.parsed, now=NOON, rules=OCSP_RULES) == taken


def test_a_failure_of_the_responder_is_no_answer():
    """RFC 6960 section 4.2.1: it is not signed, so it counts as if the responder could not be reached."""
    failure = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    with pytest.raises(Unavailable) as caught:
        accept_ocsp_response(
            failure.public_bytes(Encoding.DER), None, ALICE.parsed, ISSUING.parsed, now=NOON, rules=OCSP_RULES
        )
    assert (caught.value.code, caught.value.detail) == (
        "ocsp-responder-failed",
        "the responder reports: try later",
    )


def test_other_answers_are_refused():
    """A response about another certificate, of another signer, expired or older is refused, and so is a web page."""
    other = certify("bob", certify("Issuing"), ca=False)
    answers = {
        "ocsp-answer-unfit": (
            answer_about(other, STRANGER),
            answer_about(ALICE, ISSUING, responder=STRANGER),
            answer_about(ALICE, ISSUING, next_update=NOON - MINUTE),
            b"<html></html>",
        ),
        "evidence-replayed": (answer_about(ALICE, ISSUING, this_update=NOON - 2 * HOUR),),
    }
    for code, ders in answers.items():
        for der in ders:
            with pytest.raises(DoorwardError) as caught:
                accept_ocsp_response(
                    der, NOON - HOUR, ALICE.parsed, ISSUING.parsed, now=NOON, rules=OCSP_RULES
                )
            assert caught.value.code == code
