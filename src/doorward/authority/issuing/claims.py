"""By which right a certificate is asked for, and what that right gives.

A claim is a small value: an invitation, a gateway's order, a certificate that is to be renewed, an operator's word.
The module that knows the right makes the claim; issuing knows none of them. It asks a claim three things:
1. `examine`, in steps 1 and 3: what does the right give, as of this snapshot?
2. `redeem`, in step 3: use the right up for exactly this certificate. One conditional UPDATE does it, in the
   transaction of the intent: of two callers one wins, and the other gets no signature.
3. `settle`, in step 5: the certificate becomes valid in this transaction; note what came of it.
A right that its holder may use once is used up in `redeem`, because the key must not sign twice for it. A gateway's
order is answered in `settle`, also by one conditional UPDATE: after a crash it is still open, and is filled again.

`Claim` is structural: a module that makes claims does not load issuing to define one (docs/design/0049). How
another protocol adds a claim is in docs/design/0057.

Not here: the rules about principals and renewal (registration), the order of the steps (certificates).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509

from doorward.authority.issuing.registration import require_active, require_renewable
from doorward.core.names import render_principal_uri
from doorward.pki.profiles import CertificateProfile, profile_for
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What a claim gives as of one snapshot; the certificate says this and no more.

    Args:
        profile: what the certificate is for.
        subject: the holder's name; the common name, cut to its limit.
        names: the subject alternative names.
        lifetime: how long the certificate is valid at most.
        principal_id: whose certificate it is; empty for a gateway's.
        replaces: the id of the certificate that it succeeds; empty if there is none.
    """

    profile: CertificateProfile
    subject: str
    names: tuple[x509.GeneralName, ...]
    lifetime: timedelta
    principal_id: str = ""
    replaces: str = ""


class Claim(Protocol):
    """One right, as one caller puts it forward."""

    @property
    def actor(self) -> str:
        """Who acts, in the events."""
        ...

    @property
    def holder(self) -> str:
        """The id of the principal or gateway that the certificate is for, in the events."""
        ...

    @property
    def name(self) -> str:
        """The holder's name, for the event of a refusal."""
        ...

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return what the right gives.

        Raises:
            RequestRefused: it gives nothing now, or not the names that are asked for.
            NotFound: what it rests on is not there.
        """
        ...

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the right up for the certificate whose intent is recorded in this transaction.

        Raises:
            RequestRefused: it was used up, withdrawn or ended since `examine`.
        """
        ...

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Note what came of the right, in the transaction in which the certificate becomes valid.

        Raises:
            RequestRefused: the certificate is not wanted any more; it never becomes valid.
        """
        ...


def entitlement_of(stores: Stores, principal_id: str, *, replaces: str = "") -> Entitlement:
    """Return what an active principal may have: its own name, by the profile of its kind.

    Raises:
        NotFound: `principal-unknown`, `not-founded`.
        RequestRefused: as `registration.require_active`.
    """
    principal = require_active(stores, principal_id)
    profile = profile_for(principal.kind)
    uri = render_principal_uri(require_tenant(stores).trust_domain, principal.kind, principal.name)
    return Entitlement(
        profile=profile,
        subject=principal.name,
        names=(x509.UniformResourceIdentifier(uri),),
        lifetime=profile.lifetime,
        principal_id=principal.id,
        replaces=replaces,
    )


class _ReusableClaim:
    """A right that is not used up."""

    __slots__ = ()

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Leave the right as it is."""

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Leave the right as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorClaim(_ReusableClaim):
    """An operator, who may write the directory, asks for a principal's certificate.

    Args:
        actor: the operator.
        holder: the principal's id.
        name: the principal's name.
    """

    actor: str
    holder: str
    name: str

    def examine(self, stores: Stores, now: datetime) -> Entitlement:  # noqa: ARG002  as the claim has it
        """Return the principal's right; raises as `entitlement_of`."""
        return entitlement_of(stores, self.holder)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalClaim(_ReusableClaim):
    """A valid certificate may have a successor of the same principal; it stays valid beside it.

    Args:
        actor: who asks.
        certificate: what is renewed.
    """

    actor: str
    certificate: CertificateRecord

    @property
    def holder(self) -> str:
        """The principal's id."""
        return self.certificate.principal_id

    @property
    def name(self) -> str:
        """The principal's name."""
        return self.certificate.subject_name

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the principal's right; raises as `registration.require_renewable` and `entitlement_of`."""
        record = require_renewable(stores, self.certificate.id, now)
        return entitlement_of(stores, record.principal_id, replaces=record.id)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:  # noqa: ARG002  as the claim has it
        """Refuse if the predecessor was revoked or held, or ended, since the intent.

        Its key was then not to be trusted, and a successor would carry the right on. Raises as
        `registration.require_renewable`.
        """
        require_renewable(stores, self.certificate.id, services.clock.now())
