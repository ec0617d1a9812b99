"""Claims: why a requester may get a certificate; and entitlements: what the certificate may contain.

A claim is a small value: an invitation, a gateway's order, a certificate to renew, an operator's request.
The module that knows the protocol makes the claim; issuing does not know the kinds of claims. It calls three methods:
1. `examine`, in steps 1 and 3: return the entitlement on this snapshot.
2. `redeem`, in step 3: use the claim up for exactly this certificate, by one conditional UPDATE in the
   transaction of the intent. Of two callers one succeeds, and the other gets no signature.
3. `settle`, in step 5: record the result in the transaction in which the certificate becomes valid.
A claim that may be used once is used up in `redeem`, because the key must not sign twice for it. A gateway's
order is answered in `settle`, also by one conditional UPDATE: after a crash it is still open, and is filled again.

`Claim` is a structural type: a module that makes claims need not import issuing (docs/design/0049). How
another protocol adds a claim is in docs/design/0057.

Not here: the rules about principals (registration) and renewal (renewal), the order of the steps (certificates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

from cryptography import x509

from doorward.authority.issuing.registration import require_active
from doorward.authority.issuing.renewal import (
    AlreadyRenewed,
    Renewal,
    require_due,
    require_newest,
    require_seldom,
    require_standing,
)
from doorward.authority.line import follow_line
from doorward.core.entities import PrincipalKind
from doorward.core.names import render_principal_uri
from doorward.pki.profiles import CertificateProfile, profile_for
from doorward.stores.prerequisites import require_tenant
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.renewal_terms import RenewalTerms
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitlement:
    """What a certificate may contain, because of a claim, on one snapshot.

    Args:
        profile: of the certificate.
        subject: the holder's name; it becomes the common name, cut to the limit.
        names: the subject alternative names.
        lifetime: the longest validity of the certificate; the settings may give it a shorter one.
        principal_id: the holder; empty for a gateway's certificate.
        replaces: the id of the certificate that is renewed; empty if there is none.
    """

    profile: CertificateProfile
    subject: str
    names: tuple[x509.GeneralName, ...]
    lifetime: timedelta
    principal_id: str = ""
    replaces: str = ""


class Claim(Protocol):
    """One request for a certificate, with the reason why the requester may get it."""

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
        """Return the entitlement.

        Raises:
            RequestRefused: the claim is not good now, or does not cover the requested names.
            NotFound: the record behind the claim does not exist.
        """
        ...

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the claim up for the intended certificate that is recorded in this transaction.

        Raises:
            RequestRefused: it was used, withdrawn or expired since `examine`.
        """
        ...

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Record the result of the claim, in the transaction in which the certificate becomes valid.

        Raises:
            RequestRefused: the certificate is not wanted any more; it never becomes valid.
        """
        ...


def entitlement_of(stores: Stores, principal_id: str, *, replaces: str = "") -> Entitlement:
    """Return the entitlement of an active principal: its own name, with the profile of its kind.

    Raises:
        NotFound: `principal-unknown`, `not-founded`.
        RequestRefused: as `registration.require_active`.
    """
    principal = require_active(stores, principal_id)
    domain = require_tenant(stores).trust_domain
    return _build_entitlement(domain, principal.kind, principal.name, principal.id, replaces)


# A batch has 64 claims, and each is examined twice. The arguments are read again in each transaction.
@lru_cache(maxsize=256)
def _build_entitlement(
    trust_domain: str, kind: PrincipalKind, name: str, principal_id: str, replaces: str
) -> Entitlement:
    profile = profile_for(kind)
    uri = render_principal_uri(trust_domain, kind, name)
    return Entitlement(
        profile=profile,
        subject=name,
        names=(x509.UniformResourceIdentifier(uri),),
        lifetime=profile.max_lifetime,
        principal_id=principal_id,
        replaces=replaces,
    )


class _ReusableClaim:
    """A claim that is not used up."""

    __slots__ = ()

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Do nothing."""

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorClaim(_ReusableClaim):
    """An operator requests a certificate for a principal.

    Args:
        actor: the operator.
        holder: the principal's id.
        name: the principal's name.
    """

    actor: str
    holder: str
    name: str

    def examine(self, stores: Stores, now: datetime) -> Entitlement:  # noqa: ARG002  as the claim has it
        """Return the principal's entitlement; raises as `entitlement_of`."""
        return entitlement_of(stores, self.holder)


Condition = Callable[[Stores, CertificateRecord], None]
"""A rule of one route about the certificate that is renewed."""


def no_condition(stores: Stores, record: CertificateRecord) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalClaim:
    """The holder of a certificate requests a new one with a new key; the old one stays valid beside it until its end.

    Args:
        actor: who asks.
        certificate: the certificate to renew.
        terms: as in the settings.
        may_branch: allow several successors of a person's certificate.
        key: the digest of the requested key, if it is known; then a refusal costs no preparation of a certificate.
        is_by_operator: an operator asks, who may renew at any time.
        condition: a rule of the route, which raises `RequestRefused`; checked with each of the others, so also in both
            transactions.
    """

    actor: str
    certificate: CertificateRecord
    terms: RenewalTerms = field(default_factory=RenewalTerms)
    may_branch: bool = False
    key: str = ""
    is_by_operator: bool = False
    condition: Condition = no_condition

    @property
    def holder(self) -> str:
        """The principal's id."""
        return self.certificate.principal_id

    @property
    def name(self) -> str:
        """The principal's name."""
        return self.certificate.subject_name

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the principal's entitlement; raises as the rules of `renewal`, and `entitlement_of`."""
        proven = "" if self.is_by_operator else self.key
        renewal = require_standing(stores, self.certificate.id, now, self.terms, proven_key=proven)
        self.condition(stores, renewal.record)
        if renewal.answer is not None:
            raise AlreadyRenewed(renewal.answer)
        if self.key:
            require_newest(stores, renewal, self.key, may_branch=self.may_branch)
            self._require_due(stores, renewal, now)
        return entitlement_of(stores, renewal.record.principal_id, replaces=renewal.record.id)

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Check every rule of `renewal` for the key of the intended certificate.

        Nothing is used up: of two requests at once, the one that becomes valid first wins in `settle`.

        Raises:
            AlreadyRenewed: it was renewed before with this key.
            RequestRefused: as `renewal`.
        """
        renewal, now = self._require(services, stores, record), services.clock.now()
        self._require_due(stores, renewal, now)
        require_seldom(stores, renewal, now, self.terms)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Check the rules once more: the certificate or its holder may have been withdrawn, or it was renewed by another request.

        The thief of a key must not get a new certificate with it. A suspicion about the line moves to its new end. Raises
        as `redeem`.
        """
        self._require(services, stores, record)
        follow_line(stores, self.certificate.id, record.id)

    def _require(self, services: Services, stores: Stores, record: CertificateRecord) -> Renewal:
        renewal = require_standing(stores, self.certificate.id, services.clock.now(), self.terms)
        self.condition(stores, renewal.record)
        require_newest(stores, renewal, record.spki_sha256, may_branch=self.may_branch)
        return renewal

    def _require_due(self, stores: Stores, renewal: Renewal, now: datetime) -> None:
        branches = self.may_branch and renewal.principal.kind is PrincipalKind.PERSON
        if not (self.is_by_operator or branches):
            require_due(stores, renewal, now)
