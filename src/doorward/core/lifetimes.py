"""How long the client certificates of each profile last: the default, and the longest that a setting may choose.

Not here: what a certificate of a profile may contain (`pki.profiles`). Settings need these numbers, and no certificates.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

_DAY = timedelta(days=1)


class Lifetime(NamedTuple):
    """The default and the longest lifetime of a profile."""

    default: timedelta
    longest: timedelta


PERSON_LIFETIME = Lifetime(90 * _DAY, 398 * _DAY)
DEVICE_LIFETIME = Lifetime(365 * _DAY, 825 * _DAY)
SERVICE_LIFETIME = Lifetime(90 * _DAY, 398 * _DAY)

SHORT_LIFE = 7 * _DAY
"""The longest lifetime without revocation information: that of short-lived certificates on the public web (CA/Browser
Forum, Baseline Requirements, section 1.6.1)."""

SHORTEST_LIFE = timedelta(hours=1)
"""The shortest lifetime of the settings: a renewal at two thirds of it leaves twenty minutes for further attempts."""
