"""A window of time closes, or a denied one opens, while people use the door in three ways: they are cut at that minute.

Prints a table: median and worst over the tries since the minute began, by the same clock as the gateway's.
"""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.doorway import Identity, eventually, is_root
from tests.support.house import House, open_house
from tests.support.tcp import greeter
from tests.support.watching import LiveBytes, LiveRequests, LiveStream, Watcher, watching
from tests.support.withdrawal import GOAL_SECONDS, LIMIT_SECONDS, PATIENCE_SECONDS, Figures, Scene, bystanders

BOUNDARIES, PEOPLE = 4, 5
"""Windows begin and end with a minute, so several people wait for each: 20 tries in all."""

AHEAD = timedelta(seconds=12)
"""For publishing a policy and for opening the connections, on a busy machine too."""


@pytest.mark.needs("setpriv")
def test_cut_at_the_minute_and_nobody_else_disturbed() -> None:
    """Half of the minutes close what was allowed, half open what is denied; those with other rules go on."""
    if not is_root():
        pytest.skip("CAP_NET_ADMIN needs root")
    figures = {word: Figures(kind=word) for word in ("allow", "deny")}
    with greeter() as server, open_house() as house:
        scene = Scene(house, server.port)
        people = [house.person(f"day-{number}", "day") for number in range(PEOPLE)]
        for number in range(BOUNDARIES):
            one = figures["allow" if number % 2 else "deny"]
            with bystanders(house, scene.others[0], one):
                _wait_for_a_minute(house, scene, people, one)
    seconds = {word: [*one.seconds["live request"], *one.seconds["open WebSocket"], *one.seconds["live TCP connection"]]
               for word, one in figures.items()}  # fmt: skip
    for word, values in seconds.items():
        missed = sum(value > GOAL_SECONDS for value in values)
        print(
            f"{word:6} n {len(values):3}  median {statistics.median(values) * 1000:6.1f} ms  "
            f"worst {max(values) * 1000:6.1f} ms  over {GOAL_SECONDS * 1000:.0f} ms: {missed}"
        )
        assert figures[word].faults == []
        assert len(values) == 3 * PEOPLE * BOUNDARIES // 2
        assert max(values) <= LIMIT_SECONDS


def _wait_for_a_minute(house: House, scene: Scene, people: list[Identity], figures: Figures) -> None:
    """Give people something until the next minute, by an allow that ends or a deny that begins, and watch it end."""
    minute = (datetime.now(UTC) + AHEAD).replace(second=0, microsecond=0) + timedelta(minutes=1)
    before, after = (f"{minute + timedelta(hours=by):%H:%M}" for by in (-3, 3))
    at = f"{minute:%H:%M}"
    if figures.kind == "allow":
        rules = f'- {{allow: {{groups: [day], time: {{from: "{before}", to: "{at}", zone: UTC}}}}}}\n'
    else:
        rules = "- {allow: {groups: [day]}}\n"
        rules += f'- {{deny: {{groups: [day], time: {{from: "{at}", to: "{after}", zone: UTC}}}}}}\n'
    house.apply_document(scene.document(rules))
    watchers: dict[str, list[Watcher]] = {
        "live request": [LiveRequests(house, one) for one in people],
        "open WebSocket": [LiveStream(house, one) for one in people],
        "live TCP connection": [LiveBytes(house, one, app="bytes") for one in people],
    }
    every = [one for some in watchers.values() for one in some]
    with watching(*every):
        if time.time() >= minute.timestamp():
            figures.faults.append("the connections were not open before the minute")
        time.sleep(max(0.0, minute.timestamp() - time.time()))
        ended = eventually(lambda: all(one.ended for one in every), PATIENCE_SECONDS)
    if not ended:
        figures.faults.append("a connection did not end")
    early = [one for one in every if one.ended and one.ended < minute.timestamp()]
    figures.faults += [f"{type(one).__name__} ended before the minute: {one.why}" for one in early]
    for target, some in watchers.items():
        figures.seconds[target] += [
            one.last_after(minute.timestamp()) if one.ended else PATIENCE_SECONDS for one in some
        ]
