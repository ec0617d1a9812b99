"""The statistics of a running Envoy, as far as other modules read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class EnvoyStatistics(Protocol):
    """The statistics of an Envoy; `AdminClient` has them."""

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        """Return the counters and gauges with a name that contains `pattern` (RE2).

        Raises:
            Unavailable: Envoy does not answer.
        """
        ...


class EnvoyCounters(Protocol):
    """The counters of an Envoy that have counted something; `AdminClient` has them."""

    def used_counters(self, pattern: str) -> Mapping[str, int]:
        """Return those with a name that contains `pattern` (RE2).

        Raises:
            Unavailable: Envoy does not answer.
        """
        ...
