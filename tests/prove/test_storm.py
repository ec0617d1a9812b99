"""A storm of changes while all clients reconnect: none is admitted wrongly, and none that may stay is disturbed.

Ten people with five loops of new connections each; groups change 200 times a second for five seconds.
"""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from doorward.directory.principals import add_member, create_group, remove_member
from tests.support.doorway import ACTOR, eventually
from tests.support.house import House, open_house
from tests.support.watching import LiveRequests, LiveStream, NewConnections, Sighting, watching

SECONDS = 5.0
PER_SECOND = 200
WRITERS = 8
MEMBERS = ("member-0", "member-1", "member-2")
OUTSIDERS = ("outsider-0", "outsider-1", "outsider-2")
CHANGING = ("changing-0", "changing-1", "changing-2", "changing-3")
LOOPS_EACH = 5


@dataclass(frozen=True, slots=True)
class Outside:
    """A time in which somebody was certainly not in the group, seconds of the machine's clock."""

    name: str
    since: float
    until: float


class Storm:
    """Puts people into groups and out again, at a pace; remembers when who was certainly outside."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._turns = itertools.count()
        self._began = time.monotonic()
        self.outside: list[Outside] = []
        self.changes = 0
        self._lock = threading.Lock()

    def blow(self, names: tuple[str, ...], group: str) -> None:
        """Take each out and put it back in, turn by turn, until the time is over."""
        services = self._house.services
        for name in itertools.cycle(names):
            if not self._wait():
                return
            remove_member(services, group, name, actor=ACTOR)
            out = time.time()
            self._wait()
            back = time.time()
            add_member(services, group, name, actor=ACTOR)
            with self._lock:
                self.outside.append(Outside(name, out, back))
                self.changes += 2

    def _wait(self) -> bool:
        due = self._began + next(self._turns) / PER_SECOND
        time.sleep(max(0.0, due - time.monotonic()))
        return time.monotonic() < self._began + SECONDS


def test_no_wrong_admission_in_a_storm_of_changes() -> None:
    """Who is not in the group gets nothing, at no moment; who is, and stays connected, feels nothing."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        for name in MEMBERS + CHANGING:
            house.person(name, "staff", "noise")
        for name in OUTSIDERS:
            house.person(name, "noise")
        create_group(house.services, "wind", actor=ACTOR)
        loops = {
            name: [NewConnections(house, house.identities[name], pause=0.01) for _ in range(LOOPS_EACH)]
            for name in MEMBERS + CHANGING + OUTSIDERS
        }
        requests = LiveRequests(house, house.identities[MEMBERS[0]])
        stream = LiveStream(house, house.identities[MEMBERS[0]])
        served = [one for name in MEMBERS + CHANGING for one in loops[name]]
        with watching(requests, stream, *served):
            for name in OUTSIDERS:
                for one in loops[name]:
                    one.__enter__()
            storm = Storm(house)
            with ThreadPoolExecutor(WRITERS) as pool:
                # Those of one name stay with one writer: its memory of who was outside is then right.
                work = [pool.submit(storm.blow, (name,), "staff") for name in CHANGING]
                work += [pool.submit(storm.blow, (name,), "noise") for name in (*OUTSIDERS, MEMBERS[1])]
                for one in work:
                    one.result(timeout=60)
            over = time.time()
            assert eventually(lambda: all(one.good[-1].began > over for one in served), 10), house.words()
            calm = time.time() - over
            for name in OUTSIDERS:
                for one in loops[name]:
                    one.__exit__(None, None, None)
        _report(storm, loops, calm)
        assert requests.why == ""
        assert stream.why == ""
        for name in OUTSIDERS:
            assert all(one.good == [] and one.odd == [] and one.refused for one in loops[name])
        for name in CHANGING:
            seen = [sighting for one in loops[name] for sighting in one.good]
            assert _wrong(seen, [one for one in storm.outside if one.name == name]) == []
        seq = add_member(house.services, "wind", MEMBERS[0], actor=ACTOR).seq
        house.settle(seq)
        assert '"trouble": []' in house.gateway_status()


def _wrong(seen: list[Sighting], outside: list[Outside]) -> list[tuple[Sighting, Outside]]:
    """Return what was answered to somebody who was outside all the while."""
    return [
        (one, spell)
        for spell in outside
        for one in seen
        if one.began >= spell.since and one.arrived <= spell.until
    ]


def _report(storm: Storm, loops: dict[str, list[NewConnections]], calm: float) -> None:
    every = [one for some in loops.values() for one in some]
    admitted, refused = sum(len(one.good) for one in every), sum(len(one.refused) for one in every)
    print(f"\n  {storm.changes} group changes in {SECONDS:g} s ({storm.changes / SECONDS:.0f} a second)")
    print(f"  {admitted} connections admitted, {refused} refused, none wrongly")
    members = [one for name in MEMBERS for one in loops[name]]
    print(
        f"  of members: {sum(len(one.good) for one in members)} admitted, {sum(len(one.refused) for one in members)}"
        f" refused, longest wait {max(one.longest_wait() for one in members) * 1000:.0f} ms"
    )
    print(f"  everybody served again {calm * 1000:.0f} ms after the storm")
