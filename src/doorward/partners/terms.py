"""The operator's terms for a partner, checked.

Not here: its authorities (`examining`), importing both (`importing`).
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
SHORTEST_LIFE, LONGEST_LIFE = timedelta(hours=1), timedelta(days=7)
"""Of a certificate without revocation information, as for our own."""
GROUPS_LIMIT, SUBTREES_LIMIT, SOURCES_LIMIT = 64, 256, 16
"""Every certificate of a partner is checked against these terms; more of them are a mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The terms for a partner; the fields are explained at `PartnerRecord`. The defaults are the strictest."""

    revocation: RevocationMode = RevocationMode.REQUIRE
    max_staleness: timedelta = timedelta(0)
    short_lived: timedelta = timedelta(0)
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
        object.__setattr__(self, "allow_private", networks)  # normalised, without duplicates
        for url in (*self.crl_urls, *self.ocsp_urls):
            parse_source(url)
        if max(len(self.crl_urls), len(self.ocsp_urls)) > SOURCES_LIMIT:
            raise MalformedInput(
                "too-many-sources",
                f"there are {len(self.crl_urls)} CRL and {len(self.ocsp_urls)} OCSP addresses",
                hint=f"give at most {SOURCES_LIMIT} of each",
            )
        for group in self.groups:
            parse_principal_name(group)
        if len(self.groups) > GROUPS_LIMIT:
            raise MalformedInput(
                "too-many-groups", f"there are {len(self.groups)} groups", hint=f"give at most {GROUPS_LIMIT}"
            )
        if len(self.permitted) + len(self.excluded) > SUBTREES_LIMIT:
            raise MalformedInput(
                "too-many-subtrees",
                f"there are {len(self.permitted) + len(self.excluded)} permitted and excluded subtrees",
                hint=f"give at most {SUBTREES_LIMIT} together",
            )
        if not SHORTEST_REFRESH <= self.refresh <= LONGEST_REFRESH:
            message = (
                f"evidence cannot be fetched every {self.refresh}: the refresh is from one minute to 7 days"
            )
            raise MalformedInput("refresh-malformed", message, hint="write a time from 1m to 7d")
        if not timedelta(0) <= self.max_staleness <= LONGEST_STALENESS:
            message = (
                f"evidence cannot be used for {self.max_staleness} after its next update: at most 30 days"
            )
            raise MalformedInput("staleness-malformed", message, hint="write a time from 0s to 30d")
        if self.short_lived and not SHORTEST_LIFE <= self.short_lived <= LONGEST_LIFE:
            message = f"a life of {self.short_lived} is not short: it is from one hour to 7 days"
            raise MalformedInput("short-life-malformed", message, hint="write a time from 1h to 7d, or 0s")
