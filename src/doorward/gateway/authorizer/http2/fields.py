"""The fields of a request: what HTTP/2 demands of them, and what gRPC reads of them.

Values are printable ASCII, as gRPC has them in metadata; any other request is malformed.
Standards: RFC 9113 sections 8.2 and 8.3; gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), Requests.

Not here: how fields are coded (header_blocks).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_LENGTH = re.compile(r"[0-9]{1,10}")
_PSEUDO = frozenset({":method", ":scheme", ":path", ":authority"})
_REQUIRED = frozenset({":method", ":scheme", ":path"})
_OF_ONE_CONNECTION = frozenset(
    {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"}
)


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


def read_fields(pairs: Sequence[tuple[str, str]]) -> RequestFields | None:
    """Return the fields of a request; None if they are malformed (RFC 9113 section 8.1.1).

    Args:
        pairs: names and values in order.
    """
    pseudo: dict[str, str] = {}
    at = 0
    for name, value in pairs:
        if not name.startswith(":"):
            break
        if name not in _PSEUDO or name in pseudo or not _is_good(value):
            return None
        pseudo[name] = value
        at += 1
    if not pseudo.keys() >= _REQUIRED or not pseudo[":path"]:
        return None
    request = RequestFields(method=pseudo[":method"], path=pseudo[":path"])
    for name, value in pairs[at:]:
        if not _is_name(name) or not _is_good(value) or not _take(request, name, value):
            return None
    return request


def are_trailers(pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether fields may stand at the end of a request; we read none of them."""
    return all(_is_name(name) and _is_good(value) for name, value in pairs)


def _take(request: RequestFields, name: str, value: str) -> bool:
    """Note one field; return False if it makes the request malformed."""
    match name:
        case "content-type":
            request.content_type = value
        case "grpc-timeout":
            request.timeout = value
        case "grpc-encoding":
            request.encoding = value
        case "te":
            return value == "trailers"
        case "content-length":
            if not _LENGTH.fullmatch(value) or request.length not in {-1, int(value)}:
                return False
            request.length = int(value)
        case _ if name.startswith("grpc-"):
            pass
        case _:
            before = request.metadata.get(name)
            request.metadata[name] = value if before is None else f"{before},{value}"
    return True


@lru_cache(1024)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in _OF_ONE_CONNECTION


def _is_good(value: str) -> bool:
    return value.isascii() and value.isprintable() and not value.startswith(" ") and not value.endswith(" ")
