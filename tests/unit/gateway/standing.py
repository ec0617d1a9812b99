"""Live connections of a founded world, admitted as the authorizer admits them, for the tests of this folder."""

from __future__ import annotations

from doorward.gateway.connections.connection import LiveConnection
from doorward.gateway.connections.registry import ConnectionRegistry
from tests.support.world import Held, World
from tests.unit.gateway.live import pending


def enter(
    world: World, connections: ConnectionRegistry, held: Held, cookie: int, *, app: str = "payments"
) -> LiveConnection:
    """Judge and admit a connection of that certificate; it must be let in."""
    begun = pending(
        cookie,
        remote=f"198.51.100.7:{1000 + cookie}",
        app=world.application_id(app),
        opened_at=world.clock.now(),
    )
    connections.begin(begun)
    decision = world.decide(held.der, app)
    connection = LiveConnection.admitted(begun, decision)
    assert connections.admit(connection, judged_at=decision.seq)
    return connection
