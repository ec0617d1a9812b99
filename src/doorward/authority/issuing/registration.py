"""RA: the rules about which principal may get a certificate, and which certificate may be renewed.

Not here: the content of the certificate (pki.profiles), issuing it (certificates). Each function returns the record, or
refuses with a reason and the next step. They use the stores of the caller's transaction, so
that their result still holds when the intent is recorded.
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
    """Return a principal that may get certificates.

    Raises:
        NotFound: `principal-unknown` (or of another tenant).
        RequestRefused: `principal-suspended`, `principal-removed`; `principal-of-a-partner`: the partner's
            authority gives it certificates, and a second one from us would be a second identity.
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
            f"{principal.name} gets its certificates from the partner's authority",
            hint="connect with that certificate; the partner renews it",
        )
    return principal


def require_renewable(stores: Stores, certificate_id: str, now: datetime) -> CertificateRecord:
    """Return a certificate that may be renewed: ours, of a principal, valid and not expired.

    Raises:
        NotFound: `certificate-unknown`.
        RequestRefused: `certificate-not-renewable`, with the reason in words. A revoked or held certificate proves
            nothing, and the key of an expired one may no longer be protected.
    """
    record = require_certificate(stores, certificate_id)
    why = ""
    theirs = record.profile == PARTNER_PROFILE
    if theirs:
        why = "a partner's authority issued it, and renews it"
    elif not record.principal_id:
        why = "it belongs to a server: gateways renew their certificates by themselves"
    elif record.state is not CertificateState.VALID:
        why = f"its state is {record.state.value}"
    elif has_ended(record.not_after, now):
        why = "it has expired"
    if why:
        invites = record.principal_id and not theirs
        hint = f"invite its holder again: doorward invite {record.subject_name}" if invites else ""
        raise RequestRefused("certificate-not-renewable", f"{record.id} cannot be renewed: {why}", hint=hint)
    return record
