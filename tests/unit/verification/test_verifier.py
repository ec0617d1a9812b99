"""The steps of the judgement, each failing alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from doorward.core.certificate import CertificateState
from doorward.core.entities import Outcome, PrincipalState, Reason
from doorward.core.ports import KeyKind
from doorward.verification.steps import CertificateJudgement, PresentedCertificate
from doorward.verification.verifier import (
    KnownCertificate,
    KnownIssuer,
    VerificationContext,
    judge_certificate,
)
from tests.support import records
from tests.support.certificates.issuing import ANY_USE, CLIENT, SERVER, TRUST_DOMAIN, CertifiedKey, toy_ca
from tests.support.ports import NOON

CA = toy_ca("Door Root").issuing("Door Issuing")
ALICE = records.principal("alice", id="per_alice")
LEAF = CA.leaf("alice")
ISSUER_SHA256 = "1" * 64
ALL_GOOD = (
    Reason.CERTIFICATE_WELL_FORMED,
    Reason.ISSUER_KNOWN,
    Reason.CERTIFICATE_KNOWN,
    Reason.CERTIFICATE_VALID,
    Reason.CERTIFICATE_IN_TIME,
    Reason.PURPOSE_CLIENT,
    Reason.NAME_MATCHES,
    Reason.PRINCIPAL_ACTIVE,
)


def row(leaf: CertifiedKey = LEAF, **changes) -> KnownCertificate:
    """The inventory's row for a certificate of alice's."""
    good = KnownCertificate(
        sha256=leaf.sha256,
        state=CertificateState.VALID,
        principal_id=ALICE.id,
        profile="person",
        not_before=leaf.certificate.not_valid_before_utc,
        not_after=leaf.certificate.not_valid_after_utc,
        issuer_sha256=ISSUER_SHA256,
    )
    return replace(good, **changes)


def knowledge(leaf: CertifiedKey = LEAF, **changes) -> VerificationContext:
    """The data of the database if everything is good."""
    good = VerificationContext(
        certificate=row(leaf),
        principal=ALICE,
        issuers={CA.certificate.subject.public_bytes(): KnownIssuer(sha256=ISSUER_SHA256, id="aut_1")},
        trust_domain=TRUST_DOMAIN,
    )
    return replace(good, **changes)


def judge(leaf: CertifiedKey = LEAF, now: datetime = NOON, **changes) -> CertificateJudgement:
    """The judgement of a certificate that the inventory knows, with changes to what is known."""
    return judge_certificate(PresentedCertificate(der=leaf.der), knowledge(leaf, **changes), now)


def swapped(*pairs: tuple[Reason, Reason]) -> tuple[Reason, ...]:
    """All the good reasons, some in exchange for bad ones."""
    exchange = dict(pairs)
    return tuple(exchange.get(reason, reason) for reason in ALL_GOOD)


def assert_refused(judgement: CertificateJudgement, *reasons: Reason) -> None:
    """The verdict is bad for exactly these reasons, and there is no principal."""
    assert judgement.verdict.reasons == reasons
    assert judgement.verdict.outcome is Outcome.BAD
    assert judgement.principal is None


def test_a_certificate_of_ours_lets_its_holder_in():
    """Every step has its good reason, in order, and the principal is named."""
    judgement = judge()
    assert judgement.verdict.outcome is Outcome.GOOD
    assert judgement.verdict.reasons == ALL_GOOD
    assert judgement.verdict.judged_at == NOON
    assert judgement.principal is ALICE
    assert judgement.facts is not None
    assert judgement.facts.sha256 == LEAF.sha256
    assert dict(judgement.verdict.evidence) == {
        "certificate": LEAF.sha256,
        "serial": format(LEAF.certificate.serial_number, "x"),
        "issuer": "CN=Door Issuing",
        "principal": "per_alice",
        "profile": "person",
    }


@pytest.mark.parametrize("kind", list(KeyKind))
def test_every_kind_of_key_gets_in(kind):
    """The kind of the holder's key does not matter to the judgement."""
    assert judge(CA.leaf("alice", key_kind=kind)).verdict.outcome is Outcome.GOOD


def test_no_certificate_is_a_refusal():
    """Step 1: nothing was shown, nothing else is judged."""
    judgement = judge_certificate(PresentedCertificate(der=None), knowledge(), NOON)
    assert_refused(judgement, Reason.CERTIFICATE_MISSING)
    assert judgement.facts is None


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x00", bytes(20_000), LEAF.der[:-1], LEAF.pem])
def test_what_is_no_certificate_is_a_refusal(der):
    """Step 1: bytes that do not parse, or too many of them."""
    judgement = judge_certificate(PresentedCertificate(der=der), knowledge(), NOON)
    assert_refused(judgement, Reason.CERTIFICATE_MALFORMED)


