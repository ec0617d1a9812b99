"""The terms of renewal: how long after its end a certificate may be renewed, and how often.

Not here: the rules (`authority.issuing.renewal`), reading the settings (`runtime.settings`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.core.entities import PrincipalKind

DAYS_AFTER_END = 30
"""A laptop or a sensor that was switched off for a few weeks comes back without a person."""

LONGEST_AFTER_END = timedelta(days=365)
"""No setting allows a later renewal."""

RENEWALS_PER_DAY = 300
"""Of one principal. A certificate of one hour is renewed 36 times a day, so eight instances of a service have room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalTerms:
    """What the settings say about renewal.

    Args:
        device_after_end: how long after its end a device's certificate may be renewed, once; 0 is never.
        service_after_end: the same for a service.
        most_per_day: renewals of one principal within 24 hours.
        hold_suspected_clones: put the newest certificate of a line on hold if somebody else has a key of the line.
    """

    device_after_end: timedelta = timedelta(days=DAYS_AFTER_END)
    service_after_end: timedelta = timedelta(days=DAYS_AFTER_END)
    most_per_day: int = RENEWALS_PER_DAY
    hold_suspected_clones: bool = False

    def after_end(self, kind: PrincipalKind) -> timedelta:
        """Return how long after its end a certificate of this kind of principal may be renewed; people have the portal."""
        match kind:
            case PrincipalKind.DEVICE:
                return self.device_after_end
            case PrincipalKind.SERVICE:
                return self.service_after_end
            case _:
                return timedelta(0)
