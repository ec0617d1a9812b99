"""Gateways: registration and confirmations."""

from __future__ import annotations

import pytest

from doorward.authority import gateways
from doorward.core.errors import MalformedInput, NotFound
from tests.support.refusals import refused
from tests.support.world import empty_world


def register(world, **changes):
    """Register a gateway; `changes` replace arguments."""
    arguments = {"name": "gateway-1", "assertion_jwk": "{}", **changes}
    return gateways.register_gateway(world.services, **arguments)


def test_gateway_is_registered_and_starts_again(world):
    """A gateway keeps its id and its last confirmed change over a restart, by its name."""
    first = register(world)
    assert first.id.startswith("gtw_")
    gateways.confirm(world.services, first.id, 7, "well")
    again = register(world, assertion_jwk='{"kty":"EC"}')
    assert (again.id, again.assertion_jwk, again.confirmed_seq) == (first.id, '{"kty":"EC"}', 7)
    other = register(world, name="gateway-2")
    assert other.id != first.id
    assert [one.gateway.name for one in gateways.confirmations(world.services, 0)] == [
        "gateway-1",
        "gateway-2",
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"name": "Gateway 1"}, "name-malformed"), ({"assertion_jwk": "x" * 4097}, "jwk-too-large")],
)
def test_bad_registration_is_refused(world, change, code):
    """A malformed name and a too large public key are refused."""
    with refused(MalformedInput, code):
        register(world, **change)


def test_registration_needs_an_authority():
    """No gateway is registered before the founding."""
    with refused(NotFound, "not-founded"):
        register(empty_world())


def test_waiting_ends_when_every_gateway_that_lives_has_confirmed(world):
    """Without gateways there is no wait; otherwise the wait is limited."""
    services = world.services
    assert gateways.await_confirmations(services, 99, sleep=pytest.fail) == ([], 0)
    gateway = register(world)

    def confirmed(seconds):
        world.clock.turn(seconds=seconds)
        gateways.confirm(services, gateway.id, 7, "{}")

    states, waited = gateways.await_confirmations(services, 7, sleep=confirmed)
    assert [one.confirmed for one in states] == [True]
    assert waited == pytest.approx(gateways.POLL_SECONDS)
    states, waited = gateways.await_confirmations(services, 8, sleep=confirmed, patience_seconds=1)
    assert [(one.confirmed, one.fresh) for one in states] == [(False, True)]
    assert waited == pytest.approx(1, abs=0.01)


def test_a_gateway_that_is_away_is_not_waited_for(world):
    """A gateway that did not report recently delays no command."""
    register(world)
    world.clock.turn(seconds=16)
    states, waited = gateways.await_confirmations(world.services, 5, sleep=pytest.fail)
    assert [(one.confirmed, one.fresh, waited) for one in states] == [(False, False, 0)]


def test_confirmations_of_every_gateway(world):
    """Confirmed means up to that number; fresh means reported within fifteen seconds."""
    first, second = register(world), register(world, name="gateway-2")
    gateways.confirm(world.services, first.id, 5, "well")
    world.clock.turn(seconds=16)
    gateways.confirm(world.services, second.id, 4, "well")
    states = [(one.gateway.id, one.confirmed, one.fresh) for one in gateways.confirmations(world.services, 5)]
    assert states == [(first.id, True, False), (second.id, False, True)]
    assert all(one.confirmed for one in gateways.confirmations(world.services, 4))


def test_status_has_a_limit(world):
    """A gateway's status has a size limit."""
    gateway = register(world)
    with refused(MalformedInput, "status-too-large"):
        gateways.confirm(world.services, gateway.id, 5, "x" * (gateways.STATUS_LIMIT + 1))


def test_stopped_gateway_is_forgotten(world):
    """A gateway that was stopped normally is not waited for."""
    gateway = register(world)
    gateways.deregister_gateway(world.services, gateway.id)
    assert gateways.confirmations(world.services, 0) == []
