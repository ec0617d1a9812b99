"""Envoy's messages: resources become bytes, requests become values.

The descriptors are the installed Envoy's own (`tools/envoy_api.py`), in a pool of their own: no generated code, and no
second package named `envoy`.
Standard: envoy/service/discovery/v3/discovery.proto; Protocol Buffers.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from doorward.core.errors import ConfigurationError, Fault, MalformedInput
from doorward.enforcement.envoy.version import version_of
from doorward.gateway.publishing.discovery.json_values import Misfit
from doorward.gateway.publishing.discovery.messages import TYPE_PREFIX, DiscoveryRequest, PackedResource
from doorward.gateway.publishing.discovery.packing import Packer, serialize
from doorward.gateway.publishing.discovery.refusals import explain_refusal

LONGEST_REQUEST = 8 << 20
"""Octets: the largest number of the longest names, with their versions."""

MOST_NAMES = 20_000
"""In each list of a request. A thousand applications have some 3,000 secrets."""

LONGEST_NAME = 256
LONGEST_WORD = 64
"""Of versions and nonces, which are ours and shorter."""

_DISCOVERY = "envoy.service.discovery.v3"
_DESCRIPTORS = lzma.decompress(Path(__file__).with_name("envoy_api.xz").read_bytes())
"""Read with the module: later the process may have no right to read the packages' folder."""


class EnvoyApi:
    """Packs resources, reads requests and writes responses; safe for use by several threads.

    Args:
        descriptors: a serialized `FileDescriptorSet`, each file after those that it imports.
    """

    def __init__(self, descriptors: bytes) -> None:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptors).file:
            pool.AddSerializedFile(file.SerializeToString())
        self._packer = Packer(pool)
        self._request: Any = GetMessageClass(
            pool.FindMessageTypeByName(f"{_DISCOVERY}.DeltaDiscoveryRequest")
        )
        self._response: Any = GetMessageClass(
            pool.FindMessageTypeByName(f"{_DISCOVERY}.DeltaDiscoveryResponse")
        )

    def pack(self, resource: Mapping[str, Any]) -> PackedResource:
        """Return a resource, a dictionary with `@type` and `name`, as Envoy receives it.

        Raises:
            ConfigurationError: `envoy-refused-configuration`, with the path of the field and without any value.
        """
        return self.pack_listener(resource, ())

    def pack_listener(self, listener: Mapping[str, Any], chains: Iterable[bytes]) -> PackedResource:
        """As `pack`, with filter chains that `pack_message` has packed already, after those of the dictionary."""
        url, name = str(listener.get("@type")), listener.get("name")
        if not url.startswith(TYPE_PREFIX) or not isinstance(name, str) or not name:
            raise _unfit("a resource has no @type, or no name")
        content = {key: one for key, one in listener.items() if key != "@type"}
        message: Any = self._build(url.removeprefix(TYPE_PREFIX), content, name)
        for chain in chains:
            message.filter_chains.add().MergeFromString(chain)
        body = serialize(message)
        version = version_of(body)
        return PackedResource(type_url=url, name=name, version=version, body=body)

    def pack_message(self, name: str, value: Mapping[str, Any]) -> bytes:
        """Return the bytes of any message, such as `envoy.config.listener.v3.FilterChain`; raises as `pack`."""
        return serialize(self._build(name, value, str(value.get("name", ""))))

    def _build(self, kind: str, value: Mapping[str, Any], name: str) -> Message:
        try:
            return self._packer.build(kind, value)
        except Misfit as misfit:
            said = f"{kind.rpartition('.')[2]} {name!r}, {misfit.path or 'the whole'}: {misfit.cause}"
        raise _unfit(said)  # outside of the block: otherwise the error would lead to frames with values

    def parse_request(self, data: bytes) -> DiscoveryRequest:
        """Return one `DeltaDiscoveryRequest`, any bytes within the limits of this module; `node` is not kept.

        Raises:
            MalformedInput: `discovery-request-malformed`.
        """
        return parse_discovery_request(data, self._request)

    def render_response(
        self, *, type_url: str, nonce: str, resource: PackedResource | None, removed: Sequence[str] = ()
    ) -> bytes:
        """Return one `DeltaDiscoveryResponse`: a resource, names that are gone, or both."""
        message = self._response(type_url=type_url, nonce=nonce, removed_resources=removed)
        if resource is not None:
            entry = message.resources.add(name=resource.name, version=resource.version)
            entry.resource.type_url, entry.resource.value = resource.type_url, resource.body
        return serialize(message)


def parse_discovery_request(data: bytes, kind: Any) -> DiscoveryRequest:
    """As `EnvoyApi.parse_request`; `kind` is the class of the message."""
    if len(data) > LONGEST_REQUEST:
        raise _malformed(f"a request has more than {LONGEST_REQUEST} octets")
    try:
        message = kind.FromString(data)
    except DecodeError:
        raise _malformed("a request is not a DeltaDiscoveryRequest") from None
    url = _word(message.type_url, LONGEST_NAME)
    refused = message.HasField("error_detail")
    versions = message.initial_resource_versions
    return DiscoveryRequest(
        type_url=url,
        subscribe=_names(message.resource_names_subscribe),
        unsubscribe=_names(message.resource_names_unsubscribe),
        versions={name: _word(versions[name], LONGEST_WORD) for name in _names(versions)},
        nonce=_word(message.response_nonce, LONGEST_WORD),
        refusal=explain_refusal(url, message.error_detail.message) if refused else None,
    )


@cache
def load_api() -> EnvoyApi:
    """Return the API of the Envoy that this Doorward was made for; it takes some milliseconds once."""
    return EnvoyApi(_DESCRIPTORS)


def _unfit(said: str) -> ConfigurationError:
    return ConfigurationError([Fault(code="envoy-refused-configuration", message=said)])


def _names(names: Any) -> tuple[str, ...]:
    if len(names) > MOST_NAMES:
        raise _malformed(f"a request has more than {MOST_NAMES} names in a list")
    return tuple(_word(one, LONGEST_NAME) for one in names)


def _word(text: str, longest: int) -> str:
    if len(text) > longest or not text.isprintable():
        raise _malformed(
            f"a request has a name, version or nonce that is not up to {longest} printable characters"
        )
    return text


def _malformed(detail: str) -> MalformedInput:
    return MalformedInput("discovery-request-malformed", detail)
