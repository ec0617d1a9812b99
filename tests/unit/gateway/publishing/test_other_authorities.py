"""A gateway's certificates from ACME authorities: which one is in use, when the next is ordered, what is not waited for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from doorward.authority.orders import fill_order, open_orders
from doorward.core.errors import Unavailable
from doorward.enforcement.plan import ServerCertificate
from doorward.gateway.publishing.server_certificates import ServerCertificates
from doorward.pki.csr import parse_csr
from doorward.policy.server_certificates import CertificateSource, CertifiedBy
from doorward.stores.acme_protocols import AcmeOrderRecord
from doorward.stores.records import ChangeKind, OrderRecord, OrderState
from tests.support.acme_server import AcmeServer
from tests.support.world import OPERATOR, World, found_world

HOSTS = ("payments.corp.example",)
ACME = CertificateSource(by=CertifiedBy.ACME)
OTHER = CertificateSource(by=CertifiedBy.ACME, directory="https://acme.example/d")


@dataclass
class Site:
    """The certificates of one gateway, and both authorities in reach."""

    world: World
    server: AcmeServer
    certificates: ServerCertificates

    def ensure(
        self, source: CertificateSource | None = ACME, hosts: tuple[str, ...] = HOSTS
    ) -> ServerCertificate | None:
        sources = {} if source is None else {"pay": source}
        return self.certificates.ensure({"pay": hosts}, sources).get("pay")

    def waiting(self) -> list[tuple[OrderRecord, AcmeOrderRecord]]:
        """Return the open orders at other authorities."""
        with self.world.work.read() as stores:
            records = stores.acme.every_order()
            orders = {one.order_id: stores.orders.get(one.order_id) for one in records}
        found = [(order, one) for one in records if (order := orders[one.order_id]) is not None]
        return [(order, one) for order, one in found if order.state is OrderState.OPEN]

    def fill(self, renew_at: datetime | None = None) -> None:
        """Fill every open order at the other authority."""
        for order, record in self.waiting():
            chain = self.server.issue(parse_csr(order.csr).public_key, *order.hosts)
            with self.world.work.change() as stores:
                assert stores.orders.fill(order.id, "")
                filled = replace(record, chain=chain, next_try_at=None, renew_at=renew_at)
                assert stores.acme.replace_order(filled)
                stores.changes.note(ChangeKind.ORDER, order.id, self.world.clock.now())

    def fill_own(self) -> None:
        """Fill every open order of our own authority."""
        for order in open_orders(self.world.services):
            fill_order(self.world.services, order.id, actor=OPERATOR)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A founded world and a registered gateway."""
    world = found_world()
    server = AcmeServer(tmp_path, now=world.clock.now)
    return Site(world, server, ServerCertificates(world.services, world.gateway().id, tmp_path / "server"))


def test_the_former_authority_serves_until_the_new_one_has(site: Site) -> None:
    """In both directions: a change of the source is a change of the content, under the same name."""
    site.ensure(None)
    site.fill_own()
    own = site.ensure(None)
    assert own is not None
    assert site.ensure() == own
    ((order, record),) = site.waiting()
    assert (order.hosts, record.directory) == (HOSTS, "")
    site.fill()
    other = site.ensure()
    assert other is not None
    assert other.name == own.name
    assert other.chain_path != own.chain_path
    assert site.waiting() == []
    assert site.ensure(OTHER) == other
    ((_, record),) = site.waiting()
    assert record.directory == OTHER.directory
    assert site.ensure(None) in {own, other}


def test_the_authority_says_when_the_next_is_due(site: Site) -> None:
    """Not our own rule, which counts thirds of the life."""
    site.ensure()
    now = site.world.clock.now()
    site.fill(renew_at=now + timedelta(hours=1))
    first = site.ensure()
    assert first is not None
    assert site.waiting() == []
    site.world.clock.turn(hours=1)
    assert site.ensure() == first
    assert len(site.waiting()) == 1


def test_an_order_that_waits_long_does_not_hold_a_change(site: Site) -> None:
    """An authority may refuse for days; other hosts are ordered at once, and the old order is refused."""
    site.ensure()
    ((first, _),) = site.waiting()
    site.ensure()
    assert [one.id for one, _ in site.waiting()] == [first.id]
    site.ensure(ACME, ("payments.corp.example", "shop.corp.example"))
    ((second, _),) = site.waiting()
    assert second.id != first.id
    assert second.hosts == ("payments.corp.example", "shop.corp.example")


def test_another_authority_is_not_waited_for(site: Site) -> None:
    """A publication would else take longer, each time, for as long as the authority refuses."""

    def wait(_: float) -> None:
        pytest.fail("waited")

    found = site.certificates.ensure_soon(
        {"pay": HOSTS}, patience_seconds=9, wait=wait, sources={"pay": ACME}
    )
    assert found == {}
    assert len(site.waiting()) == 1


def test_a_database_that_is_away_changes_nothing(site: Site) -> None:
    """The certificate stays in use, and nothing is ordered by a guess."""
    site.ensure()
    site.fill(renew_at=site.world.clock.now() + timedelta(days=1))
    first = site.ensure()
    site.world.work.broken = Unavailable("store-unavailable", "away")
    assert site.ensure() == first
