"""The options of a gateway, and the parts that depend on nothing but them.

Not here: the gateway itself (door), and how the options are read from settings (runtime).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from doorward.access.deciding import AccessDecider
from doorward.gateway.connections.cutter import Mechanism
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.connections.journal import Journal
from doorward.gateway.connections.quota import ConnectionQuota
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.envoy.program import EnvoyOptions
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.policy_snapshot import PolicySnapshots
from doorward.stores.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """The options of a gateway.

    Args:
        name: its name among the gateways.
        issuer: `iss` of its assertions.
        folder: keys, Envoy's runs, the access log; readable by this user only.
        door: listeners, sockets, limits.
        envoy: how Envoy is run.
        listeners: where Envoy will listen, as the kernel sees it.
        max_staleness: how long the change sequence may go unread before new connections are refused.
        lifetime: of a connection.
        boot_id: the kernel's id of this boot; a journal of another boot is ignored.
        mechanism: how connections are cut; None tries which mechanism works.
    """

    name: str
    issuer: str
    folder: Path
    door: DoorSettings
    envoy: EnvoyOptions
    listeners: tuple[Endpoint, ...]
    max_staleness: timedelta
    lifetime: timedelta
    boot_id: str
    mechanism: Mechanism | None = None


def build_connections(options: GatewayOptions, sequence: int) -> ConnectionRegistry:
    """Return the registry of connections; it adopts those that the journal has of an Envoy that ran on."""
    limits = options.door.limits
    return ConnectionRegistry(
        Journal(options.folder / "connections.journal", boot_id=options.boot_id),
        sequence=sequence,
        max_total=limits.connections,
        max_per_source=limits.connections_per_source,
        anonymous=ConnectionQuota(*limits.anonymous_share),
        max_per_principal=limits.share_of_principal,
    )


def build_decider(
    services: Services,
    gateway_id: str,
    options: GatewayOptions,
    snapshots: PolicySnapshots,
    evidence_cache: EvidenceCache,
) -> AccessDecider:
    """Return the decider of connections, with this gateway's limits."""
    return AccessDecider(
        services,
        evidence_cache,
        snapshots,
        gateway_id=gateway_id,
        lifetime=options.lifetime,
        anonymous_lifetime=options.door.limits.anonymous_lifetime,
        refused_lifetime=options.door.limits.refused_lifetime,
    )
