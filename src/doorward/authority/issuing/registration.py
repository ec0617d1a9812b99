"""RA: the rules about which principal may get a certificate.

Not here: which certificate may be renewed (renewal), the content of the certificate (pki.profiles), issuing it
(certificates). The function returns the record, or refuses with a reason and the next step. It uses the stores of the
caller's transaction, so that its result still holds when the intent is recorded.
"""

from __future__ import annotations

from doorward.core.entities import TENANT, Principal, PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.protocols import Stores


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
