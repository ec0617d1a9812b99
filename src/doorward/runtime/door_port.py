"""Where the door listens, by its settings, and whether it can: asked before a start begins anything.

Not here: what Envoy is told of it (enforcement).
"""

from __future__ import annotations

from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.envoy.taken_port import check_not_taken
from doorward.runtime.layout import Layout
from doorward.runtime.settings import Settings, split_listen


def door_listeners(settings: Settings) -> tuple[Endpoint, ...]:
    """Return the addresses on which Envoy takes connections."""
    host, port = split_listen(settings.gateway_listen)
    return (parse_endpoint(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"),)


def check_door_port(settings: Settings, layout: Layout) -> None:
    """Raise `Unavailable` if the door cannot listen; as root, the program in the way can be named."""
    check_not_taken(door_listeners(settings), layout.gateway / "envoy")
