"""The settings of certificates: how long new ones last.

Not here: what a lifetime means for a certificate (`pki.profiles`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from pydantic import BaseModel, Field

from doorward.core.lifetimes import DEVICE_LIFETIME, PERSON_LIFETIME, SERVICE_LIFETIME, SHORTEST_LIFE
from doorward.runtime.durations import Duration

_SHORT = "At most 7d makes short-lived certificates: they have the extension noRevAvail, and name no CRL and no OCSP responder."


class CertificateSettings(BaseModel):
    """How long the certificates last that are issued from now on."""

    person_lifetime: Duration = Field(
        default=PERSON_LIFETIME.default,
        ge=SHORTEST_LIFE,
        le=PERSON_LIFETIME.longest,
        description=f"How long new certificates of people last. {_SHORT}",
    )
    device_lifetime: Duration = Field(
        default=DEVICE_LIFETIME.default,
        ge=SHORTEST_LIFE,
        le=DEVICE_LIFETIME.longest,
        description=f"How long new certificates of devices last. {_SHORT}",
    )
    service_lifetime: Duration = Field(
        default=SERVICE_LIFETIME.default,
        ge=SHORTEST_LIFE,
        le=SERVICE_LIFETIME.longest,
        description=f"How long new certificates of services last. {_SHORT}",
    )

    @property
    def lifetimes(self) -> Mapping[str, timedelta]:
        """The lifetimes by the name of their profile."""
        return {
            "person": self.person_lifetime,
            "device": self.device_lifetime,
            "service": self.service_lifetime,
        }
