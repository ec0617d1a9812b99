"""tls-alpn-01: the authority is told only once every gateway shows the challenge."""

from __future__ import annotations

import json

import pytest

from doorward.authority.acme.ports import AcmeRefusal
from doorward.authority.acme.showing import name_challenge
from doorward.authority.gateways import confirm
from doorward.core.entities import TENANT
from doorward.runtime.acme.alpn import AlpnProver
from doorward.stores.acme_protocols import AcmeChallengeRecord
from tests.support.ports import NOON
from tests.support.world import World, found_world

CHALLENGE = AcmeChallengeRecord(
    token="t" * 20,
    tenant=TENANT,
    order_id="ord_1",
    host="a.corp.example",
    kind="tls-alpn-01",
    authorization="t.x",
    ends_at=NOON,
)


def report(world: World, name: str, *shown: str) -> None:
    """Have a gateway report what it shows."""
    confirm(world.services, world.gateway(name).id, 0, json.dumps({"acme_challenges": shown}))


def prover(world: World, waited: list[float]) -> AlpnProver:
    """Return a prover that notes its waits; at the third one the second gateway is ready."""

    def wait(seconds: float) -> None:
        waited.append(seconds)
        world.clock.turn(seconds=seconds)
        if len(waited) == 3:
            report(world, "gateway-2", name_challenge(CHALLENGE))

    return AlpnProver(world.services, wait, seconds=5)


def test_every_gateway_is_waited_for() -> None:
    """The authority may ask any of them."""
    world, waited = found_world(), list[float]()
    report(world, "gateway-1", name_challenge(CHALLENGE))
    report(world, "gateway-2")
    prover(world, waited).present(CHALLENGE)
    assert len(waited) == 3


def test_a_gateway_that_does_not_show_it_is_named() -> None:
    """A failure at the authority would count; this one does not."""
    world = found_world()
    report(world, "gateway-1")
    with pytest.raises(AcmeRefusal, match="the gateway gateway-1 does not show"):
        prover(world, [0.0] * 9).present(CHALLENGE)


def test_without_a_gateway_nothing_can_be_shown() -> None:
    """The message says so."""
    with pytest.raises(AcmeRefusal, match="no gateway runs"):
        prover(found_world(), [0.0] * 9).present(CHALLENGE)
