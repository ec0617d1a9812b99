"""A claim to a certificate for a key that was made here, and not by the device.

The event `certificate:key-generated` is in the transaction in which the certificate becomes valid. A reader of the
evidence sees that this key was once outside of its device.
Standard: RFC 7030 section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.audit.events import EventType
from doorward.authority.issuing import Claim, Entitlement
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.pki.profiles import profile_for
from doorward.stores.events import new_event
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateRecord
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True)
class GeneratedKeyClaim:
    """Another claim, for devices only, that records how the key was made."""

    claim: Claim

    @property
    def actor(self) -> str:
        """As the claim."""
        return self.claim.actor

    @property
    def holder(self) -> str:
        """As the claim."""
        return self.claim.holder

    @property
    def name(self) -> str:
        """As the claim."""
        return self.claim.name

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        """Return the entitlement of the claim.

        Raises:
            RequestRefused: `key-generation-refused` if it is not a device's; as the claim.
        """
        entitlement = self.claim.examine(stores, now)
        if entitlement.profile.name != profile_for(PrincipalKind.DEVICE).name:
            raise RequestRefused(
                "key-generation-refused",
                "keys are made here for devices only",
                hint="make the key where it is used, and send a request for it to simpleenroll",
            )
        return entitlement

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Use the claim up."""
        self.claim.redeem(services, stores, record)

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        """Settle the claim, and record that the key was made here."""
        self.claim.settle(services, stores, record)
        event = new_event(
            services,
            EventType.CERTIFICATE_KEY_GENERATED,
            actor=self.actor,
            data={"certificate": record.id, "principal": self.holder},
            personal={"name": self.name},
        )
        stores.outbox.add(event)
