"""The fields of a request: what HTTP/2 demands of them, and what gRPC reads of them.

Values are printable ASCII, as gRPC has them in metadata; any other request is malformed.
Standards: RFC 9113 sections 8.2 and 8.3; gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), Requests.

Not here: how fields are coded (header_blocks).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH = re.compile(r"[0-9]{1,10}")
_PSEUDO = frozenset({":method", ":scheme", ":path", ":authority"})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}
)
_OURS = frozenset({"content-type", "content-length", "grpc-encoding", "grpc-timeout"})


class FieldKind(IntEnum):
    """What a field is, as its name and value tell."""

    BAD = 0
    PSEUDO = 1
    OURS = 2
    IGNORED = 3
    METADATA = 4


_PSEUDO_KIND, _OURS_KIND = FieldKind.PSEUDO, FieldKind.OURS
_BAD_KIND, _METADATA_KIND = FieldKind.BAD, FieldKind.METADATA
"""The members themselves: looking one up in its class, and comparing numbers, takes several times as long as `is`."""

Field = tuple[str, str, FieldKind]
"""Name, value and kind."""


def make_field(name: str, value: str) -> Field:
    """Return a field; its kind is worked out once, since most fields come again with each call."""
    return name, value, _kind_of(name, value)


def _kind_of(name: str, value: str) -> FieldKind:
    if not (value.isascii() and value.isprintable()) or value.strip(" ") != value:
        return FieldKind.BAD
    if name == "te":
        return FieldKind.IGNORED if value == "trailers" else FieldKind.BAD
    return _kind_of_name(name)


@lru_cache(256)
def _kind_of_name(name: str) -> FieldKind:
    if name in _PSEUDO:
        return FieldKind.PSEUDO
    if not _NAME.fullmatch(name) or name in _OF_ONE_CONNECTION:
        return FieldKind.BAD
    if name in _OURS:
        return FieldKind.OURS
    return FieldKind.IGNORED if name.startswith("grpc-") else FieldKind.METADATA


@dataclass(slots=True)
class RequestFields:
    """The fields of one request.

    Args:
        method: of the request.
        path: of the request.
        content_type: empty if there is none.
        encoding: of the messages (`grpc-encoding`).
        timeout: `grpc-timeout` as it was sent; empty if there is none.
        length: `content-length`; -1 if there is none.
        metadata: all other fields, except those of gRPC; values of one name are joined by a comma.
    """

    method: str = ""
    path: str = ""
    content_type: str = ""
    encoding: str = "identity"
    timeout: str = ""
    length: int = -1
    metadata: dict[str, str] = field(default_factory=dict)


def read_fields(fields: Sequence[Field]) -> RequestFields | None:
    """Return the fields of a request; None if they are malformed (RFC 9113 section 8.1.1)."""
    pseudo: dict[str, str] = {}
    ours: dict[str, str] = {}
    metadata: dict[str, str] = {}
    is_head = True
    for name, value, kind in fields:
        if kind is _PSEUDO_KIND:
            if not is_head or name in pseudo:
                return None
            pseudo[name] = value
            continue
        is_head = False
        if kind is _METADATA_KIND:
            metadata[name] = value if name not in metadata else f"{metadata[name]},{value}"
        elif kind is _BAD_KIND or (kind is _OURS_KIND and ours.setdefault(name, value) != value):
            return None
    if not (pseudo.get(":method") and pseudo.get(":scheme") and pseudo.get(":path")):
        return None
    length = ours.get("content-length")
    if length is not None and not _LENGTH.fullmatch(length):
        return None
    return RequestFields(
        method=pseudo[":method"],
        path=pseudo[":path"],
        content_type=ours.get("content-type", ""),
        encoding=ours.get("grpc-encoding", "identity"),
        timeout=ours.get("grpc-timeout", ""),
        length=-1 if length is None else int(length),
        metadata=metadata,
    )


def are_trailers(fields: Sequence[Field]) -> bool:
    """Return whether fields may stand at the end of a request; we read none of them."""
    return all(kind not in {FieldKind.BAD, FieldKind.PSEUDO} for _, _, kind in fields)
