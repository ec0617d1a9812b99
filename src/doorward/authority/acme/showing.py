"""What shows control of a host while an order is open: for the listener of http-01 and for gateways.

Not here: making challenges (filling), how they are shown (web, gateway, runtime.acme).
"""

from __future__ import annotations

import hashlib
import json

from doorward.authority.gateways import confirmations
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.stores.records import GatewayRecord
from doorward.stores.services import Services
from doorward.wire.acme import ChallengeKind


def list_http_challenges(services: Services) -> list[AcmeChallengeRecord]:
    """Return the open http-01 challenges, by host."""
    return _list_open(services, ChallengeKind.HTTP)


def list_alpn_challenges(services: Services) -> list[AcmeChallengeRecord]:
    """Return the open tls-alpn-01 challenges, by host."""
    return _list_open(services, ChallengeKind.TLS_ALPN)


def _list_open(services: Services, kind: ChallengeKind) -> list[AcmeChallengeRecord]:
    now = services.clock.now()
    with services.work.read() as stores:
        found = stores.acme.challenges()
    return [one for one in found if one.kind == kind.value and one.ends_at > now]


def name_challenge(challenge: AcmeChallengeRecord) -> str:
    """Return the public name of a challenge, by which a gateway says that it shows it."""
    return hashlib.sha256(f"{challenge.host}\n{challenge.authorization}".encode()).hexdigest()[:32]


def lacking_gateways(services: Services, challenge: AcmeChallengeRecord) -> list[str]:
    """Return the names of the gateways that report but do not show a challenge yet; empty if all show it.

    An authority may ask any of them. Without a gateway that reports, the answer is one empty name.
    """
    name = name_challenge(challenge)
    fresh = [one.gateway for one in confirmations(services, 0) if one.fresh]
    return [one.name for one in fresh if name not in shown_challenges(one)] if fresh else [""]


def shown_challenges(gateway: GatewayRecord) -> list[str]:
    """Return the challenges that a gateway says it shows."""
    try:
        return [str(one) for one in json.loads(gateway.status)["acme_challenges"]]
    except (ValueError, KeyError, TypeError):
        return []  # a gateway that starts, or of an older version
