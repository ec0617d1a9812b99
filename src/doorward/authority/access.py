"""PDP: may this connection be, and what may it do?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from doorward.audit.events import Event
from doorward.authority.records import CertificateRecord
from doorward.authority.services import Services
from doorward.core.entities import Principal, Verdict
from doorward.policy.decision import ConnectionAuthority


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """What a gateway asks about a new connection; `presented` is the leaf in DER, None where none came."""

    presented: bytes | None
    application_id: str
    source_address: str
    now: datetime
    lifetime: timedelta
    gateway_id: str
    connection_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """What a gateway keeps of a live connection, enough to judge it again."""

    certificate_sha256: str
    application_id: str
    source_address: str
    opened_at: datetime
    lifetime: timedelta
    gateway_id: str
    connection_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDecision:
    """`verdict` GOOD admits; `deadline` is `now` where it does not."""

    verdict: Verdict
    principal: Principal | None
    certificate: CertificateRecord | None
    grants: tuple[str, ...]
    authority: ConnectionAuthority | None
    revision: int
    deadline: datetime
    seq: int
    event: Event


class AccessDecider:
    """The PDP; safe to share between threads."""

    def __init__(self, services: Services) -> None:
        raise NotImplementedError

    def decide(self, request: AccessRequest) -> AccessDecision:
        raise NotImplementedError

    def reassess(self, facts: ConnectionFacts, now: datetime) -> AccessDecision:
        raise NotImplementedError
