"""Partners' people who cannot be judged for a reason outside of them: which connections are admitted, and the log."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from doorward.access.decision import AccessDecision
from doorward.core.errors import Unavailable
from doorward.gateway.connections.connection import LiveConnection
from tests.unit.gateway.following.guests import Guests, connected_guests


@pytest.fixture
def guests() -> Guests:
    """Connections of bob and eve of the clinic, and of alice with our own certificate."""
    return connected_guests()


@pytest.mark.parametrize(
    "error", [Unavailable("database-unavailable", "away"), MemoryError(), OSError(24, "too many open files")]
)
def test_people_who_cannot_be_judged_by_newer_evidence_make_the_gateway_stale(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The sequence is read all the same: that alone would keep the door open beside revoked people."""
    decider = guests.scene.decider
    reassess_all = decider.reassess_all

    def broken(facts: Sequence[tuple[LiveConnection, str]], now: datetime) -> list[AccessDecision]:
        raise error

    monkeypatch.setattr(decider, "reassess_all", broken)
    guests.site.publish(guests.bob, load=False)
    guests.scene.follow()
    guests.load()
    with pytest.raises(type(error)):
        guests.scene.follower.step()
    assert not guests.scene.follower.fresh()
    assert guests.scene.follower.trouble() == (
        "the connections of a partner's people cannot be judged again: new connections are refused"
    )
    assert guests.scene.cutter.cut == []
    monkeypatch.setattr(decider, "reassess_all", reassess_all)
    guests.scene.follow()
    assert guests.scene.follower.fresh()
    assert guests.scene.follower.trouble() == ""
    assert guests.scene.cutter.cut == [1]


@pytest.mark.parametrize("of", ["terms", "evidence"])
@pytest.mark.parametrize("error", [Unavailable("store-unavailable", "away"), MemoryError()])
def test_people_who_cannot_be_judged_are_logged_once_a_minute(
    guests: Guests, monkeypatch: pytest.MonkeyPatch, error: Exception, of: str
) -> None:
    """With what could not be done, though the sequence is read at each poll."""
    follower, rounds, stop = guests.scene.follower, itertools.count(1), threading.Event()

    def broken(facts: Sequence[tuple[LiveConnection, str]], now: datetime) -> list[AccessDecision]:
        raise error

    def wait(_seconds: float) -> bool:
        guests.site.clock.turn(seconds=1)
        if next(rounds) == 90:
            stop.set()
        return False

    if of == "terms":
        guests.site.bring_in(replacing=True, groups=())
    else:
        guests.site.publish(guests.bob, load=False)
        guests.scene.follow()
        guests.load()
    monkeypatch.setattr(guests.scene.decider, "reassess_all", broken)
    with capture_logs() as logs:
        follower.run(wait, stop)
    assert len(logs) == 2
    assert all(
        line["event"].startswith("the connections of a partner's people cannot be judged again")
        for line in logs
    )