def test_a_stranger_is_refused_with_every_reason():
    """A certificate of another CA that is not in the inventory: all reasons are given."""
    stranger = toy_ca("Elsewhere").leaf("alice")
    judgement = judge(stranger, certificate=None, principal=None)
    assert_refused(
        judgement,
        Reason.CERTIFICATE_WELL_FORMED,
        Reason.ISSUER_UNKNOWN,
        Reason.CERTIFICATE_UNKNOWN,
        Reason.CERTIFICATE_IN_TIME,
        Reason.PURPOSE_CLIENT,
        Reason.NAME_MISMATCH,
        Reason.PRINCIPAL_UNKNOWN,
    )
    assert "principal" not in dict(judgement.verdict.evidence)


def test_an_issuer_that_is_not_ours_is_refused():
    """Step 2: even a recorded certificate needs an own issuing CA."""
    assert_refused(judge(issuers={}), *swapped((Reason.ISSUER_KNOWN, Reason.ISSUER_UNKNOWN)))


def test_an_issuer_other_than_the_recorded_one_is_refused():
    """Step 2: two CAs of one name are two; the inventory says which one it was."""
    changed = judge(certificate=row(issuer_sha256="2" * 64))
    assert_refused(changed, *swapped((Reason.ISSUER_KNOWN, Reason.ISSUER_UNKNOWN)))
    assert judge(certificate=row(issuer_sha256="")).verdict.outcome is Outcome.GOOD


@pytest.mark.parametrize(
    "forged",
    [
        toy_ca("Door Issuing").leaf("alice", serial=LEAF.certificate.serial_number),
        CA.leaf("alice", signer=LEAF.key, serial=LEAF.certificate.serial_number, key=LEAF.key),
    ],
)
def test_a_forgery_under_our_name_is_unknown(forged):
    """Step 3: same issuer name, serial and holder are not the same bytes: no signature check is needed."""
    judgement = judge_certificate(PresentedCertificate(der=forged.der), knowledge(certificate=None), NOON)
    assert Reason.CERTIFICATE_UNKNOWN in judgement.verdict.reasons
    assert judgement.principal is None


def test_another_certificates_row_vouches_for_nothing():
    """Step 3: a look-up that returned the wrong row lets no certificate in."""
    other = CA.leaf("alice")
    judgement = judge_certificate(PresentedCertificate(der=other.der), knowledge(LEAF), NOON)
    assert Reason.CERTIFICATE_UNKNOWN in judgement.verdict.reasons
    assert Reason.CERTIFICATE_VALID not in judgement.verdict.reasons
    assert judgement.verdict.outcome is Outcome.BAD


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (CertificateState.INTENDED, Reason.CERTIFICATE_INTENDED),
        (CertificateState.ON_HOLD, Reason.CERTIFICATE_ON_HOLD),
        (CertificateState.REVOKED, Reason.CERTIFICATE_REVOKED),
    ],
)
def test_only_the_state_valid_lets_in(state, reason):
    """Step 3: intended, on hold and revoked are told by their own words."""
    assert_refused(judge(certificate=row(state=state)), *swapped((Reason.CERTIFICATE_VALID, reason)))


def test_every_state_has_an_answer():
    """A state that is added later must be decided here first."""
    for state in CertificateState:
        judge(certificate=row(state=state))
    for state in PrincipalState:
        judge(principal=replace(ALICE, state=state))


def test_the_dates_count_to_the_second():
    """Step 5: both ends are included, the last one as a whole second (RFC 5280 section 4.1.2.5)."""
    begin, end = LEAF.certificate.not_valid_before_utc, LEAF.certificate.not_valid_after_utc
    for moment in (begin, end, end + timedelta(microseconds=999_999)):
        assert judge(now=moment).verdict.outcome is Outcome.GOOD
    late = judge(now=end + timedelta(seconds=1))
    assert_refused(late, *swapped((Reason.CERTIFICATE_IN_TIME, Reason.CERTIFICATE_EXPIRED)))
    early = judge(now=begin - timedelta(microseconds=1))
    assert_refused(early, *swapped((Reason.CERTIFICATE_IN_TIME, Reason.CERTIFICATE_NOT_YET_VALID)))


