"""Which of several lists and answers is believed: the newest, and a last bad word until a newer good one.

Root -> Issuing -> alice
"""

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


def test_whom_the_last_list_named_stays_revoked_when_it_ends():
    """Who keeps the next list from us brings nobody back; one that is newer and says otherwise does."""
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


def test_whom_the_last_answer_called_revoked_stays_so_when_it_ends():
    """The same for a responder: a newer word of either kind comes first."""
    old = {"next_update": NOON - timedelta(seconds=1)}
    answer = answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.REVOKED, **old)
    answers = {ALICE.parsed.sha256: (answer,)}
    assert statuses(PATH, answers=answers)[-1].status is RevocationStatus.REVOKED
    newer = list_of(ISSUING, this_update=NOON - HOUR / 2)
    assert statuses(PATH, crls=[newer], answers=answers)[-1].status is RevocationStatus.GOOD
    good = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, **old),)}
    assert statuses(PATH, answers=good)[-1].status is RevocationStatus.UNDETERMINED


@pytest.mark.parametrize("this_update", [NOON - 2 * HOUR, NOON - 3 * HOUR], ids=["as-old", "older"])
def test_a_good_word_that_is_no_newer_than_the_last_bad_one_counts_for_nothing(this_update):
    """Who withholds the next list and replays an answer, or a list of another scope, from before it gains nothing."""
    last = list_of(ISSUING, 7, this_update=NOON - 2 * HOUR, next_update=NOON - timedelta(seconds=1))
    answers = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, this_update=this_update),)}
    assert of_leaf(last, answers=answers).status is RevocationStatus.REVOKED
    users = list_of(ISSUING, scope=scope(only_contains_user_certs=True), this_update=this_update)
    assert of_leaf(last, users).status is RevocationStatus.REVOKED
    assert of_leaf(users, last).status is RevocationStatus.REVOKED
    newer = list_of(ISSUING, scope=scope(only_contains_user_certs=True), this_update=NOON - HOUR)
    assert of_leaf(last, newer).status is RevocationStatus.GOOD
    assert of_leaf(last, users, answers=answers).fresh_until == NOON - timedelta(seconds=1)


def test_of_two_last_words_the_newer_one_counts():
    """Each is as old as it says."""
    ended = NOON - timedelta(seconds=1)
    first = list_of(ISSUING, entry(7, R.superseded), this_update=NOON - 3 * HOUR, next_update=ended)
    second = list_of(
        ISSUING, entry(7, R.key_compromise), number=2, this_update=NOON - HOUR, next_update=ended
    )
    for lists in ((first, second), (second, first)):
        assert of_leaf(*lists).reason == "key-compromise"


def test_the_newest_list_of_a_key_speaks_wherever_it_lies():
    """The order of the sources decides nothing: an address may be chosen so that an old list comes first."""
    old = list_of(ISSUING, this_update=NOON - 2 * HOUR)
    new = list_of(ISSUING, 7, number=2)
    assert of_leaf(old, new).status is RevocationStatus.REVOKED
    assert of_leaf(new, old).status is RevocationStatus.REVOKED
    held = list_of(ISSUING, entry(7, R.certificate_hold), this_update=NOON - 2 * HOUR)
    released = list_of(ISSUING, number=2)
    assert of_leaf(held, released).status is RevocationStatus.GOOD
    assert of_leaf(released, held).status is RevocationStatus.GOOD


def test_what_is_final_is_believed_of_an_older_list_in_force():
    """Some cut their list into several files that all say that they are whole: one that names nobody pardons nobody."""
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


def test_every_list_that_speaks_of_somebody_is_heard():
    """One that covers all reasons already keeps no other scope's from naming him."""
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


def test_who_was_once_seen_revoked_for_good_stays_so():
    """RFC 5280 section 3.3: whatever a newer list leaves out, and where nothing is at hand any more."""
    for crls in ([], [list_of(ISSUING, this_update=NOON)]):
        found = statuses(PATH, crls=crls, seen=remembered())[-1]
        assert (found.status, found.reason) == (RevocationStatus.REVOKED, "key-compromise")
        assert found.fresh_until > NOON + timedelta(days=365)
    other = certify("bob", ISSUING, ca=False, serial=8)
    assert statuses((other, *PATH[1:]), seen=remembered())[-1].status is RevocationStatus.UNDETERMINED


def test_a_hold_that_was_seen_ends_with_a_newer_good_word():
    """RFC 5280 section 5.3.1; one that is no newer, or none, leaves it."""
    held = remembered(held=True, reason="certificate-hold")
    older = list_of(ISSUING, this_update=NOON - 2 * HOUR)
    for crls in ([], [older]):
        assert statuses(PATH, crls=crls, seen=held)[-1].status is RevocationStatus.REVOKED
    assert (
        statuses(PATH, crls=[list_of(ISSUING, this_update=NOON)], seen=held)[-1].status
        is RevocationStatus.GOOD
    )


def test_what_came_last_and_cannot_be_used_is_told_with_the_status():
    """Undetermined with its reason; good as long as good evidence is at hand."""
    broken = UnusableSources(anybody=True)
    found = statuses(PATH, unusable=broken)[-1]
    assert (found.status, found.unusable) == (RevocationStatus.UNDETERMINED, True)
    assert found.why[-1] == "the newest evidence cannot be used"
    found = statuses(PATH, crls=[list_of(ISSUING)], unusable=broken)[-1]
    assert (found.status, found.unusable) == (RevocationStatus.GOOD, True)
    assert not statuses(PATH, unusable=UnusableSources(lists=frozenset({"http://a.example/"})))[-1].unusable
