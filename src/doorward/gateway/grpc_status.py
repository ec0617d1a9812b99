"""The status codes of gRPC that our servers answer with.

Standard: gRPC, grpc/doc/statuscodes.md.
"""

from __future__ import annotations

from enum import IntEnum


class GrpcStatus(IntEnum):
    """How a call ended."""

    OK = 0
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
