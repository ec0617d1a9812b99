"""What Envoy and the discovery service say to each other, as values.

Not here: their bytes (api).
Standard: Envoy's xDS protocol, the incremental (delta) variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TYPE_PREFIX = "type.googleapis.com/"

CLUSTER = f"{TYPE_PREFIX}envoy.config.cluster.v3.Cluster"
SECRET = f"{TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = f"{TYPE_PREFIX}envoy.config.core.v3.TypedExtensionConfig"
LISTENER = f"{TYPE_PREFIX}envoy.config.listener.v3.Listener"
ROUTES = f"{TYPE_PREFIX}envoy.config.route.v3.RouteConfiguration"

TYPES = (CLUSTER, SECRET, EXTENSION, LISTENER, ROUTES)
"""The types in the order of publishing; what is removed is removed in reverse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedResource:
    """One resource as Envoy receives it.

    Args:
        type_url: such as `type.googleapis.com/envoy.config.cluster.v3.Cluster`.
        name: as the resource itself says.
        version: 24 hexadecimal digits of the body's SHA-256.
        body: the serialized message, which is the value of a `google.protobuf.Any`. Not shown: it may hold a key.
    """

    type_url: str
    name: str
    version: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRequest:
    """One `envoy.service.discovery.v3.DeltaDiscoveryRequest`: a subscription, an answer to a response, or both.

    Args:
        type_url: of the resources that it is about; any one, since Envoy may ask for types that we do not have.
        subscribe: names; `*` for all.
        unsubscribe: names.
        versions: name to version of the resources that Envoy has already, in the first request of a type.
        nonce: of the response that is answered; empty for a subscription only.
        refusal: why Envoy refused that response, one line that is safe to show; None if it accepted it.
    """

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""
    refusal: str | None = None
