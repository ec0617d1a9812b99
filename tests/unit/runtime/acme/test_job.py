"""When the job of ACME looks: after a change and at the next due time; otherwise it leaves the database alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.entities import TENANT
from doorward.runtime.acme.job import HINDERED_SECONDS, LONGEST_WAIT_SECONDS, AcmeJob
from doorward.runtime.settings import Settings
from doorward.stores.acme_protocols import AcmeOrderRecord, AcmePauseRecord
from tests.support.world import World, found_world

DIRECTORY = "https://acme.example/directory"


@dataclass
class Watched:
    """A job, and how long it waited for changes."""

    world: World
    job: AcmeJob
    waits: list[float] = field(default_factory=list)

    def seconds(self) -> float:
        """Work, and return how long the job then waits."""
        self.job.work()
        self.job.wait(LONGEST_WAIT_SECONDS)
        return self.waits[-1]

    def add(self, order_id: str, **fields: object) -> None:
        """Add an order."""
        with self.world.services.work.change() as stores:
            order = AcmeOrderRecord(order_id=order_id, tenant=TENANT, directory=DIRECTORY, **fields)  # type: ignore[arg-type]
            stores.acme.add_order(order)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """A job of an installation without ACME."""
    world = found_world()
    waits: list[float] = []

    def changed(seconds: float) -> bool:
        waits.append(seconds)
        return False

    job = AcmeJob(world.services, Settings(data=tmp_path), "", threading.Event(), changed)
    return Watched(world, job, waits)


def test_without_acme_the_job_waits_for_a_change(watched: Watched) -> None:
    """A change wakes it; it looks once a minute because a notification may be lost."""
    assert watched.seconds() == LONGEST_WAIT_SECONDS


def test_the_job_wakes_when_an_order_is_due(watched: Watched) -> None:
    """A try after a failure, or a question about renewal."""
    now = watched.world.clock.now()
    watched.add("ord_1", next_try_at=now + timedelta(seconds=40))
    watched.add("ord_2", ask_again_at=now + timedelta(seconds=20))
    assert watched.seconds() == 20
    watched.add("ord_3", next_try_at=now + timedelta(seconds=10))
    assert watched.seconds() == 10


def test_an_order_that_cannot_go_on_is_looked_at_again(watched: Watched) -> None:
    """Its authority has a pause, or another order has its host: the job neither spins nor sleeps for a minute."""
    now = watched.world.clock.now()
    watched.add("ord_1", next_try_at=now)
    pause = AcmePauseRecord(directory=DIRECTORY, tenant=TENANT, failures=1, until=now + timedelta(minutes=10))
    with watched.world.services.work.change() as stores:
        stores.acme.save_pause(pause)
    assert watched.seconds() == HINDERED_SECONDS
