"""Confirmations of a gateway: which number, when, and that a confirmation is never withdrawn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from doorward.authority.gateways import confirmations
from doorward.core.errors import Unavailable
from doorward.gateway.confirmation import ConfirmationSender
from tests.support.world import World, found_world


@dataclass
class Place:
    """A registered gateway that confirms, and what it says of itself."""

    world: World
    confirmations: ConfirmationSender = None  # type: ignore[assignment]
    reached: int | None = 1
    recorded: list[int | None] = field(default_factory=list)
    defect: Callable[[], None] = lambda: None

    def record(self) -> None:
        """Make the records of ended connections durable."""
        self.recorded.append(self.reached)
        self.defect()

    def confirmed(self) -> tuple[int, str]:
        """The control plane's state of the only gateway."""
        (one,) = confirmations(self.world.services, 0)
        return one.gateway.confirmed_seq, one.gateway.status


@pytest.fixture
def place() -> Place:
    """Nothing is confirmed yet."""
    made = Place(found_world())
    made.confirmations = ConfirmationSender(
        made.world.services,
        made.world.gateway().id,
        record=made.record,
        reached=lambda: made.reached,
        status=lambda: f"status {made.reached}",
    )
    return made


def test_more_than_before_is_confirmed(place: Place) -> None:
    """Ended connections are recorded each time; the control plane is told only if a higher number is enforced."""
    place.confirmations.confirm()
    assert place.confirmed() == (1, "status 1")
    place.reached = 3
    place.confirmations.confirm()
    assert place.confirmed() == (3, "status 3")
    place.reached = 2  # a change was asked to be published meanwhile
    place.confirmations.confirm()
    assert place.confirmed() == (3, "status 3")
    assert place.recorded == [1, 3, 2]


def test_a_heartbeat_repeats_it(place: Place) -> None:
    """A heartbeat shows that the gateway lives, with its present status, and confirms nothing less."""
    place.reached = 3
    place.confirmations.confirm()
    place.reached = 2
    place.confirmations.confirm(beat=True)
    assert place.confirmed() == (3, "status 2")


def test_of_a_database_that_was_put_back_nothing_is_confirmed(place: Place) -> None:
    """Its numbers are given out a second time: a higher one would confirm a withdrawal that was never acted on."""
    place.reached = 3
    place.confirmations.confirm()
    place.reached = None
    place.confirmations.confirm()
    assert place.confirmed() == (0, "status None")
    place.confirmations.confirm(beat=True)
    assert place.confirmed() == (0, "status None")


def test_a_failure_is_repeated_by_the_next_heartbeat(place: Place) -> None:
    """While the database is away nothing is confirmed, and the log says so."""
    place.world.work.broken = Unavailable("store-busy", "away")
    with capture_logs() as logs:
        place.confirmations.confirm()
    assert [line["code"] for line in logs] == ["store-busy"]
    place.world.work.broken = None
    place.confirmations.confirm(beat=True)
    assert place.confirmed() == (1, "status 1")


def test_news_are_settled_in_a_thread_that_lives_on(place: Place) -> None:
    """A defect is logged; the next news are settled all the same, and the thread ends when it is told to."""
    stop, settled = threading.Event(), threading.Event()

    def once() -> None:
        place.confirmations.wake()  # the next round
        if len(place.recorded) > 1:
            stop.set()
            settled.set()
        raise RuntimeError("a defect")

    place.defect = once
    thread = threading.Thread(target=place.confirmations.run, args=(stop,))
    with capture_logs() as logs:
        place.confirmations.wake()
        thread.start()
        assert settled.wait(60)
        thread.join(60)
    assert len(logs) == len(place.recorded)
