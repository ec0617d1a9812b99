"""Live connections of a founded world, admitted as the authorizer admits them, for the tests of this folder."""

from __future__ import annotations

from doorward.core.entities import TENANT
from doorward.enforcement.transition import class_token
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.registry import Connections, LiveConnection
from tests.support.world import Held, World
from tests.unit.gateway.live import LOCAL, pending


def enter(
    world: World, connections: Connections, held: Held, cookie: int, *, app: str = "payments"
) -> LiveConnection:
    """Judge and admit a connection of that certificate; it must be let in."""
    connections.begin(pending(cookie, app=world.application_id(app)))
    decision = world.decide(held.der, app)
    assert decision.principal is not None, decision.verdict.reasons
    assert decision.certificate is not None
    connection = LiveConnection(
        cookie=cookie,
        connection_id=f"{cookie}",
        epoch=1,
        local=LOCAL,
        remote=parse_endpoint(f"198.51.100.7:{1000 + cookie}"),
        application_id=world.application_id(app),
        certificate_id=decision.certificate.id,
        sha256=decision.certificate.sha256,
        principal_id=decision.principal.id,
        subject=decision.subject,
        revision=decision.revision,
        grants=decision.grants,
        authority=decision.authority,
        deadline=decision.deadline,
        admitted_at=world.clock.now(),
        class_token=class_token(TENANT, world.application_id(app), decision.revision, decision.grants),
        decision=decision.event.id,
    )
    assert connections.admit(connection, judged_at=decision.seq)
    return connection
