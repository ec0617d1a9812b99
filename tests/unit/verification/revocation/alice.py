"""The path to Alice, and the judgement of her status, for the tests of this folder.

Root -> Issuing -> alice
"""

from __future__ import annotations

from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.issuing import certify
from tests.support.certificates.judging import statuses
from tests.support.certificates.status import list_of

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
