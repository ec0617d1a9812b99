"""The files by which TLS to an upstream is verified, by reference, as `ServerCertificate` refers to its own.

Not here: reading and checking them (gateway.publishing.upstream_files). What changes has another path, so that
Envoy reads it again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFiles:
    """PEM files: the authorities that may vouch for the upstream; and if the door shows one, its certificate."""

    ca: str
    chain: str = ""
    key: str = ""
