"""The paths of the files by which TLS to an upstream is verified.

A changed file gets another path, so that Envoy reads it again. Not here: reading and checking the files
(gateway.publishing.upstream_files).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFiles:
    """PEM files: the upstream's authorities; and the door's own certificate and key, if it has one there."""

    ca: str
    chain: str = ""
    key: str = ""
