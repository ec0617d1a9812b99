"""Presented certificates: the parser is total, and the verdict never good for other bytes than ours."""

from __future__ import annotations

import contextlib

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.core.certificate import CertificateState
from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.verification.parsing import parse_certificate
from doorward.verification.steps import PresentedCertificate
from doorward.verification.verifier import (
    KnownCertificate,
    KnownIssuer,
    VerificationContext,
    judge_certificate,
)
from tests.support import records
from tests.support.certificates.issuing import TRUST_DOMAIN, toy_ca
from tests.support.examples import examples
from tests.support.ports import NOON

CA = toy_ca("Property Root")
ALICE = records.principal("alice", id="per_alice")
RICH = CA.leaf(
    "alice",
    dns=("a.corp.example",),
    ips=("10.0.0.1", "2001:db8::1"),
    emails=("a@corp.example",),
    extra=((x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.3"), None)]), False),),
)
LEAVES = [RICH, CA.leaf("alice", key_kind=KeyKind.ED25519), CA.leaf("alice", key_kind=KeyKind.RSA2048)]
GOOD_REASONS = {
    Reason.CERTIFICATE_WELL_FORMED,
    Reason.ISSUER_KNOWN,
    Reason.CERTIFICATE_KNOWN,
    Reason.CERTIFICATE_VALID,
    Reason.CERTIFICATE_IN_TIME,
    Reason.PURPOSE_CLIENT,
    Reason.NAME_MATCHES,
    Reason.PRINCIPAL_ACTIVE,
}


def know(leaf, state=CertificateState.VALID, principal=ALICE, *, issued=True) -> VerificationContext:
    """What we know of a leaf."""
    certificate = KnownCertificate(
        sha256=leaf.sha256,
        state=state,
        principal_id=ALICE.id,
        profile="person",
        not_before=leaf.certificate.not_valid_before_utc,
        not_after=leaf.certificate.not_valid_after_utc,
    )
    issuers = {CA.certificate.subject.public_bytes(): KnownIssuer(sha256="1")} if issued else {}
    return VerificationContext(
        certificate=certificate, principal=principal, issuers=issuers, trust_domain=TRUST_DOMAIN
    )


def damage(der: bytes, place: int, octet: int, change: str) -> bytes:
    """The certificate with one octet changed, cut, inserted or dropped."""
    match change:
        case "flip":
            return der[:place] + bytes((octet,)) + der[place + 1 :]
        case "cut":
            return der[:place]
        case "insert":
            return der[:place] + bytes((octet,)) + der[place:]
        case _:
            return der[:place] + der[place + 1 :]


@given(st.binary(max_size=400))
def test_any_bytes(data):
    """Noise gives facts or MalformedInput, nothing else."""
    with contextlib.suppress(MalformedInput):
        parse_certificate(data)


@settings(max_examples=examples(500))
@given(
    st.sampled_from(LEAVES),
    st.integers(0, 10**6),
    st.integers(0, 255),
    st.sampled_from(["flip", "cut", "insert", "drop"]),
)
def test_a_damaged_certificate_is_never_let_in(leaf, place, octet, change):
    """Damage gives a refusal with reasons: not a crash, and not a good verdict."""
    damaged = damage(leaf.der, place % len(leaf.der), octet, change)
    judgement = judge_certificate(PresentedCertificate(der=damaged), know(leaf), NOON)
    if damaged == leaf.der:
        assert judgement.verdict.outcome is Outcome.GOOD
        return
    assert judgement.verdict.outcome is Outcome.BAD
    assert judgement.principal is None
    unread = judgement.verdict.reasons == (Reason.CERTIFICATE_MALFORMED,)
    assert unread or Reason.CERTIFICATE_UNKNOWN in judgement.verdict.reasons


@given(
    st.sampled_from(LEAVES),
    st.sampled_from(CertificateState),
    st.one_of(st.none(), st.sampled_from(PrincipalState)),
    st.booleans(),
    st.integers(-200 * 86400, 200 * 86400),
)
def test_good_means_that_every_step_was_good(leaf, state, account, issued, shift):
    """The outcome is good exactly when all reasons are good ones; otherwise no principal is named."""
    principal = None
    if account is not None:
        principal = records.principal("alice", ALICE.kind, id=ALICE.id, state=account)
    now = NOON.fromtimestamp(NOON.timestamp() + shift, NOON.tzinfo)
    judgement = judge_certificate(
        PresentedCertificate(der=leaf.der), know(leaf, state, principal, issued=issued), now
    )
    within = leaf.certificate.not_valid_before_utc <= now <= leaf.certificate.not_valid_after_utc
    good = state is CertificateState.VALID and account is PrincipalState.ACTIVE and issued and within
    assert (judgement.verdict.outcome is Outcome.GOOD) is good
    assert (set(judgement.verdict.reasons) == GOOD_REASONS) is good
    assert (judgement.principal is not None) is good


@settings(max_examples=examples(150))
@given(
    st.sampled_from([ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.EXTENDED_KEY_USAGE]),
    st.binary(max_size=60),
)
def test_garbage_inside_an_extension(oid, value):
    """An extension with a value of another type is malformed, or is compared as bytes."""
    leaf = CA.leaf("alice", uris=(), purposes=(), extra=((x509.UnrecognizedExtension(oid, value), False),))
    judgement = judge_certificate(PresentedCertificate(der=leaf.der), know(leaf), NOON)
    assert judgement.verdict.outcome is Outcome.BAD
