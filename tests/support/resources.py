"""All Envoy resources of one plan as plain dictionaries, for tests that read or alter them; and as one static configuration.

The product compiles and packs one door after the other (gateway.publishing.door_packing), from the same functions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from doorward.enforcement.envoy.assembly import build_door_parts, build_sessions_cluster
from doorward.enforcement.envoy.bootstrap import build_base
from doorward.enforcement.envoy.listener import build_listener_frame
from doorward.enforcement.envoy.names import TRUST_SECRET
from doorward.enforcement.envoy.sessions import build_session_extension
from doorward.enforcement.envoy.tls import build_own_trust
from doorward.enforcement.plan import GatewayPlan

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The whole dynamic configuration of one gateway; `base` is the static part, which is fixed at the start."""

    secrets: Mapping[str, Resource]
    clusters: tuple[Resource, ...]
    routes: Mapping[str, Resource]
    extensions: Mapping[str, Resource]
    listeners: tuple[Resource, ...]
    base: Resource

    def every(self) -> tuple[Resource, ...]:
        """Every dynamic resource."""
        return (
            *self.clusters,
            *self.secrets.values(),
            *self.extensions.values(),
            *self.routes.values(),
            *self.listeners,
        )

    def by_name(self) -> dict[str, Resource]:
        """Every dynamic resource under its kind and name, as `Secret/trust`."""
        return {f"{one['@type'].rpartition('.')[2]}/{one['name']}": one for one in self.every()}


def build_resources(plan: GatewayPlan) -> Resources:
    """Compile a plan."""
    parts = [build_door_parts(plan, one) for one in plan.every_door]
    sessions = build_sessions_cluster(plan)
    clusters = [*(one.cluster for one in parts), *([] if sessions is None else [sessions])]
    secrets = [build_own_trust(plan.trust), *(secret for one in parts for secret in one.secrets)]
    listener = build_listener_frame(plan, {host: lead for one in parts for host, lead in one.matches.items()})
    listener["filter_chains"] = [*(one.chain for one in parts), *listener["filter_chains"]]
    return Resources(
        secrets={TRUST_SECRET: secrets[0], **_named(secrets[1:])},
        clusters=tuple(sorted(clusters, key=lambda one: str(one["name"]))),
        routes=_named(one.table for one in parts),
        extensions=_named([*(one.extension for one in parts), build_session_extension(plan)]),
        listeners=(listener,),
        base=build_base(plan.paths, plan.limits),
    )


def changed(before: Resources, after: Resources) -> list[str]:
    """The kinds and names of resources that differ, gone and new ones included."""
    old, new = before.by_name(), after.by_name()
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def static_rendering(resources: Resources) -> Resource:
    """One bootstrap with all resources inlined: what a person reads in the golden file.

    Each reference to a secret, route table or network filter is replaced by the resource. Nothing else changes.
    """
    whole = copy.deepcopy(resources.base)
    static = whole["static_resources"]
    static["secrets"] = [_untyped(one) for one in resources.secrets.values()]
    static["clusters"] += [_untyped(one) for one in resources.clusters]
    static["listeners"] = [_inlined(_untyped(one), resources) for one in resources.listeners]
    return whole


def _named(found: Iterable[Resource | None]) -> dict[str, Resource]:
    there = [one for one in found if one is not None]
    return {one["name"]: one for one in sorted(there, key=lambda one: str(one["name"]))}


def _inlined(value: Any, resources: Resources) -> Any:
    if isinstance(value, list):
        return [_inlined(one, resources) for one in value]
    if not isinstance(value, dict):
        return value
    if "config_discovery" in value:
        return _untyped(resources.extensions[value["name"]])
    out = {key: _inlined(one, resources) for key, one in value.items() if key not in {"sds_config", "rds"}}
    if "rds" in value:
        out["route_config"] = _untyped(resources.routes[value["rds"]["route_config_name"]])
    return out


def _untyped(resource: Resource) -> Resource:
    return {key: value for key, value in resource.items() if key != "@type"}
