"""What shows control of a host while an order is open: for the listener of http-01 and for gateways.

Not here: making challenges (filling), how they are shown (web, gateway, runtime.acme).
"""

from __future__ import annotations

from doorward.stores.services import Services
from doorward.wire.acme import ChallengeKind


def find_authorization(services: Services, token: str) -> str | None:
    """Return the key authorization of an open http-01 challenge; None if there is no such token, or its time is over."""
    with services.work.read() as stores:
        found = stores.acme.challenge(token)
    if found is None or found.kind != ChallengeKind.HTTP.value or found.ends_at <= services.clock.now():
        return None
    return found.authorization
