"""The Protocols of the outside world and their fakes."""

from __future__ import annotations

from doorward.core import ports
from tests.support.ports import (
    CountingNotifier,
    FakeClock,
    FakeFetcher,
    FakeRandom,
    MemoryKeyStore,
    PlainKeys,
)


def test_the_fakes_satisfy_the_protocols():
    """A fake that drifts from its Protocol fails here, and in the type checker."""
    clock: ports.Clock = FakeClock()
    random: ports.RandomSource = FakeRandom()
    keys: ports.KeyFactory = PlainKeys()
    store: ports.KeyStore = MemoryKeyStore()
    notifier: ports.ChangeNotifier = CountingNotifier()
    fetcher: ports.Fetcher = FakeFetcher({"http://a.example/": b"a"})
    store.store("a", keys.generate(ports.KeyKind.P256))
    notifier.announce()
    notifier.notify()
    assert store.names() == ["a"]
    assert clock.now().tzinfo is not None
    assert len(random.token(16)) == 16
    assert fetcher.fetch(ports.FetchRequest(url="http://a.example/", limit=1, seconds=1)).body == b"a"
