"""Credential stuffing: many wrong passwords for many accounts from many addresses, and honest persons among them.

No one can try a password without a certificate, so the attackers here have stolen one of each account (not the
one that its person uses). Time stands still within a round and is turned between rounds.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from doorward.core.entities import TENANT, PrincipalKind
from doorward.core.errors import Unavailable
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors.budget import HashBudget
from doorward.directory.factors.checking import CheckedFactor, check_password
from doorward.directory.factors.context import FactorContext
from doorward.factors.password import PasswordCost, hash_password
from doorward.stores.factor_records import FactorRecord
from doorward.stores.services import Services
from tests.support import records
from tests.support.factor_world import CHEAP, GOOD_PASSWORD, PARTY
from tests.support.ports import NOON, FakeClock

T = TypeVar("T")

ROUND = timedelta(seconds=20)
"""Between two tries of an attacker for one account."""


class CountingBudget(HashBudget):
    """A budget that notes how many hashes there were, and how many at once."""

    def __init__(self) -> None:
        super().__init__()
        self._counting = threading.Lock()
        self.hashes = self.present = self.most = 0

    def run(self, source: str, work: Callable[[], T]) -> T:
        def counted() -> T:
            with self._counting:
                self.hashes += 1
                self.present += 1
                self.most = max(self.most, self.present)
            try:
                return work()
            finally:
                with self._counting:
                    self.present -= 1

        return super().run(source, counted)


@dataclass(kw_only=True)
class Outcome:
    """What came of an attack.

    Args:
        entries: wrong passwords that were taken.
        judged: tries for which a hash was made.
        refused: tries that were not judged.
        busy: tries for which there was no place.
        waits: of each honest person, between the first try and the good one.
    """

    entries: int = 0
    judged: int = 0
    refused: int = 0
    busy: int = 0
    waits: list[timedelta] = field(default_factory=list)


@dataclass(kw_only=True)
class Siege:
    """Accounts with a password each, and who attacks them."""

    context: FactorContext
    budget: CountingBudget
    clock: FakeClock
    persons: Sequence[Caller]

    def attack(self, *, addresses: int, tries: int, threads: int = 8, honest: int = 10) -> Outcome:
        """Let attackers try so often, by rounds over all accounts; in each, some honest persons come too.

        Of these the even ones type their password right, the odd ones wrong first.
        """
        outcome = Outcome()
        thieves = [
            replace(
                one,
                certificate_id=one.certificate_id[:-1] + "7",
                certificate_sha256=hashlib.sha256(one.name.encode()).hexdigest(),
                source=f"198.51.100.{number % addresses}",
            )
            for number, one in enumerate(self.persons)
        ]
        typos: dict[str, tuple[Caller, timedelta]] = {}
        with ThreadPoolExecutor(threads) as pool:
            for turn in range(tries // len(thieves)):
                guess = f"a stolen password of round {turn}"
                for found in pool.map(lambda who, text=guess: self._try(who, text), thieves):
                    outcome.entries += found is not None and found.good
                    outcome.refused += found is not None and found.until is not None
                    outcome.busy += found is None
                self._come_back(typos, outcome)
                for number in range(honest):
                    person = self.persons[(turn * honest + number) % len(self.persons)]
                    text = GOOD_PASSWORD if number % 2 == 0 else "my password from before"
                    found = check_password(self.context, person, text)
                    if found.good:
                        outcome.waits.append(timedelta(0))
                    else:
                        typos.setdefault(person.name, (person, timedelta(0)))
                self.clock.turn(seconds=ROUND.total_seconds())
                typos = {name: (who, waited + ROUND) for name, (who, waited) in typos.items()}
            while typos:
                self._come_back(typos, outcome)
                self.clock.turn(seconds=ROUND.total_seconds())
                typos = {name: (who, waited + ROUND) for name, (who, waited) in typos.items()}
        outcome.judged = self.budget.hashes
        return outcome

    def _try(self, who: Caller, text: str) -> CheckedFactor | None:
        try:
            return check_password(self.context, who, text)
        except Unavailable:
            return None

    def _come_back(self, typos: dict[str, tuple[Caller, timedelta]], outcome: Outcome) -> None:
        """Let those who mistyped try again; who is still told to wait comes again in the next round."""
        for name, (who, waited) in list(typos.items()):
            if check_password(self.context, who, GOOD_PASSWORD).good:
                outcome.waits.append(waited)
                del typos[name]


def besiege(services: Services, clock: FakeClock, accounts: int, *, cost: PasswordCost = CHEAP) -> Siege:
    """Return so many persons with the same good password."""
    budget = CountingBudget()
    context = FactorContext(services=services, party=PARTY, cost=cost, budget=budget)
    stored = hash_password(GOOD_PASSWORD.encode(), bytes(16), cost).encode()
    persons = [_person(number) for number in range(accounts)]
    with services.work.change() as stores:
        for one in persons:
            principal = records.principal(one.name, id=one.principal_id)
            stores.directory.add(principal, clock.now())
            stores.factors.add(
                FactorRecord(
                    id=services.new_id("fct"),
                    tenant=TENANT,
                    principal_id=one.principal_id,
                    kind=FactorKind.PASSWORD,
                    secret=stored,
                    created_at=clock.now(),
                )
            )
    return Siege(context=context, budget=budget, clock=clock, persons=persons)


def _person(number: int) -> Caller:
    """A person at home, with the certificate that is their own."""
    digits = f"{number:019d}".translate(str.maketrans("01", "ab"))
    return Caller(
        principal_id=f"per_{digits}z",
        name=f"person-{number}",
        kind=PrincipalKind.PERSON,
        certificate_id=f"crt_{digits}2",
        certificate_sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        not_after=NOON + timedelta(days=90),
        expires_at=NOON + timedelta(hours=12),
        source=f"203.0.113.{number % 256}",
    )
