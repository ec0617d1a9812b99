"""CA and VA: issue and renew; the only code that may reach the mint."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.authority.records import CertificateRecord
from doorward.authority.services import Services
from doorward.core.entities import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate that is in the inventory and valid; `chain_der`: leaf first, without the root."""

    record: CertificateRecord
    chain_der: tuple[bytes, ...]
    seq: int


def issue(
    services: Services,
    principal: Principal,
    csr: bytes,
    *,
    actor: str,
    replaces: str = "",
    invitation_id: str = "",
) -> Issued:
    raise NotImplementedError


def issue_server(services: Services, order_id: str, *, actor: str) -> Issued:
    """Fill a gateway's order; where it is refused the order says so and `RequestRefused` is raised."""
    raise NotImplementedError


def renew(services: Services, certificate_id: str, csr: bytes, *, actor: str) -> Issued:
    raise NotImplementedError
