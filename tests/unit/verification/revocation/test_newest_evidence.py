"""Which of several CRLs and responses counts: the newest, and an expired revocation until a newer good finding."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from doorward.verification.revocation.evidence_index import UnusableSources
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import statuses
from tests.support.certificates.status import HOUR, answer_about, entry, list_of, scope
from tests.support.ports import NOON
from tests.support.records import seen
from tests.unit.verification.revocation.alice import ALICE, ISSUING, PATH, of_leaf

R = x509.ReasonFlags


def test_a_revocation_outlives_its_expired_crl():
    """Withholding the next CRL does not un-revoke a certificate; a newer CRL without it does."""
    old = {"next_update": NOON - timedelta(seconds=1)}
    found = of_leaf(list_of(ISSUING, entry(7, R.key_compromise), **old))
    ended = NOON - timedelta(seconds=1)
    assert (found.status, found.reason, found.fresh_until) == (
        RevocationStatus.REVOKED,
        "key-compromise",
        ended,
    )
    assert of_leaf(list_of(ISSUING, 7, **old), list_of(ISSUING, number=2)).status is RevocationStatus.GOOD
    forged = list_of(ISSUING, 7, signer=ec.generate_private_key(ec.SECP256R1()), **old)
    assert of_leaf(forged).status is RevocationStatus.UNDETERMINED


def test_a_revocation_outlives_its_expired_response():
    """The same for a responder: newer evidence of either kind overrides it."""
    old = {"next_update": NOON - timedelta(seconds=1)}
    answer = answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.REVOKED, **old)
    answers = {ALICE.parsed.sha256: (answer,)}
    assert statuses(PATH, answers=answers)[-1].status is RevocationStatus.REVOKED
    newer = list_of(ISSUING, this_update=NOON - HOUR / 2)
    assert statuses(PATH, crls=[newer], answers=answers)[-1].status is RevocationStatus.GOOD
    good = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, **old),)}
    assert statuses(PATH, answers=good)[-1].status is RevocationStatus.UNDETERMINED


@pytest.mark.parametrize("this_update", [NOON - 2 * HOUR, NOON - 3 * HOUR], ids=["as-old", "older"])
def test_a_good_finding_that_is_not_newer_does_not_count(this_update):
    """Withholding the next CRL and replaying an older response, or an older CRL of another scope, has no effect."""
    last = list_of(ISSUING, 7, this_update=NOON - 2 * HOUR, next_update=NOON - timedelta(seconds=1))
    answers = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, this_update=this_update),)}
    assert of_leaf(last, answers=answers).status is RevocationStatus.REVOKED
    users = list_of(ISSUING, scope=scope(only_contains_user_certs=True), this_update=this_update)
    assert of_leaf(last, users).status is RevocationStatus.REVOKED
    assert of_leaf(users, last).status is RevocationStatus.REVOKED
    newer = list_of(ISSUING, scope=scope(only_contains_user_certs=True), this_update=NOON - HOUR)
    assert of_leaf(last, newer).status is RevocationStatus.GOOD
    assert of_leaf(last, users, answers=answers).fresh_until == NOON - timedelta(seconds=1)


def test_of_two_expired_revocations_the_newer_counts():
    """Each has the age that it states."""
    ended = NOON - timedelta(seconds=1)
    first = list_of(ISSUING, entry(7, R.superseded), this_update=NOON - 3 * HOUR, next_update=ended)
    second = list_of(
        ISSUING, entry(7, R.key_compromise), number=2, this_update=NOON - HOUR, next_update=ended
    )
    for lists in ((first, second), (second, first)):
        assert of_leaf(*lists).reason == "key-compromise"


def test_the_newest_crl_of_a_key_counts_in_any_order():
    """The order of the sources does not matter: an address may be chosen so that an old CRL comes first."""
    old = list_of(ISSUING, this_update=NOON - 2 * HOUR)
    new = list_of(ISSUING, 7, number=2)
    assert of_leaf(old, new).status is RevocationStatus.REVOKED
    assert of_leaf(new, old).status is RevocationStatus.REVOKED
    held = list_of(ISSUING, entry(7, R.certificate_hold), this_update=NOON - 2 * HOUR)
    released = list_of(ISSUING, number=2)
    assert of_leaf(held, released).status is RevocationStatus.GOOD
    assert of_leaf(released, held).status is RevocationStatus.GOOD


def test_a_final_revocation_in_an_older_crl_counts():
    """Some authorities divide their list into files that all claim to be complete: a missing entry un-revokes nothing."""
    part = list_of(ISSUING, entry(7, R.key_compromise), this_update=NOON - 2 * HOUR)
    other = list_of(ISSUING, number=2)
    found = of_leaf(part, other)
    assert (found.status, found.reason, found.evidence) == (
        RevocationStatus.REVOKED,
        "key-compromise",
        (part.sha256,),
    )
    ended = list_of(ISSUING, 7, this_update=NOON - 2 * HOUR, next_update=NOON - timedelta(seconds=1))
    assert of_leaf(ended, other).status is RevocationStatus.GOOD


def test_every_crl_about_the_certificate_counts():
    """A CRL that covers all reasons does not stop a CRL of another scope from revoking the certificate."""
    users = list_of(ISSUING, 7, scope=scope(only_contains_user_certs=True), this_update=NOON - 2 * HOUR)
    everybody = list_of(ISSUING)
    assert of_leaf(everybody, users).status is RevocationStatus.REVOKED
    assert of_leaf(users, everybody).status is RevocationStatus.REVOKED
    later = list_of(ISSUING, scope=scope(only_contains_user_certs=True), next_update=NOON + HOUR / 2)
    found = of_leaf(everybody, later)
    assert found.evidence == (everybody.sha256,)
    assert found.fresh_until == NOON + HOUR  # what adds nothing shortens nothing


def remembered(**changed):
    """That Alice was revoked an hour ago."""
    key = hashlib.sha256(ISSUING.parsed.key_bits).hexdigest()
    at = {"this_update": NOON - HOUR, **changed}
    return [seen(key, ALICE.parsed.serial, ALICE.parsed.sha256, **at)]


def test_a_recorded_final_revocation_stays():
    """RFC 5280 section 3.3: even if a newer CRL omits it, or if there is no evidence any more."""
    for crls in ([], [list_of(ISSUING, this_update=NOON)]):
        found = statuses(PATH, crls=crls, recorded=remembered())[-1]
        assert (found.status, found.reason) == (RevocationStatus.REVOKED, "key-compromise")
        assert found.fresh_until > NOON + timedelta(days=365)
    other = certify("bob", ISSUING, ca=False, serial=8)
    assert statuses((other, *PATH[1:]), recorded=remembered())[-1].status is RevocationStatus.UNDETERMINED


def test_a_recorded_hold_ends_with_a_newer_good_finding():
    """RFC 5280 section 5.3.1; a good finding that is not newer does not end it."""
    held = remembered(held=True, reason="certificate-hold")
    older = list_of(ISSUING, this_update=NOON - 2 * HOUR)
    for crls in ([], [older]):
        assert statuses(PATH, crls=crls, recorded=held)[-1].status is RevocationStatus.REVOKED
    assert (
        statuses(PATH, crls=[list_of(ISSUING, this_update=NOON)], recorded=held)[-1].status
        is RevocationStatus.GOOD
    )


def test_unusable_evidence_is_reported_with_the_status():
    """Undetermined with its reason; good while there is good evidence."""
    broken = UnusableSources(any_certificate=True)
    found = statuses(PATH, unusable=broken)[-1]
    assert (found.status, found.unusable) == (RevocationStatus.UNDETERMINED, True)
    assert found.why[-1] == "the newest evidence cannot be used"
    found = statuses(PATH, crls=[list_of(ISSUING)], unusable=broken)[-1]
    assert (found.status, found.unusable) == (RevocationStatus.GOOD, True)
    assert not statuses(PATH, unusable=UnusableSources(crl_urls=frozenset({"http://a.example/"})))[
        -1
    ].unusable
