"""One-time invitations: a link becomes a certificate, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from doorward.authority.issuing import Issued
from doorward.authority.records import InvitationRecord
from doorward.authority.services import Services

DEFAULT_LIFETIME = timedelta(hours=24)
LONGEST_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """`token` (base64url, 43 characters) is shown once and kept nowhere."""

    token: str
    record: InvitationRecord


def invite(
    services: Services, principal_name: str, *, lifetime: timedelta = DEFAULT_LIFETIME, actor: str
) -> Invitation:
    raise NotImplementedError


def redeem(services: Services, token: str, csr: bytes, *, source_address: str = "") -> Issued:
    """Turn a token and a CSR (DER or PEM) into a certificate; `RequestRefused` `invitation-invalid` otherwise."""
    raise NotImplementedError
