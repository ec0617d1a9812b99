"""The cache: waiting for Envoy's answers, two streams, and threads that must not sleep too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from doorward.gateway.publishing.discovery import cache as module
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.cache import EnvoyStream, ResourceCache
from doorward.gateway.publishing.discovery.messages import CLUSTER, ROUTES, DiscoveryRequest, PackedResource
from tests.support.discovery import read_response
from tests.support.ports import FakeClock

PAY, WEB = (ROUTES, "pay"), (ROUTES, "web")
LONG = 1_000_000.0
"""More seconds than any test takes: the fake clock stands still, and only an answer ends the wait."""


def resource(kind: str, name: str, version: str = "1") -> PackedResource:
    """A resource with any content."""
    return PackedResource(type_url=kind, name=name, version=version, body=version.encode())


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> ResourceCache:
    """Two tables."""
    made = ResourceCache(load_api(), clock)
    made.put([resource(*PAY), resource(*WEB)])
    return made


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads for waits."""
    with ThreadPoolExecutor(8) as made:
        yield made


def subscribed(cache: ResourceCache) -> EnvoyStream:
    """A stream that asks for both tables."""
    stream = cache.open_stream()
    stream.receive(DiscoveryRequest(type_url=ROUTES, subscribe=("pay", "web")))
    return stream


def take(stream: EnvoyStream, refusal: str | None = None) -> str:
    """Answer the next response; return the resource's name."""
    data = stream.next_response()
    assert data is not None
    response = read_response(data)
    stream.receive(DiscoveryRequest(type_url=response.type_url, nonce=response.nonce, refusal=refusal))
    (name,) = [str(one.name) for one in response.resources] + list(response.removed_resources)
    return name


def is_pending(found: Future[Any]) -> bool:
    """Whether a wait goes on; it is given the time of some polls to be wrong."""
    with pytest.raises(TimeoutError):
        found.result(0.05)
    return True


# what shall be in force


def test_only_other_versions_are_changes(cache: ResourceCache) -> None:
    """What is equal is nothing to tell; what is not there cannot be removed."""
    assert cache.put([resource(*PAY), resource(ROUTES, "new")]) == [(ROUTES, "new")]
    assert cache.put([resource(*PAY, "2")]) == [PAY]
    assert cache.remove([PAY, PAY, (ROUTES, "none")]) == [PAY]
    assert set(cache.resources()) == {WEB, (ROUTES, "new")}


def test_responses_are_what_envoy_reads(cache: ResourceCache) -> None:
    """A resource with its version; a removal with its name; neither, if there is none of a type."""
    cache.put([resource(CLUSTER, "pay")])
    stream = cache.open_stream()
    stream.receive(DiscoveryRequest(type_url=CLUSTER))
    data = stream.next_response()
    assert data is not None
    response = read_response(data)
    (one,) = response.resources
    assert (response.type_url, response.nonce) == (CLUSTER, "1")
    assert (one.name, one.version) == ("pay", "1")
    assert (one.resource.type_url, one.resource.value) == (CLUSTER, b"1")
    cache.remove([(CLUSTER, "pay")])
    data = stream.next_response()
    assert data is not None
    assert list(read_response(data).removed_resources) == ["pay"]
    fresh = cache.open_stream()
    fresh.receive(DiscoveryRequest(type_url=CLUSTER))
    data = fresh.next_response()
    assert data is not None
    empty = read_response(data)
    assert (len(empty.resources), len(empty.removed_resources)) == (0, 0)
    assert empty.type_url == CLUSTER


# waiting for answers


