"""A host that shows an ACME authority, for a minute, that it is ours (RFC 8737).

Not here: the configuration in Envoy (`enforcement.envoy.challenges`), the challenge itself (authority.acme).
"""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_CHALLENGES = 200
"""In one plan; two orders with the largest number of hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeDoor:
    """One host and its challenge certificate, PEM; `name` is the public name of the challenge.

    The key is made for this certificate alone and thrown away with it; it opens nothing.
    """

    name: str
    host: str
    chain: str = field(repr=False)
    key: str = field(repr=False)
