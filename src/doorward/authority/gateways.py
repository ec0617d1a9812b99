"""The registered gateways, and the last change that each one has confirmed.

Not here: their orders for server certificates (orders), what a gateway does with a change (gateway), the event
`gateway:started` (the gateway records it, because only the gateway knows whether it can cut connections).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from doorward.core.entities import TENANT
from doorward.core.errors import MalformedInput
from doorward.core.names import parse_principal_name
from doorward.stores.prerequisites import require_tenant
from doorward.stores.records import GatewayRecord
from doorward.stores.services import Services

FRESH_WITHIN = timedelta(seconds=15)
"""A gateway that did not report for this time counts as away: three times its longest staleness of 5 s."""

PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.005

STARTING = "starting"
"""The status of a gateway that has registered and has not opened its door yet."""

JWK_LIMIT = 4096
STATUS_LIMIT = 65_536
"""Characters; the status of a gateway with fifty applications that do not answer has about 15,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether one gateway enforces every change up to a number; `fresh` is whether it reported recently.

    A gateway that is neither confirmed nor fresh is away. A gateway that cannot read the changes refuses new connections.
    """

    gateway: GatewayRecord
    confirmed: bool
    fresh: bool


def register_gateway(services: Services, *, name: str, assertion_jwk: str) -> GatewayRecord:
    """Register a gateway, or replace the registration of the gateway with this name.

    Args:
        services: the ports of this process.
        name: `[a-z0-9][a-z0-9._-]{0,62}`, for people.
        assertion_jwk: the public key that verifies its assertions, JWK JSON, at most 4,096 characters.

    Raises:
        MalformedInput: `name-malformed`, `jwk-too-large`.
        NotFound: `not-founded`.
    """
    parse_principal_name(name)
    if len(assertion_jwk) > JWK_LIMIT:
        raise MalformedInput(
            "jwk-too-large",
            f"the gateway's public key has {len(assertion_jwk)} characters; {JWK_LIMIT} are allowed",
        )
    with services.work.change() as stores:
        require_tenant(stores)
        known = next((one for one in stores.gateways.list() if name == one.name), None)
        gateway = GatewayRecord(
            id=known.id if known else services.new_id("gtw"),
            tenant=TENANT,
            name=name,
            confirmed_seq=known.confirmed_seq if known else 0,
            seen_at=services.clock.now(),
            status=STARTING,
            assertion_jwk=assertion_jwk,
        )
        stores.gateways.save(gateway)
    return gateway


def confirm(services: Services, gateway_id: str, seq: int, status: str) -> None:
    """Note that a gateway enforces every change up to `seq`; `status` is its JSON, at most 65,536 characters.

    Raises:
        MalformedInput: `status-too-large`.
    """
    if len(status) > STATUS_LIMIT:
        raise MalformedInput(
            "status-too-large",
            f"the gateway's status has {len(status)} characters; {STATUS_LIMIT} are allowed",
        )
    with services.work.change() as stores:
        stores.gateways.confirm(gateway_id, seq, services.clock.now(), status)


def deregister_gateway(services: Services, gateway_id: str) -> None:
    """Remove the registration of a gateway that was stopped normally, so that no command waits for it."""
    with services.work.change() as stores:
        stores.gateways.remove(gateway_id)


def find_gateway(services: Services, name: str) -> GatewayRecord | None:
    """Return the gateway with this name, None if there is none."""
    with services.work.read() as stores:
        return next((one for one in stores.gateways.list() if one.name == name), None)


def withdraw_registration(services: Services, gateway_id: str, former: GatewayRecord | None) -> None:
    """Undo the registration of a gateway that failed to start, so that no command waits for it.

    Args:
        services: the ports of this process.
        gateway_id: the id from the registration.
        former: the earlier registration with this name. It is restored, because that gateway may have left
            connections behind: it must be listed as away.
    """
    with services.work.change() as stores:
        if former is None:
            stores.gateways.remove(gateway_id)
        else:
            stores.gateways.save(former)


def confirmations(services: Services, seq: int) -> list[Confirmation]:
    """Return for every gateway, sorted by name, whether it enforces every change up to `seq`."""
    now = services.clock.now()
    with services.work.read() as stores:
        return [
            Confirmation(
                gateway=one, confirmed=one.confirmed_seq >= seq, fresh=now - one.seen_at <= FRESH_WITHIN
            )
            for one in stores.gateways.list()
        ]


def await_confirmations(
    services: Services,
    seq: int,
    *,
    sleep: Callable[[float], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> tuple[list[Confirmation], float]:
    """Wait until every gateway that reported recently enforces every change up to `seq`.

    Args:
        services: the ports of this process.
        seq: the number of a change.
        sleep: waits for a number of seconds.
        patience_seconds: the longest time to wait.

    Returns:
        The state of every gateway, and the seconds of waiting.
    """
    began = services.clock.monotonic()
    while True:
        states = confirmations(services, seq)
        waited = services.clock.monotonic() - began
        if all(one.confirmed or not one.fresh for one in states) or waited > patience_seconds:
            return states, waited
        sleep(POLL_SECONDS)


def refused_applications(gateway: GatewayRecord) -> dict[str, str]:
    """Return the applications of which Envoy refused a part at this gateway, each with Envoy's words."""
    try:
        found = json.loads(gateway.status)["refused"]
        return {str(name): str(words) for name, words in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # a gateway that starts, or of an older version