def test_answers_end_the_wait(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """All of them, and no sooner."""
    stream = subscribed(cache)
    found = pool.submit(cache.await_answers, [PAY, WEB], LONG)
    assert take(stream) == "pay"
    assert is_pending(found)
    assert take(stream) == "web"
    assert found.result(60) == {}
    assert cache.await_answers([PAY, WEB], LONG) == {}
    assert cache.acknowledged() == {PAY: "1", WEB: "1"}


def test_refusals_are_told(cache: ResourceCache) -> None:
    """Each with Envoy's words; a former refusal of another version is none."""
    stream = subscribed(cache)
    take(stream, "odd")
    take(stream)
    assert cache.await_answers([PAY, WEB], LONG) == {PAY: "odd"}
    assert cache.await_answers([WEB], LONG) == {}
    cache.put([resource(*PAY, "2")])
    take(stream)
    assert cache.await_answers([PAY], LONG) == {}
    cache.put([resource(*PAY, "3")])
    take(stream, "odd")
    cache.put([resource(*PAY, "2")])
    assert cache.await_answers([PAY], LONG) == {}


def test_without_answers_the_time_ends_the_wait(
    cache: ResourceCache, clock: FakeClock, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is neither a yes nor a no."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    stream = subscribed(cache)
    take(stream)
    found = pool.submit(cache.await_answers, [PAY, WEB], 10.0)
    clock.turn(seconds=9)
    assert is_pending(found)
    clock.turn(seconds=2)
    assert found.result(60) is None
    assert cache.await_answers([PAY], 0.0) == {}


def test_without_an_envoy_nothing_is_answered(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """Not even nothing: an Envoy that connects in time answers."""
    assert cache.await_answers([], 0.0) is None
    assert cache.asked([PAY]) == set()
    assert cache.acknowledged() == {}
    assert not cache.is_connected
    found = pool.submit(cache.await_answers, [PAY], LONG)
    take(subscribed(cache))
    assert found.result(60) == {}
    assert cache.is_connected


def test_without_a_stream_the_wait_is_short(cache: ResourceCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publication looks whether there is an Envoy at all, and waits again."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    assert cache.await_answers([PAY], LONG) is None


def test_the_end_of_envoy_ends_the_wait(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """Nothing more comes."""
    subscribed(cache)
    found = pool.submit(cache.await_answers, [PAY], LONG)
    assert is_pending(found)
    assert not cache.has_ended
    cache.end()
    assert found.result(60) is None
    assert cache.has_ended


def test_a_change_while_waiting_counts(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """Waiting is for what is wanted now: an answer to the former version ends nothing."""
    stream = subscribed(cache)
    data = stream.next_response()
    assert data is not None
    found = pool.submit(cache.await_answers, [PAY], LONG)
    cache.put([resource(*PAY, "2")])
    stream.receive(DiscoveryRequest(type_url=ROUTES, nonce=read_response(data).nonce))
    assert is_pending(found)
    assert {take(stream), take(stream)} == {"pay", "web"}
    assert found.result(60) == {}


def test_what_was_answered_may_be_open_again(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """While another answer is waited for, Envoy connects again and has lost the first resource: both are waited for."""
    first = subscribed(cache)
    found = pool.submit(cache.await_answers, [WEB, PAY], LONG)
    assert take(first) == "pay"
    assert is_pending(found)  # it has seen this answer
    second = subscribed(cache)
    assert take(second) == "pay"
    third = cache.open_stream()
    third.receive(DiscoveryRequest(type_url=ROUTES, subscribe=("pay", "web"), versions={"web": "1"}))
    assert is_pending(found)
    assert take(third) == "pay"
    assert found.result(60) == {}


# two streams


def test_the_newest_stream_counts(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """The older one ends, and what comes by it is no answer; if it closes late, the newer one goes on."""
    old = subscribed(cache)
    waiting = pool.submit(lambda: [old.next_response() for _ in range(3)])
    new = cache.open_stream()
    assert waiting.result(60)[-1] is None
    for nonce in "12":
        old.receive(DiscoveryRequest(type_url=ROUTES, nonce=nonce))
    assert cache.acknowledged() == {}
    assert cache.asked([PAY]) == set()
    old.close()
    new.receive(DiscoveryRequest(type_url=ROUTES, subscribe=("pay",)))
    assert cache.asked([PAY, WEB]) == {PAY}
    assert take(new) == "pay"
    assert cache.await_answers([PAY], LONG) == {}


def test_a_closed_stream_ends(cache: ResourceCache, pool: ThreadPoolExecutor) -> None:
    """Its thread is woken, also if there is more to send; closing twice is nothing."""
    stream = cache.open_stream()
    waiting = pool.submit(stream.next_response)
    assert is_pending(waiting)
    stream.close()
    stream.close()
    assert waiting.result(60) is None
    stream.receive(DiscoveryRequest(type_url=ROUTES, subscribe=("pay",)))
    assert stream.next_response() is None
    assert cache.asked([PAY]) == set()


# threads


def test_no_wake_up_is_lost(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many changes by several threads, with waits that no poll ends: every one is sent, answered and told."""
    monkeypatch.setattr(module, "POLL_SECONDS", 1_000.0)
    cache = ResourceCache(load_api(), FakeClock())
    stream = cache.open_stream()
    names = [f"n{number}" for number in range(4)]
    stream.receive(DiscoveryRequest(type_url=ROUTES, subscribe=tuple(names)))
    over = threading.Event()

    def envoy() -> None:
        while (data := stream.next_response()) is not None:
            response = read_response(data)
            refusal = "odd" if response.resources[0].version.endswith("7") else None
            stream.receive(DiscoveryRequest(type_url=ROUTES, nonce=response.nonce, refusal=refusal))
        over.set()

    def change(name: str) -> int:
        count = 0
        for number in range(200):
            cache.put([resource(ROUTES, name, f"v{number}")])
            answers = cache.await_answers([(ROUTES, name)], LONG)
            assert answers is not None
            count += len(answers)
        return count

    pool.submit(envoy)
    found = [pool.submit(change, name) for name in names]
    assert [one.result(60) for one in found] == [20] * 4
    stream.close()
    assert over.wait(60)
