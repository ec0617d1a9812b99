"""The path to Alice, and the judgement of her status, for the tests of this folder.

Root -> Issuing -> alice
"""

from __future__ import annotations

from doorward.verification.revocation.ocsp import judge_by_ocsp
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import OCSP_RULES, statuses
from tests.support.certificates.status import list_of
from tests.support.ports import NOON

ROOT = certify("Root")
ISSUING = certify("Issuing", ROOT)
ALICE = certify("alice", ISSUING, ca=False)
PATH = (ALICE, ISSUING, ROOT)
ROOT_LIST = list_of(ROOT)


def of_leaf(*crls, path=PATH, others=(), **options):
    """The finding about the leaf; those above it are good."""
    *above, leaf = statuses(path, *others, crls=[ROOT_LIST, *crls], **options)
    assert [one.status for one in above] == [RevocationStatus.GOOD] * (len(path) - 2)
    return leaf


def ask(answer, *, of=ALICE, issuer=ISSUING, now=NOON, rules=OCSP_RULES, nonce=None):
    """The finding by an OCSP response."""
    return judge_by_ocsp(of.parsed, issuer.parsed, answer, now, rules, nonce=nonce)
