"""tls-alpn-01: waiting until every gateway shows a challenge certificate."""

from __future__ import annotations

from collections.abc import Callable

from doorward.authority.acme.ports import AcmeRefusal
from doorward.authority.acme.showing import lacking_gateways
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.stores.services import Services

SECONDS = 30.0
"""A gateway publishes within a second, and reports at once."""

_PAUSE_SECONDS = 0.1


class AlpnProver:
    """Shows control through the door.

    Args:
        services: the ports of this process.
        wait: sleeps so many seconds.
        seconds: how long gateways have.
    """

    def __init__(
        self, services: Services, wait: Callable[[float], object], *, seconds: float = SECONDS
    ) -> None:
        self._services = services
        self._wait = wait
        self._seconds = seconds

    def present(self, challenge: AcmeChallengeRecord) -> None:
        """Wait for the gateways, which read the challenge from the store.

        Raises:
            AcmeRefusal: `acme-challenge-failed`, with the gateway that does not show it.
        """
        until = self._services.clock.monotonic() + self._seconds
        while lacking := lacking_gateways(self._services, challenge):
            if self._services.clock.monotonic() > until:
                who = f"the gateway {lacking[0]} does not" if lacking[0] else "no gateway runs; none can"
                raise AcmeRefusal("acme-challenge-failed", f"{who} show the challenge of {challenge.host}")
            self._wait(_PAUSE_SECONDS)

    def withdraw(self, challenge: AcmeChallengeRecord) -> None:
        """Do nothing: the challenge ends with its order."""