def test_narrower_dates_in_the_inventory_hold_too():
    """Step 5: if inventory and certificate differ, both must be satisfied."""
    short = judge(certificate=row(not_after=NOON - timedelta(seconds=1)))
    assert_refused(short, *swapped((Reason.CERTIFICATE_IN_TIME, Reason.CERTIFICATE_EXPIRED)))
    late = judge(certificate=row(not_before=NOON + timedelta(seconds=1)))
    assert_refused(late, *swapped((Reason.CERTIFICATE_IN_TIME, Reason.CERTIFICATE_NOT_YET_VALID)))
    wider = row(not_before=datetime(2000, 1, 1, tzinfo=UTC), not_after=datetime(2099, 1, 1, tzinfo=UTC))
    after = LEAF.certificate.not_valid_after_utc + timedelta(days=1)
    assert judge(now=after, certificate=wider).verdict.outcome is Outcome.BAD


@pytest.mark.parametrize(
    "options",
    [
        {"purposes": (SERVER,)},
        {"purposes": (ANY_USE,)},
        {"purposes": ()},
        {"ca": True, "purposes": (CLIENT,)},
    ],
)
def test_only_client_certificates_let_in(options):
    """Step 5: a server's, an any-purpose, a purposeless and a CA's certificate are for something else."""
    wrong = judge(CA.leaf("alice", **options))
    assert_refused(wrong, *swapped((Reason.PURPOSE_CLIENT, Reason.PURPOSE_WRONG)))
    assert judge(CA.leaf("alice", purposes=(SERVER, CLIENT))).verdict.outcome is Outcome.GOOD


def test_a_key_that_may_not_sign_is_for_something_else():
    """Step 5: keyUsage without digitalSignature cannot authenticate in TLS."""
    assert_refused(judge(_encrypting_leaf()), *swapped((Reason.PURPOSE_CLIENT, Reason.PURPOSE_WRONG)))


def _encrypting_leaf() -> CertifiedKey:
    """A certificate with only keyEncipherment in keyUsage: the bits are patched in the DER."""
    der = LEAF.der.replace(
        bytes.fromhex("0603551d0f0101ff040403020780"), bytes.fromhex("0603551d0f0101ff040403020520")
    )
    assert der != LEAF.der
    return CertifiedKey(x509.load_der_x509_certificate(der), LEAF.key)


@pytest.mark.parametrize(
    "leaf",
    [
        CA.leaf("bob"),
        CA.leaf("alice", kind="device"),
        CA.leaf("alice", trust_domain="evil.example"),
        CA.leaf("alice", uris=()),
        CA.leaf("alice", uris=("spiffe://corp.example/person/alice", "spiffe://corp.example/person/root")),
        CA.leaf("alice", uris=("https://corp.example/alice",)),
        CA.leaf("alice", uris=(), dns=("alice",), emails=("alice@corp.example",)),
    ],
)
def test_the_name_is_the_principals_own(leaf):
    """Step 7: nothing but the one URI of this principal in this trust domain."""
    assert_refused(judge(leaf), *swapped((Reason.NAME_MATCHES, Reason.NAME_MISMATCH)))


def test_the_name_of_another_principal_row_does_not_count():
    """Step 7: a new alice does not inherit the certificates of the old one: the id decides."""
    newcomer = replace(ALICE, id="per_other")
    assert_refused(judge(principal=newcomer), *swapped((Reason.NAME_MATCHES, Reason.NAME_MISMATCH)))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (PrincipalState.SUSPENDED, Reason.PRINCIPAL_SUSPENDED),
        (PrincipalState.REMOVED, Reason.PRINCIPAL_REMOVED),
    ],
)
def test_only_active_principals_get_in(state, reason):
    """Step 8: a valid certificate of a suspended account opens nothing."""
    judgement = judge(principal=replace(ALICE, state=state))
    assert_refused(judgement, *swapped((Reason.PRINCIPAL_ACTIVE, reason)))


def test_a_certificate_without_an_owner_is_refused():
    """Steps 7 and 8: without a principal there is no name to match."""
    judgement = judge(principal=None)
    assert_refused(
        judgement,
        *swapped(
            (Reason.NAME_MATCHES, Reason.NAME_MISMATCH), (Reason.PRINCIPAL_ACTIVE, Reason.PRINCIPAL_UNKNOWN)
        ),
    )


def test_all_that_is_wrong_is_told_at_once():
    """Revoked, expired and suspended: three reasons, not the first only."""
    judgement = judge(
        now=LEAF.certificate.not_valid_after_utc + timedelta(days=1),
        certificate=row(state=CertificateState.REVOKED),
        principal=replace(ALICE, state=PrincipalState.SUSPENDED),
    )
    assert_refused(
        judgement,
        *swapped(
            (Reason.CERTIFICATE_VALID, Reason.CERTIFICATE_REVOKED),
            (Reason.CERTIFICATE_IN_TIME, Reason.CERTIFICATE_EXPIRED),
            (Reason.PRINCIPAL_ACTIVE, Reason.PRINCIPAL_SUSPENDED),
        ),
    )
