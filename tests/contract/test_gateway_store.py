"""The contract of `GatewayStore`, `OrderStore` and `IngestStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.errors import IntegrityError, NotFound
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import OrderState
from tests.support.ports import NOON
from tests.support.records import gateway, order
from tests.support.refusals import refused

FILE = "access-000001.log"


def test_gateways_are_saved_and_confirm(work: UnitOfWork) -> None:
    """Saving inserts or overwrites; confirming changes what it names and nothing else."""
    south, north = gateway("south"), gateway("north", assertion_jwk='{"kty":"EC"}')
    later = NOON + timedelta(seconds=2)
    with work.change() as stores:
        stores.gateways.save(south)
        stores.gateways.save(north)
        assert stores.gateways.list() == [north, south]
        stores.gateways.confirm(north.id, 7, later, "well")
        confirmed = replace(north, confirmed_seq=7, seen_at=later, status="well")
        assert stores.gateways.list() == [confirmed, south]
        stores.gateways.save(replace(north, name="zenith"))
        assert stores.gateways.list() == [south, replace(north, name="zenith")]
        with pytest.raises(NotFound):
            stores.gateways.confirm("gtw_nobody", 1, NOON, "well")


def test_a_gateway_is_forgotten(work: UnitOfWork) -> None:
    """A removed gateway is gone; removing it twice is no error."""
    with work.change() as stores:
        stores.gateways.save(gateway("one"))
        stores.gateways.remove(gateway("one").id)
        stores.gateways.remove(gateway("one").id)
        assert stores.gateways.list() == []


def test_orders_are_answered_once(work: UnitOfWork) -> None:
    """An open order is filled or refused, once; open ones come oldest first."""
    first, second, third = order("c"), order("a", created_at=NOON + timedelta(seconds=1)), order("b")
    late = replace(third, created_at=NOON + timedelta(seconds=2))
    with work.change() as stores:
        for made in (late, second, replace(first, state=OrderState.FILLED)):
            stores.orders.add(made)
        assert stores.orders.open() == [first, second, late]
        assert stores.orders.fill(first.id, "crt_one")
        assert stores.orders.refuse(second.id, "host-unknown")
        assert stores.orders.open() == [late]
        assert stores.orders.get(first.id) == replace(
            first, state=OrderState.FILLED, certificate_id="crt_one"
        )
        assert stores.orders.get(second.id) == replace(
            second, state=OrderState.REFUSED, refusal="host-unknown"
        )
        assert not stores.orders.fill(second.id, "crt_two")
        assert not stores.orders.refuse(first.id, "host-unknown")


def test_unknown_orders(work: UnitOfWork) -> None:
    """An order that is not there is None to look at, and nothing to answer."""
    with work.change() as stores:
        assert stores.orders.get("ord_nobody") is None
        assert not stores.orders.fill("ord_nobody", "crt_one")
        assert not stores.orders.refuse("ord_nobody", "why")


def test_positions_move_from_where_they_were(work: UnitOfWork) -> None:
    """A position moves from the expected place only, each file of each gateway for itself."""
    with work.change() as stores:
        assert stores.ingest.position("gtw_one", FILE) == 0
        stores.ingest.advance("gtw_one", FILE, 0, 100)
        stores.ingest.advance("gtw_one", FILE, 100, 250)
        assert stores.ingest.position("gtw_one", FILE) == 250
        assert stores.ingest.position("gtw_two", FILE) == 0
        assert stores.ingest.position("gtw_one", "other.log") == 0


@pytest.mark.parametrize("expected", [0, 99, 101])
def test_a_position_that_moved_stops_the_reader(work: UnitOfWork, expected: int) -> None:
    """Two readers of one file would record a line twice, so the second one is refused."""
    with work.change() as stores:
        stores.ingest.advance("gtw_one", FILE, 0, 100)
        with refused(IntegrityError, "ingest-moved"):
            stores.ingest.advance("gtw_one", FILE, expected, 200)
        assert stores.ingest.position("gtw_one", FILE) == 100


def test_the_position_of_an_unknown_file_is_zero(work: UnitOfWork) -> None:
    """An unknown file is at position 0."""
    with work.change() as stores, pytest.raises(IntegrityError):
        stores.ingest.advance("gtw_one", FILE, 50, 100)
