"""All Envoy resources of one plan, as files with versions, and as one static configuration for validation.

`envoy --mode validate` does not open the files that a dynamic configuration names (measured). So the static configuration is
made *from* the published dicts, and Envoy validates exactly the content that is published.
Not here: writing the files (gateway.publishing.publisher).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from doorward.enforcement.envoy.assembly import build_clusters, build_extensions, build_route_tables
from doorward.enforcement.envoy.bootstrap import build_base
from doorward.enforcement.envoy.listener import build_listener
from doorward.enforcement.envoy.tls import build_secrets
from doorward.enforcement.envoy.version import version_of
from doorward.enforcement.plan import GatewayPlan

Resource = dict[str, Any]


class DiscoveryService(IntEnum):
    """Envoy's discovery services (xDS) in the order of publishing: a resource comes after the resources that it names."""

    SDS = 1
    CDS = 2
    ECDS = 3
    RDS = 4
    LDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFile:
    """One file that Envoy watches; `version` is the hash of its resources, `name` its path below `xds`."""

    name: str
    service: DiscoveryService
    version: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The whole dynamic configuration of one gateway; `base` is the static part, which is fixed at the start."""

    secrets: Mapping[str, Resource]
    clusters: tuple[Resource, ...]
    routes: Mapping[str, Resource]
    extensions: Mapping[str, Resource]
    listeners: tuple[Resource, ...]
    base: Resource

    @property
    def version(self) -> str:
        """The hash of all files together."""
        return version_of("".join(f"{one.name} {one.version}\n" for one in self.files()).encode())

    def files(self) -> tuple[ResourceFile, ...]:
        """Return every file, in the order of publishing."""
        return (
            *(
                render_file(f"sds/{name}.json", DiscoveryService.SDS, (one,))
                for name, one in self.secrets.items()
            ),
            render_file("cds.json", DiscoveryService.CDS, self.clusters),
            *(
                render_file(f"ecds/{name}.json", DiscoveryService.ECDS, (one,))
                for name, one in self.extensions.items()
            ),
            *(
                render_file(f"rds/{name}.json", DiscoveryService.RDS, (one,))
                for name, one in self.routes.items()
            ),
            render_file("lds.json", DiscoveryService.LDS, self.listeners),
        )


def build_resources(plan: GatewayPlan) -> Resources:
    """Compile a plan; equal plans give byte-equal files."""
    return Resources(
        secrets=build_secrets(plan),
        clusters=build_clusters(plan),
        routes=build_route_tables(plan),
        extensions=build_extensions(plan),
        listeners=(build_listener(plan),),
        base=build_base(plan.paths, plan.limits),
    )


def render_file(name: str, service: DiscoveryService, resources: tuple[Resource, ...]) -> ResourceFile:
    """Return the discovery file of some resources; Envoy shows its version (`version_gauge`)."""
    version = version_of(_canonical(resources))
    content = _canonical({"version_info": version, "resources": resources})
    return ResourceFile(name=name, service=service, version=version, content=content)


def static_rendering(resources: Resources) -> Resource:
    """Return one bootstrap with all resources inlined, for `envoy --mode validate`.

    Each reference to a secret, route table or network filter is replaced by the resource. Nothing else changes.
    """
    whole = copy.deepcopy(resources.base)
    static = whole["static_resources"]
    static["secrets"] = [_untyped(one) for one in resources.secrets.values()]
    static["clusters"] += [_untyped(one) for one in resources.clusters]
    static["listeners"] = [_inlined(_untyped(one), resources) for one in resources.listeners]
    return whole


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


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
