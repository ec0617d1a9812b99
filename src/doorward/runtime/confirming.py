"""Waiting until the gateways enforce a change, and saying which do not."""

from __future__ import annotations

import time

from doorward.authority.gateways import Confirmation, confirmations
from doorward.stores.services import Services

PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.005


def await_gateways(services: Services, seq: int) -> tuple[list[Confirmation], float]:
    """Wait until every gateway that is alive has confirmed `seq`.

    Returns:
        The state of every gateway, and the seconds that were waited.
    """
    begin = time.monotonic()
    while True:
        states = confirmations(services, seq)
        waited = time.monotonic() - begin
        if all(one.confirmed or not one.fresh for one in states) or waited > PATIENCE_SECONDS:
            return states, waited
        time.sleep(POLL_SECONDS)
