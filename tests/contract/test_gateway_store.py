"""The contract of `GatewayStore`, `OrderStore` and `IngestStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.errors import IntegrityError, NotFound, RequestRefused
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import OrderState
from tests.support.ports import NOON
from tests.support.records import gateway, order

FILE = "access-000001.log"


def test_gateways_are_saved_and_confirm(work: UnitOfWork) -> None:
    """Saving inserts or overwrites; confirming changes what it names and nothing else."""
    south, north = gateway("south"), gateway("north", assertion_jwk='{"kty":"EC"}')
    later = NOON + timedelta(seconds=2)
    with work.change() as books:
        books.gateways.save(south)
        books.gateways.save(north)
        assert books.gateways.list() == [north, south]
        books.gateways.confirm(north.id, 7, later, "well")
        confirmed = replace(north, confirmed_seq=7, seen_at=later, status="well")
        assert books.gateways.list() == [confirmed, south]
        books.gateways.save(replace(north, name="zenith"))
        assert books.gateways.list() == [south, replace(north, name="zenith")]
        with pytest.raises(NotFound):
            books.gateways.confirm("gtw_nobody", 1, NOON, "well")


def test_a_gateway_is_forgotten(work: UnitOfWork) -> None:
    """A removed gateway is gone; removing it twice is no error."""
    with work.change() as books:
        books.gateways.save(gateway("one"))
        books.gateways.remove(gateway("one").id)
        books.gateways.remove(gateway("one").id)
        assert books.gateways.list() == []


def test_orders_are_answered_once(work: UnitOfWork) -> None:
    """An open order is filled or refused, once; open ones come oldest first."""
    first, second, third = order("c"), order("a", created_at=NOON + timedelta(seconds=1)), order("b")
    late = replace(third, created_at=NOON + timedelta(seconds=2))
    with work.change() as books:
        for made in (late, second, replace(first, state=OrderState.FILLED)):
            books.orders.add(made)
        assert books.orders.open() == [first, second, late]
        books.orders.fill(first.id, "crt_one")
        books.orders.refuse(second.id, "host-unknown")
        assert books.orders.open() == [late]
        assert books.orders.get(first.id) == replace(first, state=OrderState.FILLED, certificate_id="crt_one")
        assert books.orders.get(second.id) == replace(
            second, state=OrderState.REFUSED, refusal="host-unknown"
        )
        with pytest.raises(RequestRefused) as caught:
            books.orders.fill(second.id, "crt_two")
        assert caught.value.code == "order-closed"


def test_unknown_orders(work: UnitOfWork) -> None:
    """An order that is not there is None to look at and an error to answer."""
    with work.change() as books:
        assert books.orders.get("ord_nobody") is None
        with pytest.raises(NotFound):
            books.orders.refuse("ord_nobody", "why")


def test_positions_move_from_where_they_were(work: UnitOfWork) -> None:
    """A position moves from the expected place only, each file of each gateway for itself."""
    with work.change() as books:
        assert books.ingest.position("gtw_one", FILE) == 0
        books.ingest.advance("gtw_one", FILE, 0, 100)
        books.ingest.advance("gtw_one", FILE, 100, 250)
        assert books.ingest.position("gtw_one", FILE) == 250
        assert books.ingest.position("gtw_two", FILE) == 0
        assert books.ingest.position("gtw_one", "other.log") == 0


@pytest.mark.parametrize("expected", [0, 99, 101])
def test_a_position_that_moved_stops_the_reader(work: UnitOfWork, expected: int) -> None:
    """Two readers of one file would make two events of one line: the second is stopped."""
    with work.change() as books:
        books.ingest.advance("gtw_one", FILE, 0, 100)
        with pytest.raises(IntegrityError) as caught:
            books.ingest.advance("gtw_one", FILE, expected, 200)
        assert caught.value.code == "ingest-moved"
        assert books.ingest.position("gtw_one", FILE) == 100


def test_a_file_begins_at_its_begin(work: UnitOfWork) -> None:
    """An unknown file is at 0 and nowhere else."""
    with work.change() as books, pytest.raises(IntegrityError):
        books.ingest.advance("gtw_one", FILE, 50, 100)
