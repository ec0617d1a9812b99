"""Turning a dictionary in proto3 JSON into a message, byte-equal for equal content in every process.

Not `google.protobuf.json_format`: it serializes what stands within an `Any` in the order of a hash table, which
differs between processes, so that versions would differ; its errors quote values; and it takes longer.

1. Every field must exist, and must have the type that the message says. Nothing is ignored, nothing is guessed.
2. Fields have the names of the .proto file (`filter_chains`), not those of JSON; an absent field is left out, not null.
3. A message with `@type` becomes an `Any`; durations, wrappers and structures have the forms of JSON.
4. Bytes are base64 as in JSON, or bytes as they are.
Standard: ProtoJSON (protobuf.dev/programming-guides/json).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from doorward.gateway.publishing.discovery.json_values import (
    Convert,
    Misfit,
    check_structure,
    choice_of,
    convert_duration,
    convert_number,
    convert_octets,
    convert_text,
    convert_truth,
    refuse_value,
    whole_number_between,
)
from doorward.gateway.publishing.discovery.messages import TYPE_PREFIX

_Plan = dict[str, tuple[Convert, str]]
"""Of one message: field name to its conversion, and the name of its oneof or nothing."""

_SCALARS: Mapping[int, Convert] = {
    FieldDescriptor.TYPE_STRING: convert_text,
    FieldDescriptor.TYPE_BOOL: convert_truth,
    FieldDescriptor.TYPE_BYTES: convert_octets,
    FieldDescriptor.TYPE_DOUBLE: convert_number,
    FieldDescriptor.TYPE_FLOAT: convert_number,
    FieldDescriptor.TYPE_INT32: whole_number_between(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: whole_number_between(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: whole_number_between(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: whole_number_between(0, 2**64 - 1),
}
_WRAPPERS = ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")


class Packer:
    """Makes messages of the types of one pool."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool
        self._plans: dict[str, _Plan] = {}
        self._choices: dict[str, Convert] = {}
        self._well_known: Mapping[str, Convert] = {
            "google.protobuf.Any": self._any,
            "google.protobuf.Duration": convert_duration,
            "google.protobuf.FieldMask": refuse_value,
            "google.protobuf.ListValue": refuse_value,
            "google.protobuf.Struct": self._structure,
            "google.protobuf.Timestamp": refuse_value,
            "google.protobuf.Value": refuse_value,
            **{f"google.protobuf.{kind}Value": self._wrapper(kind) for kind in _WRAPPERS},
        }

    def build(self, name: str, value: Any) -> Message:
        """Return a message of the type `name`, such as `envoy.config.cluster.v3.Cluster`.

        Raises:
            Misfit: there is no such type, or the value does not fit it.
        """
        try:
            descriptor = self._pool.FindMessageTypeByName(name)
        except KeyError:
            raise Misfit(f"there is no type {name!r} in envoy_api.xz") from None
        content = self._convert(descriptor)(value)
        return content if isinstance(content, Message) else GetMessageClass(descriptor)(**content)

    def _convert(self, descriptor: Descriptor) -> Convert:
        known = self._well_known.get(descriptor.full_name)
        return known or (lambda value: self._fields(descriptor, value))

    def _fields(self, descriptor: Descriptor, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise Misfit("is not an object")
        plan = self._plans.get(descriptor.full_name)
        if plan is None:
            plan = self._plans[descriptor.full_name] = self._plan(descriptor)
        content: dict[str, Any] = {}
        alternatives: set[str] = set()
        for key, one in value.items():
            if key not in plan:
                raise Misfit(f"{descriptor.full_name} has no field {key!r}")
            convert, oneof = plan[key]
            if oneof in alternatives:
                raise Misfit(f"{descriptor.full_name} may have only one of the fields of {oneof!r}")
            if oneof:
                alternatives.add(oneof)
            try:
                content[key] = convert(one)
            except Misfit as misfit:
                misfit.lies_in(f".{key}")
                raise
        return content

    def _plan(self, descriptor: Descriptor) -> _Plan:
        return {
            field.name: (self._field(field), field.containing_oneof.name if field.containing_oneof else "")
            for field in descriptor.fields
        }

    def _field(self, field: FieldDescriptor) -> Convert:
        kind = field.message_type
        if kind is None:
            convert = self._scalar(field)
        elif kind.GetOptions().map_entry:
            return self._map(kind)
        else:
            convert = self._convert(kind)
        return _list_of(convert) if field.is_repeated else convert

    def _scalar(self, field: FieldDescriptor) -> Convert:
        if field.enum_type is not None:
            return self._choice(field.enum_type)
        return _SCALARS.get(field.type, refuse_value)

    def _choice(self, kind: EnumDescriptor) -> Convert:
        if kind.full_name not in self._choices:
            self._choices[kind.full_name] = choice_of({one.name: one.number for one in kind.values})
        return self._choices[kind.full_name]

    def _wrapper(self, kind: str) -> Convert:
        convert = _SCALARS[getattr(FieldDescriptor, f"TYPE_{kind.upper()}")]
        return lambda value: {"value": convert(value)}

    def _structure(self, value: Any) -> Any:
        """Return a message: a constructor takes a dictionary for the structure itself, but not in every place."""
        check_structure(value)
        structure: Any = GetMessageClass(self._pool.FindMessageTypeByName("google.protobuf.Struct"))()
        structure.update(value)
        return structure

    def _map(self, entry: Descriptor) -> Convert:
        if entry.fields_by_name["key"].type != FieldDescriptor.TYPE_STRING:
            return refuse_value
        convert = self._field(entry.fields_by_name["value"])

        def convert_map(value: Any) -> dict[str, Any]:
            if not isinstance(value, Mapping):
                raise Misfit("is not an object")
            content = {}
            for key, one in value.items():
                try:
                    content[convert_text(key)] = convert(one)
                except Misfit as misfit:
                    misfit.lies_in(f"[{key!r}]")
                    raise
            return content

        return convert_map

    def _any(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not isinstance(value.get("@type"), str):
            raise Misfit("has no @type")
        url: str = value["@type"]
        if not url.startswith(TYPE_PREFIX):
            raise Misfit(f"has an @type that does not begin with {TYPE_PREFIX}")
        name = url.removeprefix(TYPE_PREFIX)
        content: Any = {key: one for key, one in value.items() if key != "@type"}
        if name in self._well_known:
            if content.keys() != {"value"}:
                raise Misfit("has another field than 'value', or does not have it")
            content = content["value"]
        return {"type_url": url, "value": serialize(self.build(name, content))}


def serialize(message: Message) -> bytes:
    """Return the bytes of a message; equal content gives equal bytes."""
    return message.SerializeToString(deterministic=True)


def _list_of(convert: Convert) -> Convert:
    def convert_all(value: Any) -> list[Any]:
        if not isinstance(value, list | tuple):
            raise Misfit("is not a list")
        content: list[Any] = []
        try:
            content.extend(map(convert, value))  # what was converted before a misfit tells its place
        except Misfit as misfit:
            misfit.lies_in(f"[{len(content)}]")
            raise
        return content

    return convert_all
