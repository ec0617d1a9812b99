"""Rounds in which a process of a house is killed while a revision is published, and people who watch all the time.

A round applies a revision, kills the gateway or Envoy some milliseconds later, and waits until the newest revision is in
force. Threads use new and old connections meanwhile. `Ledger` knows when each revision was committed and confirmed, and so
which answers may be given.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from doorward.access.policies import apply_document
from doorward.authority.gateways import confirmations
from tests.support.doorway import ACTOR, DOMAIN, Identity, Session, eventually, render_document
from tests.support.house import House

LATEST_KILL_SECONDS = 0.06
LATEST_NEXT_SECONDS = 2.0
"""From the first kill of a round to the next one, if there are several: until then a restart takes about two seconds."""

BACK_SECONDS = 60.0
PAUSE_SECONDS = 0.02
HOST_SECONDS = 60.0
"""If an order for a server certificate was refused, because its host was gone again, the next one comes 30 s later."""

AWAY_SHARE = 0.25
"""The share of rounds in which another revision is applied right after the first kill."""

IDLE = 3
"""Connections that are opened before each revision and used again only after it."""


@dataclass(slots=True, kw_only=True)
class Revision:
    """What a revision allows, and when it was applied, seconds of the monotonic clock; 0 if that is to come."""

    number: int
    began: float
    committed: float = 0.0
    confirmed: float = 0.0

    @property
    def side(self) -> str:
        """The folder that staff may use at `app`."""
        return "ab"[self.number % 2]

    @property
    def has_extra_host(self) -> bool:
        """Whether `hosts` has its second host."""
        return self.number % 2 == 0

    @property
    def has_third(self) -> bool:
        """Whether the application `third` is there."""
        return self.number // 3 % 2 == 0

    def document(self, house: House) -> str:
        """Return the document; in each one the ids of some rules differ from those of the one before."""
        ops = "[ops]" if self.number % 2 else "[ops, eng]"
        app = house.app(
            "app",
            f"- {{allow: {{groups: [staff]}}, to: {{paths: [/{self.side}/**]}}}}\n"
            f"- {{allow: {{groups: {ops}}}, to: {{paths: [/o/**]}}}}\n"
            "- {allow: {groups: [admins]}}",
        )
        extra = f", extra.{DOMAIN}" if self.has_extra_host else ""
        apps = [app, house.app("hosts", hosts=f"hosts.{DOMAIN}{extra}"), house.app("calm")]
        return render_document(*apps, *([house.app("third")] if self.has_third else []))


@dataclass(frozen=True, slots=True)
class Target:
    """Something that a revision allows staff or not."""

    app: str
    path: str
    allowed_by: Callable[[Revision], bool]


TARGETS = (
    Target("app", "/a/x", lambda one: one.side == "a"),
    Target("app", "/b/x", lambda one: one.side == "b"),
    Target("extra", "/x", lambda one: one.has_extra_host),
    Target("third", "/x", lambda one: one.has_third),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of 200, and when its connection was opened, and the request was sent and answered."""

    target: Target
    opened: float
    asked: float
    answered: float


class Ledger:
    """All revisions; safe between threads, because it only grows."""

    def __init__(self) -> None:
        self.revisions: list[Revision] = []

    def is_superseded(self, answer: Answer) -> bool:
        """Return whether only revisions that were superseded allow this.

        They are those before the last one that was committed when the connection was opened, and those before the last
        one that was confirmed when the request was sent.
        """
        floor = max(
            (
                one.number
                for one in self.revisions
                if 0 < one.committed <= answer.opened or 0 < one.confirmed <= answer.asked
            ),
            default=0,
        )
        return not any(
            answer.target.allowed_by(one)
            for one in self.revisions
            if one.number >= floor and one.began <= answer.answered
        )


class Watcher(ABC):
    """A thread; `wrong` has the answers by superseded rules, `ends` the moments at which a connection ended."""

    def __init__(self, house: House, ledger: Ledger, identity: Identity, targets: Sequence[Target]) -> None:
        self.house, self.ledger, self.identity, self.targets = house, ledger, identity, targets
        self.good: list[Answer] = []
        self.wrong: list[Answer] = []
        self.ends: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(15)

    def connect(self, target: Target) -> tuple[float, Session]:
        """Open a connection; return when that began."""
        opened = time.monotonic()
        secure = self.house.connect(self.identity, app=target.app)
        return opened, Session(secure, self.house.host(target.app), self.house.port)

    def ask(self, opened: float, session: Session, target: Target) -> int:
        """Ask once, and judge the answer."""
        asked = time.monotonic()
        reply = session.request("GET", target.path)
        if reply.status == 200:
            answer = Answer(target=target, opened=opened, asked=asked, answered=time.monotonic())
            (self.wrong if self.ledger.is_superseded(answer) else self.good).append(answer)
        if reply.headers.get("connection") == "close":
            raise EOFError
        return reply.status

    def _run(self) -> None:
        for target in itertools.cycle(self.targets):
            if self._stop.wait(PAUSE_SECONDS):
                return
            self.watch(target)

    @abstractmethod
    def watch(self, target: Target) -> None:
        """Do one step."""


