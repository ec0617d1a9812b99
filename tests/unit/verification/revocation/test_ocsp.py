"""The status of a certificate by an OCSP response, and whether the response is accepted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.verification.path.building import WorkBudget, WorkExceeded
from doorward.verification.path.signatures import Strength
from doorward.verification.revocation import ocsp as module
from doorward.verification.revocation.ocsp import OcspRules, judge_by_ocsp
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify, rsa_key
from tests.support.certificates.judging import OCSP_RULES
from tests.support.certificates.status import HOUR, answer_about
from tests.support.ports import NOON
from tests.unit.verification.revocation.alice import ALICE, ISSUING, ROOT, ask

SIGNING = (ExtendedKeyUsageOID.OCSP_SIGNING,)
SECOND = timedelta(seconds=1)


def responder(issuer=ISSUING, **options):
    """A delegated responder."""
    return certify("Responder", issuer, ca=False, **{"purposes": SIGNING, **options})


def why(answer, **options):
    """Why the status is undetermined."""
    found = ask(answer, **options)
    assert (found.status, found.evidence, found.fresh_until) == (RevocationStatus.UNDETERMINED, (), None)
    (text,) = found.why
    return text.removeprefix("OCSP response: ")


def test_good_and_revoked():
    """The finding has the reason of the response, and ends with the response."""
    found = ask(answer_about(ALICE, ISSUING))
    assert (found.status, found.reason, found.fresh_until) == (RevocationStatus.GOOD, "", NOON + HOUR)
    assert len(found.evidence) == 1
    options = {"status": ocsp.OCSPCertStatus.REVOKED, "reason": x509.ReasonFlags.key_compromise}
    found = ask(answer_about(ALICE, ISSUING, **options))
    assert (found.status, found.reason) == (RevocationStatus.REVOKED, "key-compromise")


def test_unknown_is_not_good():
    """The responder says that it does not know."""
    answer = answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.UNKNOWN)
    assert why(answer) == "the responder does not know the certificate"


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_issuers_are_compared_by_any_supported_digest(algorithm):
    """RFC 5019 requires SHA-1; this digest only selects, it does not protect."""
    assert ask(answer_about(ALICE, ISSUING, hash_algorithm=algorithm)).status is RevocationStatus.GOOD


def test_an_unsupported_digest_matches_nothing():
    """SHA-224 is not supported."""
    assert (
        why(answer_about(ALICE, ISSUING, hash_algorithm=hashes.SHA224()))
        == "it is not about this certificate"
    )


def test_a_response_about_another_certificate():
    """Another serial number; the same serial number of another issuer name, or of another key under its name."""
    root_issued = certify("alice", ROOT, ca=False)
    assert why(answer_about(root_issued, ROOT)) == "it is not about this certificate"
    twin = certify("Issuing", ROOT)
    assert why(answer_about(ALICE, twin)) == "it is not about this certificate"


@pytest.mark.parametrize("by_name", [True, False])
def test_a_delegated_responder(by_name):
    """Signed by the same issuer, marked for OCSP signing, named by key or name."""
    assert (
        ask(answer_about(ALICE, ISSUING, responder=responder(), by_name=by_name)).status
        is RevocationStatus.GOOD
    )


@pytest.mark.parametrize(
    "delegate",
    [
        responder(purposes=()),
        responder(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
        responder(not_after=NOON - SECOND),
        responder(not_before=NOON + SECOND),
        responder(ROOT),
        responder(signer=ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["no purpose", "any purpose", "expired", "not yet valid", "another issuer's", "forged"],
)
def test_a_responder_without_authority(delegate):
    """RFC 6960 section 4.2.2.2: only the issuer itself, or a responder that it marked for OCSP."""
    assert (
        why(answer_about(ALICE, ISSUING, responder=delegate)) == "it does not name a signer that may sign it"
    )


def test_a_responder_without_its_certificate():
    """The response names the responder, but without the certificate the responder cannot be judged."""
    delegate = responder()
    answer = answer_about(ALICE, ISSUING, responder=delegate, included=[ISSUING])
    assert why(answer) == "it does not name a signer that may sign it"


def test_a_responder_among_others():
    """Other certificates in the response are ignored, also certificates that cannot be parsed."""
    delegate = responder()
    odd = certify(
        "Odd", ISSUING, ca=False, raw=[(x509.ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x05", False)]
    )
    answer = answer_about(ALICE, ISSUING, responder=delegate, included=[odd, ROOT, delegate])
    assert ask(answer).status is RevocationStatus.GOOD


def test_each_signature_costs_from_the_budget():
    """Two signatures cost: of the responder's certificate by the issuer's key, and of the response by the responder's key."""
    delegate = responder(key=ec.generate_private_key(ec.SECP384R1()))
    answer, work = answer_about(ALICE, ISSUING, responder=delegate), WorkBudget(signatures=7)
    found = judge_by_ocsp(ALICE.parsed, ISSUING.parsed, answer, NOON, OCSP_RULES, work=work)
    assert (found.status, work.signatures) == (RevocationStatus.GOOD, 0)
    for enough in (0, 6):
        with pytest.raises(WorkExceeded):
            judge_by_ocsp(
                ALICE.parsed, ISSUING.parsed, answer, NOON, OCSP_RULES, work=WorkBudget(signatures=enough)
            )


