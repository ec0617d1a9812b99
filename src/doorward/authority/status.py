"""What relying parties ask: OCSP answers, the CRL, authority certificates."""

from __future__ import annotations

from dataclasses import dataclass

from doorward.authority.records import CrlRecord
from doorward.authority.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """One page of the refresh job; `next_after_id` is empty after the last page."""

    looked_at: int
    signed: int
    next_after_id: str


def answer_ocsp(services: Services, request: bytes) -> bytes:
    """Return a DER OCSPResponse for any bytes; never raises for bad input."""
    raise NotImplementedError


def current_crl(services: Services, authority_id: str = "") -> CrlRecord | None:
    """Return the newest CRL of an authority (default: the current issuing one)."""
    raise NotImplementedError


def authority_certificate(services: Services, authority_id: str) -> bytes:
    """Return DER; `NotFound` for an unknown id."""
    raise NotImplementedError


def refresh_ocsp(services: Services, *, limit: int = 500, after_id: str = "") -> Refreshed:
    raise NotImplementedError
