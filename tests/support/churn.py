"""Steady use of a running house by people who come and go: requests, new certificates, revocations, edits of the policy.

    with churning(house) as churn:
        ...                      # kill, wait, measure
    assert churn.faults == []
    record = read_record(house)  # tests.support.churn_record: what must be on record, and what may be missing

Two people open a connection for each request, two use a kept connection. A third kind joins through the door with a link,
connects, and is revoked while it sends requests; its certificate is tried again ever after. The policy is edited all the
while by rules that take nothing from anybody. What fails because a process is away is counted; only what must never
happen is a fault.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from doorward.access.policies import apply_document
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.errors import DoorwardError
from doorward.directory.principals import add_member, add_principal
from tests.support.doorway import ACTOR, Identity, Session, render_document
from tests.support.house import House
from tests.support.watching import KeptRequests, NewConnections, watching

AWAY = (OSError, http.client.HTTPException, DoorwardError, EOFError)
"""What a client or a command meets while a process is away."""

LEAVERS = 8
ENDED_SECONDS = 180.0
"""How long a connection of a revoked certificate may live: the gateway may be away, and ends it when it is back. The soak and
the kills print the longest that was seen."""

REFUSED_SECONDS = 5.0
"""From a revocation to the last new connection with it: a gateway that did not read the changes for so long admits none."""


@dataclass(slots=True, kw_only=True)
class Left:
    """A certificate that was revoked.

    Args:
        certificate: its id.
        identity: its files.
        committed: when `revoke` returned, seconds of the machine's clock.
        ended: when its live connection was seen to have ended; 0 if it had none.
    """

    certificate: str
    identity: Identity
    committed: float
    ended: float = 0.0


class Task:
    """Does one thing again and again in a thread, with a pause in between."""

    def __init__(self, name: str, step: Callable[[], None], pause: float) -> None:
        self.name, self.pause = name, pause
        self.done = 0
        self.last = 0.0
        self.failed: Counter[str] = Counter()
        self.faults: list[str] = []
        self._step = step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(2 * ENDED_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self.pause):
            began = time.time()
            try:
                self._step()
            except AWAY as error:
                self.failed[getattr(error, "code", type(error).__name__)] += 1
            except Exception as error:  # noqa: BLE001  every other error is a finding
                self.faults.append(f"{self.name}: {error!r}")
            else:
                self.done, self.last = self.done + 1, began


@dataclass(slots=True, kw_only=True)
class Churn:
    """The people, and what they did so far."""

    house: House
    requests_pause: float
    pause: float
    dice: random.Random
    news: list[NewConnections] = field(default_factory=list)
    kept: list[KeptRequests] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    applied: int = 0
    wrong: list[str] = field(default_factory=list)
    _turns: Iterator[int] = field(default_factory=itertools.count)
    _knocks: Iterator[int] = field(default_factory=itertools.count)

    @property
    def watchers(self) -> list[NewConnections]:
        """Those who may stay."""
        return [*self.news, *self.kept]

    @property
    def faults(self) -> list[str]:
        """What must not happen and did."""
        odd = [f"{one.path}: status {one.status}" for watcher in self.watchers for one in watcher.odd]
        return [*self.wrong, *odd, *(fault for one in self.tasks for fault in one.faults)]

    def furnish(self) -> None:
        """Put the policy into force, and let the people join."""
        self.edit()
        for name in ("alice", "bob", "carol", "dora"):
            self.house.person(name, "staff")
        for number in range(LEAVERS):
            add_principal(self.house.services, PrincipalKind.PERSON, f"leaver-{number}", actor=ACTOR)
            add_member(self.house.services, "staff", f"leaver-{number}", actor=ACTOR)
        at = self.house.identities
        pause = self.requests_pause
        self.news = [
            NewConnections(self.house, at[name], path=f"/new/{name}/", pause=pause)
            for name in ("alice", "bob")
        ]
        self.kept = [
            KeptRequests(self.house, at[name], path=f"/kept/{name}/", pause=pause)
            for name in ("carol", "dora")
        ]
        self.tasks = [
            Task("leave", self.leave, self.pause),
            Task("knock", self.knock, self.pause / 4),
            Task("edit", self.edit, self.pause * 2),
        ]

    def is_back(self, moment: float, *, joining: bool) -> bool:
        """Return whether everything works that began after a moment; `joining`: also enrolment."""
        seen = all(one.good and one.good[-1].began > moment for one in self.watchers)
        return seen and (not joining or self.tasks[0].last > moment)

    def edit(self) -> None:
        """Apply another revision; each one has a rule that none of the people uses."""
        number = self.applied
        rules = (
            "- {allow: {groups: [staff, clinicians]}}\n"
            f"- {{allow: {{groups: [ops]}}, to: {{paths: [/o/{number % 7}/**]}}}}"
        )
        document = render_document(self.house.app("app", rules, **self.fields))
        apply_document(self.house.services, document, file="churn.yaml", actor=ACTOR)
        self.applied += 1

    def leave(self) -> None:
        """Join by a link, connect, be revoked, and go on until the connection ends."""
        number = next(self._turns)
        name = f"leaver-{number % LEAVERS}"
        identity = self.house.enrol(name)
        certificate = self.house.certificate_of(name)
        self.joined.append(certificate)
        left = Left(certificate=certificate, identity=identity, committed=0.0)
        try:
            session = Session(self.house.connect(identity), self.house.host("app"), self.house.port)
        except AWAY:
            self._revoke(left)
            raise
        with closing(session):
            try:
                assert session.request("GET", f"/joined/{number}").status == 200
                time.sleep(self.dice.uniform(0.0, 2 * self.pause))  # so that something may die meanwhile
            except (*AWAY, AssertionError):
                self._revoke(left)
                raise ConnectionError("refused while a process was away") from None
            self._revoke(left)
            self._use_until_it_ends(left, session)

    def _revoke(self, left: Left) -> None:
        revoke(self.house.services, left.certificate, RevocationReason.KEY_COMPROMISE, ACTOR)
        left.committed = time.time()
        self.left.append(left)

    def _use_until_it_ends(self, left: Left, session: Session) -> None:
        try:
            while time.time() < left.committed + ENDED_SECONDS:
                session.request("GET", "/left")
                time.sleep(0.02)
        except AWAY:
            left.ended = time.time()
        else:
            self.wrong.append(
                f"a connection of {left.certificate} lives {ENDED_SECONDS:g} s after its revocation"
            )

    def knock(self) -> None:
        """Try a revoked certificate: the newest one, or any."""
        if not self.left:
            return
        left = self.left[-1] if self.dice.random() < 0.5 else self.dice.choice(self.left)
        began = time.time()
        status = self.house.get(left.identity, f"/knock/{next(self._knocks)}").status
        if status == 200 and began > left.committed + REFUSED_SECONDS:
            self.wrong.append(
                f"{left.certificate} was let in {began - left.committed:.1f} s after its revocation"
            )

    def slowest_end(self) -> float:
        """Return the longest time from a revocation to the end of its connection, seconds."""
        return max((one.ended - one.committed for one in self.left if one.ended), default=0.0)

    def report(self) -> None:
        """Print what was done."""
        for one in self.watchers:
            print(f"  {one.path:14}{len(one.good):7} answered, {len(one.refused):5} refused or cut")
        for task in self.tasks:
            print(f"  {task.name:14}{task.done:7} times, failed {dict(task.failed)}")
        print(
            f"  {len(self.left)} revocations, the last connection ended {self.slowest_end():.2f} s after its own;"
            f" {self.applied} revisions"
        )


@contextmanager
def churning(
    house: House,
    *,
    pause: float = 0.5,
    requests_pause: float = 0.05,
    fields: Mapping[str, str] = MappingProxyType({}),
    seed: int = 20261130,
) -> Iterator[Churn]:
    """Furnish a house and let people use it until the block ends.

    Args:
        house: it runs.
        pause: between two revocations, seconds; edits come half as often.
        requests_pause: between two requests of one person, seconds.
        fields: further fields of the application, YAML.
        seed: of the dice.
    """
    churn = Churn(
        house=house, pause=pause, requests_pause=requests_pause, fields=dict(fields), dice=random.Random(seed)
    )
    churn.furnish()
    with ExitStack() as stack:
        stack.enter_context(watching(*churn.watchers))
        for one in churn.tasks:
            stack.enter_context(one)
        yield churn
