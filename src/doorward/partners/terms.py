"""The terms on which a partner is trusted.

Not here: its authorities (`examining`), and putting both in force (`importing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.core.addresses import parse_private_networks
from doorward.core.entities import PrincipalKind
from doorward.core.errors import MalformedInput
from doorward.core.names import parse_principal_name
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode
from doorward.verification.revocation.sources import parse_source

SHORTEST_REFRESH, LONGEST_REFRESH = timedelta(minutes=1), timedelta(days=7)
LONGEST_STALENESS = timedelta(days=30)
GROUPS_LIMIT, SUBTREES_LIMIT, SOURCES_LIMIT = 64, 256, 16
"""Terms that are asked about each of a partner's certificates: more than a few are a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms a partner is trusted; see `PartnerRecord`. The defaults let in as few as can be."""

    revocation: RevocationMode = RevocationMode.REQUIRE
    max_staleness: timedelta = timedelta(0)
    refresh: timedelta = timedelta(hours=1)
    allow_private: tuple[str, ...] = ()
    crl_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    source: SanSource = SanSource.EMAIL
    kind: PrincipalKind = PrincipalKind.PERSON
    domain: str = ""
    groups: tuple[str, ...] = ()
    everyone: bool = False
    permitted: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        networks = tuple(map(str, parse_private_networks(self.allow_private)))
        object.__setattr__(self, "allow_private", networks)  # one spelling, each once
        for url in (*self.crl_urls, *self.ocsp_urls):
            parse_source(url)
        if max(len(self.crl_urls), len(self.ocsp_urls)) > SOURCES_LIMIT:
            raise MalformedInput(
                "too-many-sources", f"{SOURCES_LIMIT} addresses of a kind are given by hand at most"
            )
        for group in self.groups:
            parse_principal_name(group)
        if len(self.groups) > GROUPS_LIMIT:
            raise MalformedInput("too-many-groups", f"a partner is put into {GROUPS_LIMIT} groups at most")
        if len(self.permitted) + len(self.excluded) > SUBTREES_LIMIT:
            raise MalformedInput("too-many-subtrees", f"a partner has {SUBTREES_LIMIT} subtrees at most")
        if not SHORTEST_REFRESH <= self.refresh <= LONGEST_REFRESH:
            message = f"evidence cannot be fetched every {self.refresh}: one minute is the shortest, 7 days the longest"
            raise MalformedInput("refresh-malformed", message, hint="write from 1m to 7d")
        if not timedelta(0) <= self.max_staleness <= LONGEST_STALENESS:
            message = (
                f"evidence cannot be used for {self.max_staleness} after its end: 30 days is the longest"
            )
            raise MalformedInput("staleness-malformed", message, hint="write from 0s to 30d")
