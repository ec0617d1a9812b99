"""Authority is withdrawn while its holder uses it in three ways, and bystanders go on: tries, figures, a table.

Each try: a person has a kept connection with requests, an open WebSocket, an open TCP connection and loops of new
connections; then another process commits one change. Measured is, from the commit time (`ChangeRecord.at`), the last moment at
which anything came through or at which the end was seen.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from doorward.authority.revocation import release
from doorward.directory.nesting import nest
from doorward.directory.principals import add_member, remove_member, resume
from tests.support.doorway import ACTOR, STAFF, Doorway, Identity, eventually, render_document
from tests.support.standstill import DiskWatch, unexcused
from tests.support.watching import (
    LiveBytes,
    LiveRequests,
    LiveStream,
    NewBytes,
    NewConnections,
    Watcher,
    watching,
)
from tests.support.withdrawer import Withdrawer

GOAL_SECONDS = 0.1
LIMIT_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
AFTERWARDS_SECONDS = 0.15
"""How long the loop of new connections goes on after everything has ended: one that slips in must be seen."""

INNER_GROUP = "inner group out"
TARGETS = ("new connection", "live request", "open WebSocket", "new TCP connection", "live TCP connection")


@dataclass(slots=True)
class Figures:
    """What the tries of one kind gave: seconds since the commit time, by target; and how bystanders fared."""

    kind: str
    seconds: dict[str, list[float]] = field(default_factory=lambda: {one: [] for one in TARGETS})
    committed: list[float] = field(default_factory=list)  # until the call returned
    faults: list[str] = field(default_factory=list)
    requests: int = 0
    ticks: int = 0
    longest_gap: float = 0.0
    longest_wait: float = 0.0
    excused: int = 0

    def worst(self) -> float:
        """Return the worst of all targets."""
        return max(max(values) for values in self.seconds.values())

    def lines(self) -> Iterator[str]:
        """Yield the rows of the table."""
        for target, values in self.seconds.items():
            missed = sum(value > GOAL_SECONDS for value in values)
            yield (
                f"{self.kind:18}{target:20}{len(values):4}{_ms(statistics.median(values))}{_ms(max(values))}"
                f"{missed:8}"
            )
        yield (
            f"{'':18}commit returned     {len(self.committed):4}{_ms(statistics.median(self.committed))}"
            f"{_ms(max(self.committed))}"
        )
        yield (
            f"{'':18}bystanders: {self.requests} requests, {self.ticks} ticks, longest gap{_ms(self.longest_gap)}, "
            f"longest wait of a new connection{_ms(self.longest_wait)}"
            f"{f', refused while the machine stood still: {self.excused}' * bool(self.excused)}"
        )


HEADING = f"{'withdrawn by':18}{'seen by':20}{'n':>4}{'median':>9}{'worst':>9}{'>100 ms':>8}   (ms since the commit time)"


class Scene:
    """The people and the policy; `try_once` withdraws from `victim`, and gives back afterwards.

    Args:
        door: the running door.
        bytes_port: of a server of plain bytes (`tests.support.tcp.greeter`).
        others: rules for people who are there already, lines of YAML.
    """

    def __init__(self, door: Doorway, bytes_port: int, others: str = "") -> None:
        self.door = door
        self.bytes_port = bytes_port
        self._rules_of_others = others
        self._apply("")
        self.victim = door.person("victim", "staff")
        self.others = [door.person(f"bystander-{number}", "staff") for number in range(2)]

    def try_once(self, kind: str, figures: Figures, withdrawer: Withdrawer) -> None:
        """One try: the victim works in three ways, one change is committed, and the ends are awaited."""
        certificate = self.door.certificate_of("victim")
        document = self.document(_DENY) if kind == "deny added" else ""
        if kind == INNER_GROUP:
            self._be_in_by_another_group()
        requests = LiveRequests(self.door, self.victim)
        stream = LiveStream(self.door, self.victim)
        flow = LiveBytes(self.door, self.victim, app="bytes")
        news = [NewConnections(self.door, self.victim) for _ in range(2)]
        new_flows = NewBytes(self.door, self.victim, app="bytes")
        with watching(requests, stream, flow, *news, new_flows):
            time.sleep(random.random() * 0.05)
            made = withdrawer.withdraw(kind, certificate=certificate, document=document)
            at, committed = made.at, time.time()
            figures.committed.append(made.returned - at)
            ended = eventually(lambda: bool(requests.ended and stream.ended and flow.ended), PATIENCE_SECONDS)
            every = (*news, new_flows)
            eventually(lambda: all(one.refused and one.refused[-1].began > committed for one in every))
            time.sleep(AFTERWARDS_SECONDS)
        if not ended:
            figures.faults.append("a connection did not end")
        if any(one.odd for one in every):
            figures.faults.append(f"odd answers: {[one.odd[0] for one in every if one.odd]}")
        figures.seconds["new connection"].append(max(one.last_after(at) for one in news))
        figures.seconds["live request"].append(requests.last_after(at) if ended else PATIENCE_SECONDS)
        figures.seconds["open WebSocket"].append(stream.last_after(at) if ended else PATIENCE_SECONDS)
        figures.seconds["new TCP connection"].append(new_flows.last_after(at))
        figures.seconds["live TCP connection"].append(flow.last_after(at) if ended else PATIENCE_SECONDS)
        self._give_back(kind)

    def _be_in_by_another_group(self) -> None:
        """The victim is in the group only through one that lies in it."""
        services = self.door.services
        add_member(services, "crew", "victim", actor=ACTOR)
        nest(services, "staff", "crew", actor=ACTOR)
        self.door.settle(remove_member(services, "staff", "victim", actor=ACTOR).seq or 0)

    def _give_back(self, kind: str) -> None:
        services = self.door.services
        seq = 0
        if kind == "revoke":
            self.victim = self.door.enrol("victim")
        elif kind == "hold":
            seq = release(services, self.door.certificate_of("victim"), ACTOR)
        elif kind == "suspend":
            seq = resume(services, "victim", actor=ACTOR).seq
        elif kind in ("group taken away", INNER_GROUP):
            seq = add_member(services, "staff", "victim", actor=ACTOR).seq
        elif kind == "deny added":
            seq = self._apply("")
        self.door.settle(seq)

    def _apply(self, more: str) -> int:
        return self.door.apply_document(self.document(more))

    def document(self, more: str) -> str:
        """Return the policy with more rules, lines of YAML."""
        rules = f"{STAFF}\n{self._rules_of_others}{more}"
        flow = self.door.app("bytes", rules, upstream=f"tcp://127.0.0.1:{self.bytes_port}")
        return render_document(self.door.app("app", rules), flow)


_DENY = "- {deny: {persons: [victim]}}"


def measure(scene: Scene, kind: str, tries: int) -> Figures:
    """Try one kind so many times while bystanders go on, and print its rows."""
    figures = Figures(kind)
    data = scene.door.installation.layout.data
    with Withdrawer(data) as withdrawer, bystanders(scene.door, scene.others[0], figures):
        for number in range(tries):
            if number == tries // 2:  # somebody who came in between, with newer ids, is a bystander too
                with bystanders(scene.door, scene.others[1], figures):
                    scene.try_once(kind, figures, withdrawer)
            else:
                scene.try_once(kind, figures, withdrawer)
    for line in figures.lines():
        print(line)
    return figures


@contextmanager
def bystanders(door: Doorway, identity: Identity, figures: Figures) -> Iterator[None]:
    """Watch a person to whom nothing is done; whatever befalls them is a fault, see `standstill` for the exception."""
    requests, stream = LiveRequests(door, identity), LiveStream(door, identity)
    flow = LiveBytes(door, identity, app="bytes")
    every_new = (
        NewConnections(door, identity, pause=0.02),
        NewBytes(door, identity, app="bytes", pause=0.02),
    )
    watchers: tuple[Watcher, ...] = (requests, stream, flow)
    with watching(*watchers, *every_new), DiskWatch(door.folder) as disk:
        yield
        counts = [len(one.good) for one in watchers]
        eventually(lambda: all(len(one.good) > count for one, count in zip(watchers, counts, strict=True)), 2)
    figures.faults += [
        f"a bystander's {type(one).__name__} ended: {one.why}" for one in watchers if one.ended
    ]
    for news in every_new:
        refused = unexcused(news.refused, [*disk.spans, *door.settled])
        figures.excused += len(news.refused) - len(refused)
        if refused or news.odd:
            figures.faults.append(
                f"{len(refused)} of a bystander's {type(news).__name__} were refused, the last by {news.why}; "
                f"others were answered {sorted({one.status for one in news.odd})}"
            )
        figures.longest_wait = max(figures.longest_wait, news.longest_wait())
    figures.requests += len(requests.good)
    figures.ticks += len(stream.good)
    figures.longest_gap = max(figures.longest_gap, *(one.longest_gap() for one in watchers))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:9.1f}"
