"""10,000 wrong passwords over 1,000 accounts from 100 addresses, on a real database."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from doorward.authority import founding
from doorward.core.errors import Unavailable
from doorward.directory.factors.checking import check_password
from doorward.factors.password import PasswordCost
from doorward.factors.throttling import LONGEST
from doorward.stores.services import Services
from tests.support.ports import FakeClock, FakeRandom, MemoryKeyStore, PlainKeys
from tests.support.sql_store import sql_work, sqlite_database
from tests.support.stuffing import Siege, besiege
from tests.support.world import OPERATOR, STATUS_URL, TRUST_DOMAIN

MEBIBYTE = 1024
"""In the unit of `ru_maxrss`."""


def siege_on_disk(folder: Path, accounts: int, cost: PasswordCost | None = None) -> Siege:
    """Accounts in an SQLite database."""
    clock = FakeClock()
    services = Services(
        work=sql_work(sqlite_database(folder)),
        clock=clock,
        random=FakeRandom(),
        factory=PlainKeys(),
        keys=MemoryKeyStore(),
    )
    founding.found(services, trust_domain=TRUST_DOMAIN, status_url=STATUS_URL, actor=OPERATOR)
    more = {} if cost is None else {"cost": cost}
    return besiege(services, clock, accounts, **more)


def peak() -> int:
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_ten_thousand_tries_get_nowhere(tmp_path: Path) -> None:
    """No entry; each honest person comes in within the stated bound; memory and hashes are bounded."""
    siege = siege_on_disk(tmp_path, accounts=1000)
    before = peak()
    outcome = siege.attack(addresses=100, tries=10_000, threads=8, honest=50)
    print(
        f"{outcome.entries} entries, {outcome.judged} judged, {outcome.refused} refused, {outcome.busy} busy; "
        f"{len(outcome.waits)} honest persons, longest wait {max(outcome.waits)}; at most {siege.budget.most} hashes "
        f"at once; memory +{(peak() - before) // MEBIBYTE} MiB"
    )
    assert outcome.entries == 0
    assert outcome.refused > 3000
    assert len(outcome.waits) >= 500
    assert max(outcome.waits) <= LONGEST
    assert siege.budget.most <= 2
    assert peak() - before < 100 * MEBIBYTE


def test_hashes_of_full_cost_take_the_memory_of_two(tmp_path: Path) -> None:
    """Sixteen threads with 64 MiB each: two work, and the process stays below what four would take."""
    siege = siege_on_disk(tmp_path, accounts=64, cost=PasswordCost())
    before = peak()

    def come(number: int) -> bool:
        try:
            return check_password(siege.context, siege.persons[number], "a stolen password").good
        except Unavailable:
            return False

    with ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(come, range(64)))
    assert siege.budget.most == 2
    assert peak() - before < 4 * 64 * MEBIBYTE
