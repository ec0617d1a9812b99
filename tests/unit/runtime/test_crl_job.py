"""CRLs are published in time by a job that usually reads one number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.authority.revocation import revoke
from doorward.authority.status.crls import CRL_PAUSE
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.runtime.crl_job import LIFETIME_LOOK_SECONDS, CrlJob
from doorward.stores.protocols import Stores
from doorward.stores.services import Services
from tests.support.memory_store import MemoryUnitOfWork
from tests.support.refusals import refused
from tests.support.world import World, found_world

SECONDS = int(2 * CRL_PAUSE.total_seconds()) + 2


class _Counting:
    """A unit of work that counts how often CRLs are looked at."""

    def __init__(self, work: MemoryUnitOfWork) -> None:
        self.looks = 0
        self._work = work

    def change(self, *, traffic: bool = False) -> AbstractContextManager[Stores]:
        return self._work.change(traffic=traffic)  # type: ignore[return-value]

    @contextmanager
    def read(self) -> Iterator[Any]:
        with self._work.read() as stores:
            yield _Noting(self, stores)


class _Noting:
    def __init__(self, counting: _Counting, stores: Any) -> None:
        self._counting, self._stores = counting, stores

    def __getattr__(self, name: str) -> Any:
        self._counting.looks += name == "status"
        return getattr(self._stores, name)


@pytest.fixture
def world() -> World:
    """A founded authority."""
    return found_world()


def job_of(services: Services) -> CrlJob:
    """The job; the tests do its waits themselves."""
    return CrlJob(services, lambda _: None)


def number(world: World) -> int:
    """The number of the full CRL."""
    with world.work.read() as stores:
        issuing = next(one for one in stores.authorities.list() if one.kind.value == "issuing")
        return stores.status.crl_number(issuing.id) or 0


def run(world: World, job: CrlJob, seconds: float) -> None:
    """Let time pass, with the job's look each half second."""
    for _ in range(int(2 * seconds)):
        world.clock.turn(seconds=0.5)
        assert not job.work()


def test_a_revocation_is_published_after_the_pause(world: World) -> None:
    """Also if nothing happened for an hour, and the second of two within one pause."""
    first, second = world.issue("alice"), world.issue("alice")
    job = job_of(world.services)
    run(world, job, 3600)
    before = number(world)
    revoke(world.services, first.record.id, RevocationReason.SUPERSEDED, "os:0")
    run(world, job, 1)
    assert number(world) == before + 1
    revoke(world.services, second.record.id, RevocationReason.SUPERSEDED, "os:0")
    run(world, job, 1)
    assert number(world) == before + 1
    run(world, job, CRL_PAUSE.total_seconds())
    assert number(world) == before + 2


def test_half_of_a_lifetime_is_noticed(world: World) -> None:
    """At most one look at lifetimes later, though nothing changes."""
    services = replace(world.services, crl_lifetime=timedelta(hours=1))
    job = job_of(services)
    run(world, job, 12 * 3600 + LIFETIME_LOOK_SECONDS)  # the first was made for a day
    before = number(world)
    run(world, job, 1800 + LIFETIME_LOOK_SECONDS)
    assert number(world) == before + 1


def test_while_nothing_changes_crls_are_looked_at_every_ten_seconds(world: World) -> None:
    """In between, the job reads the head of the change sequence only."""
    counting = _Counting(world.work)
    job = job_of(replace(world.services, work=counting))
    run(world, job, SECONDS)
    counting.looks = 0
    run(world, job, 60)
    assert 5 <= counting.looks <= 7


def test_a_failure_is_tried_again_at_once(world: World) -> None:
    """A look that failed was none."""
    job = job_of(world.services)
    run(world, job, SECONDS)
    world.clock.turn(hours=13)  # a CRL is due
    before = number(world)
    broken = replace(world.services, keys=None)
    failing = job_of(broken)
    for _ in range(2):
        with refused(Unavailable, "keys-unavailable"):
            failing.work()
    assert number(world) == before
    run(world, job, 1)
    assert number(world) == before + 1


def test_it_waits_for_a_change_once_nothing_is_left_to_do(world: World) -> None:
    """Until then, and after a failure, a CRL may be due without a change: then it looks twice a second."""
    waited: list[float] = []
    job = CrlJob(world.services, waited.append)
    assert not job.work()
    job.wait(5.0)
    run(world, job, SECONDS)
    job.wait(5.0)
    revoke(world.services, world.issue("alice").record.id, RevocationReason.SUPERSEDED, "os:0")
    assert not job.work()
    job.wait(5.0)
    assert waited == [0.5, 5.0, 0.5]
    failing = CrlJob(replace(world.services, keys=None), waited.append)
    run(world, failing, SECONDS)
    failing.wait(5.0)
    world.clock.turn(hours=13)  # a CRL is due
    with refused(Unavailable, "keys-unavailable"):
        failing.work()
    failing.wait(5.0)
    assert waited[3:] == [5.0, 0.5]
