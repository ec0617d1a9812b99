"""CA: the only package that may issue certificates; the import contract allows minting nowhere else.

The order of the steps (as in boulder) makes sure that every certificate is recorded before it is handed out.
1. The request is parsed, and the claim is examined on one snapshot: it returns an `Entitlement`.
2. The certificate is prepared: built, and linted under a throw-away key.
3. First transaction: the claim is examined again and redeemed. The intent is recorded with its serial
   number: state INTENDED, event `certificate:intended`.
4. The authority's key signs.
5. Second transaction: the principal is checked once more, the claim is settled, and the certificate becomes VALID, with
   the event `certificate:issued`, a number in the change sequence and pre-signed OCSP responses.
6. The certificate is returned.
A crash between 3 and 5 leaves an intent: its serial number is never used again and it never becomes valid.
A refusal is an event too (`certificate:refused`).
Requests of several threads go through the steps together (docs/design/0087): each transaction records all of them, and each
request has an outcome of its own.

Renewal: the old certificate stays valid beside the new one until it expires or is revoked as superseded.
The holder's agent installs the new one first. If the old certificate ended at once, a lost response would
lock its holder out.

Modules: `certificates` (what other rooms call), `steps` (the six steps), `claims` (claims and entitlements), `registration` (the rules about
principals), `renewal` (the rules about renewal), `successor` (what every route of renewal calls), `preparation` (the intended certificate and its events), `authorities` (the authority's own
certificates). Nothing here depends on a protocol (docs/design/0057). Not here: revoking (revocation).
Standard: RFC 5280 section 4; RFC 2986.
"""

from __future__ import annotations

from doorward.authority.issuing.authorities import (
    certify_cross,
    certify_issuing,
    certify_responder,
    certify_root,
)
from doorward.authority.issuing.certificates import issue, issue_each
from doorward.authority.issuing.claims import Claim, Entitlement, OperatorClaim, RenewalClaim, entitlement_of
from doorward.authority.issuing.renewal import AlreadyRenewed
from doorward.authority.issuing.steps import Issued
from doorward.authority.issuing.successor import renew

__all__ = [
    "AlreadyRenewed",
    "Claim",
    "Entitlement",
    "Issued",
    "OperatorClaim",
    "RenewalClaim",
    "certify_cross",
    "certify_issuing",
    "certify_responder",
    "certify_root",
    "entitlement_of",
    "issue",
    "issue_each",
    "renew",
]
