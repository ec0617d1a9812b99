"""The budget of a judgement of status, and the result if it is exceeded.

Root -> Issuing -> alice
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from doorward.verification.path.building import WorkBudget
from doorward.verification.path.signatures import Strength
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import statuses
from tests.support.certificates.status import answer_about, list_of
from tests.support.ports import NOON
from tests.unit.verification.revocation.alice import ALICE, ISSUING, PATH, ROOT, ROOT_LIST, of_leaf

R = x509.ReasonFlags


@pytest.mark.parametrize(
    ("work", "of_whom"),
    [(WorkBudget(candidates=1), -1), (WorkBudget(signatures=1), -1), (WorkBudget(candidates=0), 0)],
)
def test_without_budget_the_status_is_undetermined(work, of_whom):
    """A CRL costs one, a signature its own cost; without budget the status is undetermined, also of the rest."""
    findings = statuses(PATH, crls=[ROOT_LIST, list_of(ISSUING)], work=work)
    assert findings[of_whom].status is RevocationStatus.UNDETERMINED
    assert "exceeds the work limit" in findings[of_whom].why[0]
    assert statuses(PATH, crls=[ROOT_LIST, list_of(ISSUING)], work=WorkBudget(candidates=2, signatures=2))[
        -1
    ].status is (RevocationStatus.GOOD)


def test_many_crls_and_signers_have_a_limit():
    """Many CRLs that no authority signed, times many authorities of one name: the work has a limit."""
    stranger = ec.generate_private_key(ec.SECP256R1())
    crowd = [certify("Issuing", ROOT, serial=100 + one) for one in range(20)]
    lists = [list_of(ISSUING, number=one, signer=stranger) for one in range(40)]
    work = WorkBudget()
    found = of_leaf(*lists, others=crowd, work=work)
    assert found.status is RevocationStatus.UNDETERMINED
    assert "exceeds the work limit: signatures" in found.why[0]


@pytest.mark.parametrize("ended", [False, True])
def test_findings_before_the_budget_is_used_up_stay(*, ended):
    """Revoked stays revoked; good is no longer good, because the rest was not judged."""
    bad = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING, status=ocsp.OCSPCertStatus.REVOKED),)}
    good = {ALICE.parsed.sha256: (answer_about(ALICE, ISSUING),)}
    strange = [list_of(ISSUING, number=one, signer=ec.generate_private_key(ec.SECP256R1())) for one in (2, 3)]
    last = list_of(ISSUING, 7, number=9, next_update=NOON - timedelta(seconds=1))
    lists = [last, *strange] if ended else strange
    answers = None if ended else bad
    found = of_leaf(*lists, answers=answers, work=WorkBudget(signatures=3))
    assert found.status is RevocationStatus.REVOKED
    found = of_leaf(*strange, answers=good, work=WorkBudget(signatures=3))
    assert (found.status, found.why) == (
        RevocationStatus.UNDETERMINED,
        ("judging its status exceeds the work limit: signatures",),
    )
    assert of_leaf(*strange, answers=good).status is RevocationStatus.GOOD


def test_answers_cost_work_too():
    """One signature each."""
    answers = {ALICE.parsed.sha256: tuple(answer_about(ALICE, ISSUING) for _ in range(3))}
    assert of_leaf(answers=answers, work=WorkBudget(signatures=4)).status is RevocationStatus.GOOD
    assert of_leaf(answers=answers, work=WorkBudget(signatures=3)).status is RevocationStatus.UNDETERMINED


def test_a_signature_is_checked_once(monkeypatch):
    """The second look costs no signature; a full memory only costs time."""
    from doorward.verification.revocation import evidence_index as module

    crl = list_of(ISSUING)
    asked = []
    real = module.is_signature_valid
    monkeypatch.setattr(module, "is_signature_valid", lambda *words: asked.append(1) or real(*words))
    one = module.EvidenceIndex([crl])
    work = WorkBudget()
    assert one.is_signed(crl, ISSUING.parsed, Strength(), work)
    assert one.is_signed(crl, ISSUING.parsed, Strength(), work)
    assert (len(asked), WorkBudget().signatures - work.signatures) == (1, 1)
    monkeypatch.setattr(module, "_REMEMBERED", 0)
    other = module.EvidenceIndex([crl])
    assert [other.is_signed(crl, ISSUING.parsed, Strength(), work) for _ in range(2)] == [True, True]
    assert len(asked) == 3
