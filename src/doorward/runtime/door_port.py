"""The door's listening addresses, and the check before a start that they are free.

Not here: Envoy's listeners (enforcement).
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
    """Raise `Unavailable` if the door cannot listen; as root, the error names the program that has the port."""
    check_not_taken(door_listeners(settings), layout.gateway / "envoy")
