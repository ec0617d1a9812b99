"""The memory of the listener of http-01: a flood of strangers costs one thread a few readings, and no other surface anything."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from doorward.core.entities import TENANT
from doorward.core.errors import Unavailable
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.web import open_challenges
from doorward.web.open_challenges import MOST_WAITING, PAUSE_SECONDS, OpenChallenges
from doorward.web.pool import UseCasePool
from tests.support.ports import NOON
from tests.support.world import World, found_world

TOKEN = "t" * 22
CHALLENGE = AcmeChallengeRecord(
    token=TOKEN,
    tenant=TENANT,
    order_id="ord_1",
    host="a.corp.example",
    kind="http-01",
    authorization=f"{TOKEN}.x",
    ends_at=NOON + timedelta(minutes=10),
)


@dataclass
class Listener:
    """A world, what its listener answers from, and the readings of the database."""

    world: World
    open: OpenChallenges
    reads: list[str] = field(default_factory=list)

    @contextmanager
    def read(self) -> Iterator[object]:
        self.reads.append("")
        with self.world.work.read() as stores:
            yield stores

    def save(self, challenge: AcmeChallengeRecord) -> None:
        with self.world.work.change() as stores:
            stores.acme.save_challenge(challenge)


@pytest.fixture
def listener(pool: UseCasePool) -> Listener:
    """A listener of a founded authority with one open challenge."""
    made = Listener(found_world(), None)  # type: ignore[arg-type]
    made.open = OpenChallenges(replace(made.world.services, work=made), pool, "portal.example")  # type: ignore[arg-type]
    made.save(CHALLENGE)
    return made


def in_loop(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what a test does in an event loop."""
    asyncio.run(act())


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two readings there is time enough for what a test does, also on a machine that does something else."""
    monkeypatch.setattr(open_challenges, "PAUSE_SECONDS", 2.0)


@pytest.mark.usefixtures("unhurried")
def test_a_flood_shares_the_readings(listener: Listener) -> None:
    """Of tokens that are not there, and of hosts; the authority is answered all the same, at once after the order."""
    new = replace(CHALLENGE, token="n" * 22, authorization="n.x")

    async def act() -> None:
        tokens = [listener.open.authorization(f"{number:022}") for number in range(MOST_WAITING // 2)]
        hosts = [listener.open.has_host(f"{number}.example") for number in range(MOST_WAITING // 2)]
        await asyncio.gather(*tokens, *hosts)
        assert len(listener.reads) == 2  # challenges and policy, once
        listener.save(new)
        assert await listener.open.authorization(new.token) == "n.x"
        assert await listener.open.authorization(TOKEN) == f"{TOKEN}.x"
        assert await listener.open.has_host("payments.corp.example")
        assert await listener.open.has_host("portal.example")
        assert not await listener.open.has_host("")
        assert len(listener.reads) == 4

    in_loop(act)


@pytest.mark.usefixtures("unhurried")
def test_a_reading_begins_only_after_the_pause(listener: Listener) -> None:
    """Also while the one before goes on: requests that come meanwhile wait for one reading, not each for its own."""

    async def act() -> None:
        begun = asyncio.Event()
        load, loop = listener.open._load, asyncio.get_running_loop()
        go_on = threading.Event()

        def slow() -> object:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(60)
            return load()

        listener.open._load = slow  # type: ignore[method-assign,assignment]
        asked = [asyncio.ensure_future(listener.open.authorization(TOKEN))]
        await begun.wait()
        for number in range(20):
            asked.append(asyncio.ensure_future(listener.open.authorization(f"{number:022}")))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(*asked)
        assert len(listener.reads) == 4  # two readings

    in_loop(act)


def test_what_was_read_is_not_believed_for_long(listener: Listener) -> None:
    """A challenge ends with its order, also for a token that was asked for before."""

    async def act() -> None:
        assert await listener.open.authorization(TOKEN)
        with listener.world.work.change() as stores:
            stores.acme.remove_challenges("ord_1")
        await asyncio.sleep(PAUSE_SECONDS)
        assert await listener.open.authorization(TOKEN) is None

    in_loop(act)


def test_too_many_that_wait_are_refused(listener: Listener) -> None:
    """The memory that strangers can take is bounded; afterwards there is room again."""

    async def act() -> None:
        many = [listener.open.authorization(f"{number:022}") for number in range(MOST_WAITING + 20)]
        found = await asyncio.gather(*many, return_exceptions=True)
        assert [one.code for one in found if isinstance(one, Unavailable)] == ["server-busy"] * 20
        assert await listener.open.authorization(TOKEN)

    in_loop(act)


def test_a_database_that_is_away_is_told_and_asked_again(listener: Listener) -> None:
    """A reading that fails leaves nothing behind."""

    async def act() -> None:
        listener.world.work.broken = Unavailable("store-unavailable", "away")
        with pytest.raises(Unavailable):
            await listener.open.authorization(TOKEN)
        listener.world.work.broken = None
        assert await listener.open.authorization(TOKEN)

    in_loop(act)


def test_a_client_that_goes_away_stops_no_reading(listener: Listener) -> None:
    """The others wait for the same one."""

    async def act() -> None:
        gone = asyncio.ensure_future(listener.open.authorization(TOKEN))
        stays = asyncio.ensure_future(listener.open.authorization(TOKEN))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays

    in_loop(act)
