"""Names to addresses, within a time."""

from __future__ import annotations

import threading
from ipaddress import ip_address

import pytest

from doorward.core.errors import Unavailable
from doorward.runtime.fetching.resolving import LOOK_UPS, Resolver
from tests.support.refusals import refused

PATIENCE = 60.0


def rows(*addresses: str) -> list[tuple[object, ...]]:
    """As `socket.getaddrinfo` gives them."""
    return [(2, 1, 6, "", (address, 0)) for address in addresses]


def test_every_address_is_given_once():
    """All addresses come in the resolver's order, without their scope, each once."""
    resolver = Resolver(lambda *args, **words: rows("192.0.2.1", "fe80::1%eth0", "192.0.2.1"))
    assert resolver.resolve("a.example", PATIENCE) == [ip_address("192.0.2.1"), ip_address("fe80::1")]


@pytest.mark.parametrize("fault", [OSError, UnicodeError, None])
def test_a_name_without_address(fault):
    """A name that the resolver does not know, or cannot write, has no address."""

    def look_up(*args, **words):
        if fault is not None:
            raise fault
        return []

    with refused(Unavailable, "fetch-unresolved"):
        Resolver(look_up).resolve("a.example", PATIENCE)


def test_a_dead_name_server_costs_a_few_threads():
    """A look-up that takes too long is left alone; no more than eight are under way at once."""
    over, asked, back = threading.Event(), [], threading.Semaphore(0)

    def look_up(host, *args, **words):
        asked.append(host)
        over.wait(PATIENCE)
        back.release()
        return rows("192.0.2.1")

    resolver = Resolver(look_up)
    for number in range(LOOK_UPS + 3):
        with refused(Unavailable, "fetch-too-slow"):
            resolver.resolve(f"{number}.example", 0.01)
    assert len(asked) == LOOK_UPS
    over.set()
    for _ in range(LOOK_UPS):
        assert back.acquire(timeout=PATIENCE)
    assert resolver.resolve("a.example", PATIENCE) == [ip_address("192.0.2.1")]


def test_a_moment_without_threads_takes_no_place(monkeypatch):
    """Where no thread can be started the look-up fails, and a later one is as free as before."""
    resolver = Resolver(lambda *args, **words: rows("192.0.2.1"))

    def no_more(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        for _ in range(LOOK_UPS + 1):
            with refused(Unavailable, "fetch-unresolved"):
                resolver.resolve("a.example", 0)
    assert resolver.resolve("a.example", PATIENCE) == [ip_address("192.0.2.1")]
