"""Envoy's side of the discovery service: its requests as bytes, and what our bytes say, read by protobuf itself."""

from __future__ import annotations

import lzma
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from doorward.gateway.publishing.discovery.messages import TYPE_PREFIX
from tools.envoy_api import API_FILE

DESCRIPTORS = FileDescriptorSet.FromString(lzma.decompress(API_FILE.read_bytes()))
_SERVICE = "envoy.service.discovery.v3"


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in DESCRIPTORS.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _pool()


def message_of(kind: str, body: bytes = b"") -> Any:
    """Return the message that some bytes are; `kind` is its name or its URL."""
    return GetMessageClass(POOL.FindMessageTypeByName(kind.removeprefix(TYPE_PREFIX))).FromString(body)


def message_from(kind: str, value: dict[str, Any]) -> Any:
    """Return a message by protobuf's own reader of JSON."""
    return json_format.ParseDict(value, message_of(kind), descriptor_pool=POOL)


def shown(message: Any) -> dict[str, Any]:
    """Return a message as a dictionary, typed configurations included."""
    return json_format.MessageToDict(message, descriptor_pool=POOL)


def render_request(**fields: Any) -> bytes:
    """Return a `DeltaDiscoveryRequest` with these fields, as Envoy sends it."""
    data: bytes = message_from(f"{_SERVICE}.DeltaDiscoveryRequest", fields).SerializeToString()
    return data


def read_response(data: bytes) -> Any:
    """Return the `DeltaDiscoveryResponse` that Envoy would read."""
    return message_of(f"{_SERVICE}.DeltaDiscoveryResponse", data)
