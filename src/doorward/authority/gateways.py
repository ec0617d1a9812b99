"""The gateways, and how far each has followed the changes.

Not here: their orders for server certificates (orders), what a gateway does with a change (gateway), and the event
`gateway:started`, which the gateway records itself, since it alone knows what it can do.
"""

from __future__ import annotations

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
"""A gateway that was not heard of for three times its longest staleness (5 s) counts as away."""

PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.005

JWK_LIMIT = 4096
STATUS_LIMIT = 65_536
"""Characters: with fifty applications that do not answer, and everything wrong at once, it is 15,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether one gateway enforces everything up to a number; `fresh` is whether it was heard of lately.

    A gateway that is neither confirmed nor fresh is away: by DESIGN 2 it refuses new connections itself.
    """

    gateway: GatewayRecord
    confirmed: bool
    fresh: bool


def register_gateway(services: Services, *, name: str, assertion_jwk: str) -> GatewayRecord:
    """Add a gateway, or take over the one of that name; `gateway:started`, its own event, names who started it.

    Args:
        services: the ports of this process.
        name: `[a-z0-9][a-z0-9._-]{0,62}`, for people.
        assertion_jwk: the public key of its assertions, JSON, at most 65,536 characters.

    Raises:
        MalformedInput: `name-malformed`, `jwk-too-large`.
        NotFound: `not-founded`.
    """
    parse_principal_name(name)
    if len(assertion_jwk) > JWK_LIMIT:
        raise MalformedInput("jwk-too-large", f"a gateway's public key has at most {JWK_LIMIT} characters")
    with services.work.change() as stores:
        require_tenant(stores)
        known = next((one for one in stores.gateways.list() if name == one.name), None)
        gateway = GatewayRecord(
            id=known.id if known else services.new_id("gtw"),
            tenant=TENANT,
            name=name,
            confirmed_seq=known.confirmed_seq if known else 0,
            seen_at=services.clock.now(),
            status="starting",
            assertion_jwk=assertion_jwk,
        )
        stores.gateways.save(gateway)
    return gateway


def confirm(services: Services, gateway_id: str, seq: int, status: str) -> None:
    """Note that a gateway enforces everything up to `seq`; `status` is its own JSON, at most 4096 characters.

    Raises:
        MalformedInput: `status-too-large`.
    """
    if len(status) > STATUS_LIMIT:
        raise MalformedInput("status-too-large", f"a gateway's status has at most {STATUS_LIMIT} characters")
    with services.work.change() as stores:
        stores.gateways.confirm(gateway_id, seq, services.clock.now(), status)


def deregister_gateway(services: Services, gateway_id: str) -> None:
    """Forget a gateway that was stopped in order, so that nobody waits for it."""
    with services.work.change() as stores:
        stores.gateways.remove(gateway_id)


def find_gateway(services: Services, name: str) -> GatewayRecord | None:
    """Return the gateway of this name, None where there is none."""
    with services.work.read() as stores:
        return next((one for one in stores.gateways.list() if one.name == name), None)


def withdraw_registration(services: Services, gateway_id: str, former: GatewayRecord | None) -> None:
    """Undo the registration of a gateway whose start failed: nobody waits for it.

    Args:
        services: the ports of this process.
        gateway_id: what the registration gave.
        former: what was registered before. It comes back, for a gateway that died may have left
            connections behind: it goes on to count as away, and not as one that never was.
    """
    with services.work.change() as stores:
        if former is None:
            stores.gateways.remove(gateway_id)
        else:
            stores.gateways.save(former)


def confirmations(services: Services, seq: int) -> list[Confirmation]:
    """Return for every gateway, sorted by name, whether it enforces everything up to `seq`."""
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
    """Wait until every gateway that was heard of lately enforces everything up to `seq`.

    Args:
        services: the ports of this process.
        seq: the number of a change.
        sleep: waits so many seconds.
        patience_seconds: how long to wait at most.

    Returns:
        The state of every gateway, and the seconds that were waited.
    """
    began = services.clock.monotonic()
    while True:
        states = confirmations(services, seq)
        waited = services.clock.monotonic() - began
        if all(one.confirmed or not one.fresh for one in states) or waited > patience_seconds:
            return states, waited
        sleep(POLL_SECONDS)
