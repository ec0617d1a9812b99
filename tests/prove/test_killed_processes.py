"""Each process of `doorward up` is killed at random moments while people work: traffic returns by itself, nothing is lost.

By turns `serve`, `serve` while it sequences events, the gateway, Envoy, the parent with all that it leaves behind (as a
service manager does, which then starts it again), and the parent alone: then the next one replaces the parts that went on
(docs/design/0113), and nothing at all may be missing. After each kill everybody is served again within `BACK_SECONDS`, and
people can join. At the end the log verifies; no event is there twice; what was answered, revoked, issued and applied is
on record; only the last moment of a killed Envoy may be missing, and is a gap on record; each revoked certificate stayed
out, and no connection of one lived on.

KILLS=20 kills each of the six twenty times; one kill takes about five seconds, or three times as long on a busy machine.
MOST_MINUTES=40 ends the killing after the round in which 40 minutes are over.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from statistics import median

import pytest

from tests.support.churn import Churn, churning
from tests.support.churn_record import Death, check_inventory, check_record, read_record, still_let_in
from tests.support.doorway import eventually, is_root
from tests.support.house import House, open_house

KILLS = int(os.environ.get("KILLS", "100"))
MOST_MINUTES = float(os.environ.get("MOST_MINUTES", "inf"))
SEED = 20261130
VICTIMS = ("serve", "sequencer", "gateway", "envoy", "up", "up alone")
BACK_SECONDS = 180.0
"""Usual are 3 s, and 30 s on a machine with ten times as much work as it has cores; a process that dies again within 10 s of its
start is started after a pause, of at most 10 s."""

LONGEST_PAUSE_SECONDS = 1.5
"""From the moment at which everybody was served again to the next kill."""

pytestmark = pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")


def turns(dice: random.Random) -> Iterator[str]:
    """Yield the victims: each one once in every round, in another order."""
    began = time.monotonic()
    for _ in range(KILLS):
        if time.monotonic() - began > 60 * MOST_MINUTES:
            return
        yield from dice.sample(VICTIMS, len(VICTIMS))


def kill(house: House, victim: str, dice: random.Random) -> Death:
    """Kill one; return when."""
    if victim == "up":
        return kill_parent(house, dice)
    if victim == "up alone":
        return replace_parent(house, dice)
    if victim == "sequencer":
        eventually(lambda: house.waiting() > 0, 5.0)
    part = "serve" if victim == "sequencer" else victim
    pid = house.wait_for_pid(part, seconds=BACK_SECONDS)
    began = time.time()
    os.kill(pid, signal.SIGKILL)
    return Death(began, time.time())


def kill_parent(house: House, dice: random.Random) -> Death:
    """Kill the parent, and a moment later what it left; start it again; return when the rest died."""
    assert house.parent is not None
    os.kill(house.parent.pid, signal.SIGKILL)
    time.sleep(dice.uniform(0.0, 0.5))
    began = time.time()
    house.clear()
    death = Death(began, time.time())
    house.start()
    return death


def replace_parent(house: House, dice: random.Random) -> Death:
    """Kill the parent alone, and start another one; return when everything had been replaced."""
    killed = house.parent
    assert killed is not None
    assert killed.stdout is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    began = time.time()
    time.sleep(dice.uniform(0.0, 0.5))
    house.start()
    killed.stdout.close()  # not before: the parts that went on had it open
    return Death(began, time.time())


@pytest.mark.timeout(600 + 60 * KILLS)
def test_each_process_is_killed_again_and_again() -> None:
    """Traffic returns by itself each time, and nothing is lost but the last moment of an Envoy that was killed."""
    dice = random.Random(SEED)
    backs: dict[str, list[float]] = {one: [] for one in VICTIMS}
    deaths: list[Death] = []
    with open_house() as house:
        with churning(house) as churn:
            for victim in turns(dice):
                time.sleep(dice.uniform(0.0, LONGEST_PAUSE_SECONDS))
                death = kill(house, victim, dice)
                if victim in ("envoy", "up"):
                    deaths.append(death)
                await_return(churn, victim, death.ended)
                backs[victim].append(time.time() - death.began)
                assert churn.faults == []
        report(churn, backs)
        assert churn.faults == []
        record = read_record(house)
        lost = check_record(churn, record, deaths)
        certificates = check_inventory(churn)
        assert still_let_in(churn) == []
        print(
            f"  {record.events} events, none twice, the log verifies; {lost} requests of {len(deaths)} killed Envoys are not"
            f" on record, {len(record.gaps)} gaps are; {certificates} certificates, each serial number once"
        )


def await_return(churn: Churn, victim: str, died: float) -> None:
    """Wait until everybody is served, and people can join, by what began after a moment."""
    joining = victim not in ("gateway", "envoy")
    assert eventually(lambda: churn.is_back(died, joining=joining), BACK_SECONDS), (
        f"{victim} was killed, and after {BACK_SECONDS:g} s not everybody is served: {churn.house.words()}"
    )


def report(churn: Churn, backs: dict[str, list[float]]) -> None:
    """Print the figures."""
    print()
    for victim, seconds in backs.items():
        print(
            f"  kill -9 {victim:10} {len(seconds):4} times: served again after {median(seconds):5.2f} s (median),"
            f" {max(seconds):5.2f} s (worst)"
        )
    churn.report()