class NewConnections(Watcher):
    """A new connection for each request."""

    def watch(self, target: Target) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, EOFError):
            opened, session = self.connect(target)
            with contextlib.closing(session):
                self.ask(opened, session, target)


class HurriedConnections(NewConnections):
    """The same, only from a commit to the kill, and without pauses: that is when a superseded rule could be served."""

    def __init__(self, house: House, ledger: Ledger, identity: Identity) -> None:
        super().__init__(house, ledger, identity, TARGETS[:2])
        self.hurry = threading.Event()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self.hurry.wait(PAUSE_SECONDS):
                former = self.ledger.revisions[-2]
                self.watch(next(one for one in self.targets if one.allowed_by(former)))


class OldConnection(Watcher):
    """A connection that is used all the time, and opened again only if it ended."""

    session: Session | None = None
    opened = 0.0

    def watch(self, target: Target) -> None:
        try:
            if self.session is None:
                self.opened, self.session = self.connect(target)
            self.ask(self.opened, self.session, target)
        except (OSError, http.client.HTTPException, EOFError) as error:
            if self.session is not None:
                self.session.close()
                self.ends.append((time.monotonic(), f"{type(error).__name__}: {error}"))
            self.session = None

    def is_open(self) -> bool:
        """Return whether there is a connection now."""
        return self.session is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What happened in a round.

    Args:
        victims: what was killed.
        kill_after: seconds from the commit to the first kill.
        was_confirmed: whether the revision was confirmed before that.
        back: seconds from the last kill to the next new connection.
        is_adopted: whether the same Envoy runs after the round as before.
    """

    victims: str
    kill_after: float
    was_confirmed: bool
    back: float
    is_adopted: bool


@dataclass(slots=True, kw_only=True)
class Rounds:
    """A house with people who watch, and its rounds so far."""

    house: House
    ledger: Ledger
    people: Mapping[str, Identity]
    news: list[NewConnections] = field(default_factory=list)
    calm: NewConnections
    hurried: list[HurriedConnections] = field(default_factory=list)
    swapped: list[OldConnection] = field(default_factory=list)
    lasting: dict[str, OldConnection] = field(default_factory=dict)
    done: list[Round] = field(default_factory=list)

    def apply(self) -> int:
        """Commit the next revision; return the number of the change."""
        revision = Revision(number=len(self.ledger.revisions), began=time.monotonic())
        document = revision.document(self.house)
        revision.began = time.monotonic()
        self.ledger.revisions.append(revision)
        seq = apply_document(self.house.services, document, file="test.yaml", actor=ACTOR).seq
        revision.committed = time.monotonic()
        for one in self.hurried:
            one.hurry.set()
        return seq

    def is_confirmed(self, seq: int) -> bool:
        """Return whether the gateway confirmed a change."""
        return all(one.confirmed for one in confirmations(self.house.services, seq))

    def kill(self, victims: Sequence[str], dice: random.Random) -> None:
        """Do a round: kill the first one while a revision is published, and the others while the house recovers.

        Raises:
            AssertionError: the newest revision does not come into force, or an answer is not by it.
        """
        idle = list(self._idle())
        pid, envoy = self.house.pid(victims[0]), self.house.pid("envoy")
        seq, pause = self.apply(), dice.uniform(0.0, LATEST_KILL_SECONDS)
        committed = self.ledger.revisions[-1].committed
        time.sleep(pause)
        os.kill(pid, signal.SIGKILL)
        for one in self.hurried:
            one.hurry.clear()
        killed = first_killed = time.monotonic()
        was_confirmed = self.is_confirmed(seq)
        if dice.random() < AWAY_SHARE:
            seq = self.apply()
            for hurried in self.hurried:
                hurried.hurry.clear()
        for victim in victims[1:]:
            time.sleep(dice.uniform(0.0, LATEST_NEXT_SECONDS))
            another = self.house.wait_for_pid(victim, other_than=pid if victim == victims[0] else 0)
            os.kill(another, signal.SIGKILL)
            killed = time.monotonic()
        revision = self.ledger.revisions[-1]
        assert eventually(lambda: self.is_confirmed(seq), BACK_SECONDS), self.house.words()
        revision.confirmed = time.monotonic()
        assert eventually(lambda: self._first_after(killed) > 0, BACK_SECONDS), self.house.words()
        self.done.append(
            Round(
                victims=" and ".join(victims),
                kill_after=first_killed - committed,
                was_confirmed=was_confirmed,
                back=self._first_after(killed) - killed,
                is_adopted=self.house.pid("envoy") == envoy,
            )
        )
        self._check_end(revision, idle)

    def _first_after(self, moment: float) -> float:
        return next((one.answered for one in list(self.calm.good) if one.opened > moment), 0.0)

    def _idle(self) -> Iterator[tuple[Target, float, Session]]:
        """Open connections that nothing uses while the revision is published."""
        revision, keeper = self.ledger.revisions[-1], self.calm
        for number in range(IDLE):
            target = TARGETS[number % 2]
            opened, session = keeper.connect(target)
            asked = session.request("GET", target.path).status
            assert (asked == 200) is target.allowed_by(revision), asked
            yield target, opened, session

    def _check_end(self, revision: Revision, idle: list[tuple[Target, float, Session]]) -> None:
        """New connections and those that are still open get exactly what the newest revision allows."""
        for target in TARGETS:
            wanted = target.allowed_by(revision)
            assert eventually(lambda one=target, is_good=wanted: self._gets(one) is is_good, HOST_SECONDS), (  # type: ignore[misc]
                target,
                revision,
                self.house.words(),
            )
        for _, opened, session in idle:
            with (
                contextlib.suppress(OSError, http.client.HTTPException, EOFError),
                contextlib.closing(session),
            ):
                for target in TARGETS[:2]:
                    status = self.calm.ask(opened, session, target)
                    assert (status == 200) is target.allowed_by(revision), (target, status, revision)
        for name, one in self.lasting.items():
            seen = len(one.good)
            assert eventually(lambda one=one, seen=seen: len(one.good) > seen + 3, 10), name  # type: ignore[misc]
        self.check()

    def _gets(self, target: Target) -> bool:
        return self.house.lets_in(self.people["alice"], target.path, app=target.app)

    def check(self) -> None:
        """Fail if any answer was by a superseded rule."""
        wrong = [one for watcher in self.watchers() for one in watcher.wrong]
        assert not wrong, (wrong[0], self.ledger.revisions[-3:])

    def watchers(self) -> list[Watcher]:
        """Return all of them."""
        return [self.calm, *self.news, *self.hurried, *self.swapped, *self.lasting.values()]

    def report(self) -> None:
        """Print the figures."""
        for number, one in enumerate(self.done):
            print(
                f"  {number:3}: {one.victims} killed {one.kill_after * 1000:3.0f} ms after the commit"
                f"{' (and the confirmation)' if one.was_confirmed else ''}; new connections after {one.back:5.2f} s;"
                f" {'the same' if one.is_adopted else 'another'} Envoy"
            )
        backs = sorted(one.back for one in self.done)
        middle = sum(not one.was_confirmed for one in self.done)
        adopted = sum(one.is_adopted for one in self.done)
        answers = sum(len(one.good) for one in self.watchers())
        print(
            f"  kill -9 {self.done[0].victims}, {len(self.done)} rounds, {middle} before the confirmation, {answers} answers of"
            f" 200, none by a superseded rule: new connections again after {median(backs):.2f} s (median), {backs[-1]:.2f} s"
            f" (worst); {adopted} Envoys adopted"
        )


@contextlib.contextmanager
def watched_rounds(house: House) -> Iterator[Rounds]:
    """Furnish a house, put its first revision into force, and watch."""
    people = {
        name: house.person(name, group)
        for name, group in (("alice", "staff"), ("dora", "admins"), ("frank", "ops"))
    }
    ledger = Ledger()
    always = Target("calm", "/x", lambda _: True)
    alice = people["alice"]
    rounds = Rounds(
        house=house, ledger=ledger, people=people, calm=NewConnections(house, ledger, alice, [always])
    )
    rounds.news = [NewConnections(house, ledger, alice, some) for some in (TARGETS[:2], TARGETS[2:])]
    rounds.swapped = [OldConnection(house, ledger, alice, TARGETS[:2]) for _ in range(2)]
    rounds.lasting = {
        name: OldConnection(house, ledger, people[who], [Target(app, path, lambda _: True)])
        for name, who, app, path in (
            ("unchanged application", "alice", "calm", "/x"),
            ("unchanged rule", "dora", "app", "/any"),
            ("rule with another id", "frank", "app", "/o/x"),
        )
    }
    house.settle(rounds.apply())
    ledger.revisions[-1].confirmed = time.monotonic()
    rounds.hurried = [HurriedConnections(house, ledger, alice) for _ in range(3)]
    for one in rounds.watchers():
        one.start()
    try:
        watching = [one for one in rounds.watchers() if one not in rounds.hurried]
        assert eventually(lambda: all(one.good for one in watching), 20), house.words()
        yield rounds
    finally:
        for one in rounds.watchers():
            one.stop()
