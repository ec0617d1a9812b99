"""The wall clock is stepped forward and back by minutes while people work: no valid certificate is refused.

A certificate ends by the wall clock, whenever that says so: if it is stepped past the end, live connections end and new ones
are refused at once, without waiting for the time that would have passed. What waits, such as the follower, heartbeats and
timeouts, goes by the monotonic clock: no step makes the gateway stale, restarts Envoy, or holds a withdrawal up. The log
verifies, although its times go back and forth, and nothing is missing.

The clock is the processes' own (`tests.support.stepped_clock`); Envoy keeps the machine's. STEPS=4 takes a minute.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from tests.support.churn import churning
from tests.support.churn_record import check_inventory, check_record, read_record, still_let_in
from tests.support.doorway import eventually, is_root, short_folder
from tests.support.house import House, open_house
from tests.support.stepped_clock import SteppedClock
from tests.support.watching import LiveStream, watching

STEPS = int(os.environ.get("STEPS", "20"))
MINUTES = (3, -3, -4, 4, 2, 2, -4)
"""One after the other; certificates of this test are backdated by five minutes, so that they are valid at each."""

LIFE = timedelta(hours=1)
ENDED_SECONDS = 5.0
"""From the step past an end to the end of the live connection: deadlines are looked at once a second."""

BACK_SECONDS = 30.0

pytestmark = [
    pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root"),
    pytest.mark.needs("gcc"),
]


@contextmanager
def clocked_house(**variables: str) -> Iterator[tuple[House, SteppedClock]]:
    """A running house with a clock that can be stepped, and with these variables."""
    with short_folder() as folder:
        clock = SteppedClock(folder)
        with open_house(environment={**clock.environment, **variables}) as house:
            yield house, clock


@pytest.mark.timeout(600 + 30 * STEPS)
def test_steps_disturb_nobody() -> None:
    """Live connections go on, new ones are admitted, and withdrawals are enforced, at each step."""
    with clocked_house() as (house, clock):
        with churning(house) as churn:
            gateway, envoy = house.pid("gateway"), house.pid("envoy")
            stream = LiveStream(house, house.identities["alice"])
            with watching(stream):
                for minutes in islice(cycle(MINUTES), STEPS):
                    stepped = time.time()
                    clock.step(minutes=minutes)
                    time.sleep(3.0)
                    assert eventually(lambda at=stepped: churn.is_back(at, joining=True), BACK_SECONDS), (  # type: ignore[misc]
                        f"{minutes} minutes: {house.words()}"
                    )
                    assert json.loads(house.gateway_status())["trouble"] == []
                    assert churn.faults == []
            assert not stream.ended, stream.why
        churn.report()
        assert (house.pid("gateway"), house.pid("envoy")) == (gateway, envoy)
        assert churn.faults == []
        assert all(one.refused == [] for one in churn.watchers), [one.why for one in churn.watchers]
        record = read_record(house)
        assert check_record(churn, record) == 0
        assert record.gaps == []
        assert still_let_in(churn) == []
        print(
            f"\n  {STEPS} steps: {record.events} events, {check_inventory(churn)} certificates; nothing is missing"
        )


def test_a_certificate_ends_by_the_wall_clock() -> None:
    """Past its end nothing is let in and the live connection ends; back before it, it is valid again; others go on."""
    with clocked_house(DOORWARD_DEVICE_LIFETIME=f"{LIFE.total_seconds():.0f}s") as (house, clock):
        house.apply("- {allow: {groups: [staff]}}")
        sensor = house.person("sensor", "staff", kind=PrincipalKind.DEVICE)
        house.person("bob", "staff")
        short, long = LiveStream(house, sensor), LiveStream(house, house.identities["bob"])
        with watching(short, long):
            clock.step(minutes=LIFE.total_seconds() / 60 - 2)
            time.sleep(3.0)
            assert not short.ended, short.why
            assert house.lets_in(sensor)
            clock.step(minutes=3)
            stepped = time.time()
            assert not house.lets_in(sensor)
            assert eventually(lambda: bool(short.ended)), "a connection outlived its certificate"
            print(f"\n  stepped past the end: the live connection ended after {short.ended - stepped:.2f} s")
            assert short.ended - stepped <= ENDED_SECONDS
            assert not any(house.lets_in(sensor) for _ in range(5))
            assert house.lets_in("bob")
            assert not long.ended, long.why
            clock.step(minutes=-3)
            assert eventually(lambda: house.lets_in(sensor), BACK_SECONDS)
            assert not long.ended, long.why
        reasons = [one["data"]["reasons"] for one in house.events(EventType.CONNECTION_REFUSED)]
        assert any("certificate-expired" in one for one in reasons)
        assert {one["data"]["reason"] for one in house.events(EventType.CONNECTION_CUT)} == {"deadline"}
