"""An import of many principals does the same on every storage."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.core.entities import PrincipalKind
from doorward.directory.importing import adding
from doorward.directory.importing.adding import run_import
from doorward.directory.importing.inviting_many import Invited, find_open, invite_many
from doorward.directory.importing.planning import plan_import
from doorward.directory.importing.reading_files import read_import_file
from doorward.directory.principal_inventory import list_inventory
from doorward.stores.protocols import UnitOfWork
from doorward.stores.services import Services
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys
from tests.support.records import tenant

DEVICE = PrincipalKind.DEVICE
NAMES = [f"pump-{number}" for number in range(10)]


@pytest.fixture
def services(work: UnitOfWork) -> Services:
    """The ports of a process, with a tenant."""
    with work.change() as stores:
        stores.tenants.add(tenant())
    return Services(
        work=work, clock=FakeClock(), random=FakeRandom(), factory=PlainKeys(), keys=MemoryKeyStore()
    )


def test_an_import_and_its_links(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """New devices with groups, differences, a repeat, links, and the inventory."""
    monkeypatch.setattr(adding, "BATCH", 3)
    rows = "".join(f"{name},Pump {name},pumps;hall\n" for name in NAMES)
    read = read_import_file(f"name,display_name,groups\n{rows}".encode(), DEVICE)
    plan = plan_import(services, DEVICE, read.entries)
    assert plan.missing_groups == ("hall", "pumps")
    done = run_import(services, plan, actor="os:0")
    assert (done.added, done.groups) == (NAMES, ["hall", "pumps"])
    again = plan_import(services, DEVICE, read.entries)
    assert (len(again.unchanged), again.new, again.missing_groups) == (10, (), ())
    other = read_import_file(b"name,display_name\npump-3,other\n", DEVICE)
    changed = run_import(services, plan_import(services, DEVICE, other.entries), update=True, actor="os:0")
    assert changed.updated == ["pump-3"]
    kept: list[Invited] = []
    invited = invite_many(services, NAMES, lifetime=timedelta(hours=1), actor="os:0", keep=kept.extend)
    assert (invited.count, invited.with_certificate, invited.not_invitable) == (10, [], [])
    assert [one.name for one in find_open(services, kept)] == NAMES
    entries, more = list_inventory(services, DEVICE, stale=timedelta(days=14), limit=4)
    assert ([one.principal.name for one in entries], more) == (NAMES[:4], True)
    assert entries[3].principal.display_name == "other"
    assert entries[3].principal.groups == ("hall", "pumps")
