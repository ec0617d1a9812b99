"""CA and VA: the one place where certificates come from; nothing else may reach the mint.

The order is the safety (boulder's): no certificate leaves without its record.
1. The request is parsed and the claim is examined: what does its right give, on one snapshot?
2. The certificate is prepared: built, and linted under a throw-away key.
3. First transaction: the claim is examined again and redeemed, and the intent is recorded with its serial
   number, state INTENDED, event `certificate:intended`.
4. The authority's key signs.
5. Second transaction: the principal is looked at a last time, the claim is settled, the certificate is
   completed, state VALID, event `certificate:issued`, its number in the change sequence, its OCSP answers made
   ahead.
6. Only then it is handed out.
A crash between 3 and 5 leaves an intent: its serial is never used again and it is never valid.
Refusals are events too (`certificate:refused`).

Renewal: the old certificate stays valid beside the new one until it expires or is revoked as superseded.
The holder's agent installs the new one first; where the old one died at once, a lost answer would
lock its holder out.

Inside: `certificates` (the six steps), `claims` (by which right, and what it gives), `registration` (the rules about
principals and renewal), `drafts` (what is on its way, and its events), `authorities` (the founding's own
certificates). Nothing here names a protocol (docs/design/0057). Not here: revoking (revocation).
Standard: RFC 5280 section 4; RFC 2986.
"""

from __future__ import annotations

from doorward.authority.issuing.authorities import certify_issuing, certify_responder, certify_root
from doorward.authority.issuing.certificates import Issued, issue
from doorward.authority.issuing.claims import Claim, Entitlement, OperatorClaim, RenewalClaim, entitlement_of

__all__ = [
    "Claim",
    "Entitlement",
    "Issued",
    "OperatorClaim",
    "RenewalClaim",
    "certify_issuing",
    "certify_responder",
    "certify_root",
    "entitlement_of",
    "issue",
]
