"""RA: may this requester have this certificate?

Not here: what the certificate will say (pki.profiles), making it (issuing). Each function returns what
was asked for, or refuses with a reason and the next step. They run on the stores of a transaction, so
that what they found still holds when the intent is recorded.
"""

from __future__ import annotations

from datetime import datetime

from doorward.authority.inventory import require_certificate
from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.verification.validity import has_ended


def require_active(stores: Stores, principal_id: str) -> Principal:
    """Return the principal as the directory has it now.

    Raises:
        NotFound: `principal-unknown` (or of another tenant).
        RequestRefused: `principal-suspended`, `principal-removed`; `principal-of-a-partner`: its own
            authority gives it certificates, and two would be two identities.
    """
    principal = stores.directory.get(principal_id)
    if principal is None or principal.tenant != TENANT:
        raise NotFound("principal-unknown", "there is no such person, device or service")
    if principal.state is not PrincipalState.ACTIVE:
        state = principal.state.value
        raise RequestRefused(
            f"principal-{state}",
            f"{principal.name} is {state}: no certificate is issued",
            hint=f"an administrator can lift this: doorward {principal.kind.value} "
            f"{'resume' if principal.state is PrincipalState.SUSPENDED else 'add'} {principal.name}",
        )
    if principal.partner:
        raise RequestRefused(
            "principal-of-a-partner",
            f"{principal.name} has its certificates from its own authority",
            hint="it connects with the certificate it has; the partner renews it",
        )
    return principal


def require_renewable(stores: Stores, certificate_id: str, now: datetime) -> CertificateRecord:
    """Return a certificate that may have a successor: a principal's own, valid and in time.

    Raises:
        NotFound: `certificate-unknown`.
        RequestRefused: `certificate-not-renewable`, with the reason in words. A revoked or held
            certificate proves nothing any more, and after expiry nobody watched over its key.
    """
    record = require_certificate(stores, certificate_id)
    why = ""
    theirs = record.profile == PARTNER_PROFILE
    if theirs:
        why = "a partner's authority issued it, and renews it"
    elif not record.principal_id:
        why = "it belongs to a server: gateways renew theirs by themselves"
    elif record.state is not CertificateState.VALID:
        why = f"its state is {record.state.value}"
    elif has_ended(record.not_after, now):
        why = "it has expired"
    if why:
        invites = record.principal_id and not theirs
        hint = f"invite its holder anew: doorward invite {record.subject_name}" if invites else ""
        raise RequestRefused("certificate-not-renewable", f"{record.id} cannot be renewed: {why}", hint=hint)
    return record
