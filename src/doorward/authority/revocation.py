"""Revoke, hold and release certificates; publish the revocation list."""

from __future__ import annotations

from datetime import datetime

from doorward.authority.records import CrlRecord
from doorward.authority.services import Services
from doorward.core.certificate import RevocationReason


def revoke(services: Services, certificate_id: str, reason: RevocationReason, actor: str) -> int:
    """Revoke for good; return the number of the change."""
    raise NotImplementedError


def hold(services: Services, certificate_id: str, actor: str) -> int:
    raise NotImplementedError


def release(services: Services, certificate_id: str, actor: str) -> int:
    raise NotImplementedError


def publish_crl(services: Services) -> CrlRecord:
    raise NotImplementedError


def crl_due(services: Services, now: datetime) -> bool:
    raise NotImplementedError
