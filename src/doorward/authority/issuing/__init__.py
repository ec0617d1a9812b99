"""CA and VA: the one place where certificates come from; nothing else may reach the mint.

The order is the safety (boulder's): no certificate leaves without its record.
1. The request is parsed and the registration rules are asked, on one snapshot.
2. The certificate is prepared: built, and linted under a throw-away key.
3. First transaction: the rules are asked again, an invitation is claimed, and the intent is recorded
   with its serial number, state INTENDED, event `certificate:intended`.
4. The authority's key signs.
5. Second transaction: the rules are asked a last time, the certificate is completed, state VALID,
   event `certificate:issued`, its number in the change sequence, its OCSP answers made ahead.
6. Only then it is handed out.
A crash between 3 and 5 leaves an intent: its serial is never used again and it is never valid.
Refusals are events too (`certificate:refused`).

Renewal: the old certificate stays valid beside the new one until it expires or is revoked as superseded.
The holder's agent installs the new one first; where the old one died at once, a lost answer would
lock its holder out.

Inside: `certificates` (the six steps), `drafts` (what is on its way, and its events), `authorities` (the
founding's own certificates). Not here: who may ask (registration, enrolment), revoking (revocation).
Standard: RFC 5280 section 4; RFC 2986.
"""

from __future__ import annotations

from doorward.authority.issuing.authorities import certify_issuing, certify_responder, certify_root
from doorward.authority.issuing.certificates import Issued, issue, issue_server, renew

__all__ = [
    "Issued",
    "certify_issuing",
    "certify_responder",
    "certify_root",
    "issue",
    "issue_server",
    "renew",
]