def test_the_named_responder_must_have_signed():
    """A response with one changed bit in the signature is refused."""
    answer = answer_about(ALICE, ISSUING)
    assert why(answer[:-1] + bytes((answer[-1] ^ 1,))) == "its signature does not verify"


def test_parts_that_are_parsed_later_may_be_malformed():
    """An unknown digest; a certificate of a version that does not exist."""
    sha1, unknown = bytes.fromhex("06052b0e03021a"), bytes.fromhex("06052b0e03027f")
    answer = answer_about(ALICE, ISSUING)
    assert sha1 in answer
    assert why(answer.replace(sha1, unknown)) == "it is not about this certificate"
    answer = answer_about(ALICE, ISSUING, responder=responder())
    version = bytes.fromhex("a003020102")
    assert version in answer
    assert (
        why(answer.replace(version, bytes.fromhex("a003020107")))
        == "it does not name a signer that may sign it"
    )


def test_a_responders_name_that_does_not_parse():
    """The responder's name is not UTF-8, so it matches no signer."""
    answer = answer_about(ALICE, ISSUING, by_name=True)
    assert answer.count(b"\x0c\x07Issuing") == 1
    assert why(answer.replace(b"Issuing", b"\xff" * 7)) == "it does not name a signer that may sign it"


def test_weak_signatures_do_not_count():
    """RSA of 1024 bits."""
    weak = certify("Weak", ROOT, key=rsa_key(1024))
    leaf = certify("bob", weak, ca=False)
    assert why(answer_about(leaf, weak), of=leaf, issuer=weak) == "its signature does not verify"


@pytest.mark.parametrize(
    ("begins", "ends", "now", "reason"),
    [
        (NOON + timedelta(minutes=5), None, NOON, None),
        (NOON + timedelta(minutes=5, seconds=1), None, NOON, "it is from the future"),
        (NOON - HOUR, NOON, NOON, None),
        (NOON - HOUR, NOON, NOON + SECOND, "it has expired"),
        (NOON - timedelta(days=7), None, NOON, None),
        (NOON - timedelta(days=7, seconds=1), None, NOON, "it has expired"),
        (NOON - timedelta(days=30), NOON + HOUR, NOON, None),
    ],
)
def test_times(begins, ends, now, reason):
    """Times count to the second: five minutes of clock skew, then the next update, or seven days without one (RFC 6960 section 4.2.2.1)."""
    answer = answer_about(ALICE, ISSUING, this_update=begins, next_update=ends)
    found = ask(answer, now=now)
    assert found.why == ((f"OCSP response: {reason}",) if reason else ())


def test_a_grace_extends_the_next_update():
    """The grace time is added to the next update, and the finding ends after both."""
    rules = OcspRules(strength=Strength(), grace=timedelta(minutes=5))
    answer = answer_about(ALICE, ISSUING, next_update=NOON)
    assert ask(answer, now=NOON + timedelta(minutes=5), rules=rules).fresh_until == NOON + timedelta(
        minutes=5
    )
    assert why(answer, now=NOON + timedelta(minutes=5, seconds=1), rules=rules) == "it has expired"


def test_nonces():
    """The response must contain the nonce that was sent; without a nonce it is not checked."""
    nonce = bytes(range(32))
    assert ask(answer_about(ALICE, ISSUING, nonce=nonce), nonce=nonce).status is RevocationStatus.GOOD
    assert ask(answer_about(ALICE, ISSUING, nonce=nonce)).status is RevocationStatus.GOOD
    assert (
        why(answer_about(ALICE, ISSUING, nonce=bytes(32)), nonce=nonce)
        == "it has another nonce than the one that was sent"
    )
    assert why(answer_about(ALICE, ISSUING), nonce=nonce) == "it lacks the nonce that was sent"


@pytest.mark.parametrize("answer", [b"", b"\x30\x00", bytes(100), b"OCSP"])
def test_other_bytes(answer):
    """Bytes that are not a response."""
    assert why(answer) == "it does not parse"


def test_a_responder_that_is_busy():
    """An error status such as tryLater says nothing about the certificate."""
    busy = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    from cryptography.hazmat.primitives.serialization import Encoding

    assert why(busy.public_bytes(Encoding.DER)) == "the responder reports: try later"


def test_the_size_is_limited():
    """Responses of more than 64 KiB are not parsed."""
    assert why(bytes(module.RESPONSE_LIMIT)) == "it does not parse"
    assert why(bytes(module.RESPONSE_LIMIT + 1)) == "it is too large"
