"""Checks at the start of a use case: tenant, authority, key, partner, principal."""

from __future__ import annotations

import pytest

from doorward.core.entities import TENANT
from doorward.core.errors import NotFound
from doorward.stores.prerequisites import require_authority
from doorward.stores.records import AuthorityKind, TenantRecord
from tests.support.ports import NOON
from tests.support.world import empty_world


def test_a_tenant_without_certificates_is_damaged():
    """A tenant without its certificates is a damaged database: the error names the way to restore it."""
    world = empty_world()
    tenant = TenantRecord(
        id=TENANT, trust_domain="corp.example", status_url="http://x.example", created_at=NOON
    )
    with world.work.change() as stores:
        stores.tenants.add(tenant)
    with world.work.read() as stores, pytest.raises(NotFound) as refusal:
        require_authority(stores, AuthorityKind.ISSUING)
    assert refusal.value.code == "not-founded"
    assert "backup" in refusal.value.hint
