"""Fakes for the outside world: a clock that is turned by hand, repeatable randomness, plain keys."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.core.ports import FetchRequest, FetchResponse, KeyKind, PrivateKey

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is turned."""

    def __init__(self, start: datetime = NOON) -> None:
        self.present = start
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.present

    def monotonic(self) -> float:
        return self.seconds

    def turn(self, **by: float) -> None:
        """Move on by a `timedelta` given in keywords."""
        step = timedelta(**by)
        self.present += step
        self.seconds += step.total_seconds()


class FakeRandom:
    """Bytes that look random and repeat from run to run."""

    def __init__(self, seed: str = "seed") -> None:
        self.seed = seed
        self.count = 0

    def token(self, length: int) -> bytes:
        self.count += 1
        return hashlib.shake_256(f"{self.seed}:{self.count}".encode()).digest(length)


class PlainKeys:
    """Real keys, made here, for tests."""

    def generate(self, kind: KeyKind) -> PrivateKey:
        match kind:
            case KeyKind.P256:
                return ec.generate_private_key(ec.SECP256R1())
            case KeyKind.P384:
                return ec.generate_private_key(ec.SECP384R1())
            case KeyKind.ED25519:
                return ed25519.Ed25519PrivateKey.generate()
            case KeyKind.RSA2048:
                return rsa.generate_private_key(65537, 2048)
            case KeyKind.RSA3072:
                return rsa.generate_private_key(65537, 3072)


class MemoryKeyStore:
    """The fake of `core.ports.KeyStore`: keys in a dict."""

    def __init__(self) -> None:
        self.keys: dict[str, PrivateKey] = {}

    def load(self, name: str) -> PrivateKey:
        if name not in self.keys:
            raise NotFound("key-unknown", f"there is no key named {name}")
        return self.keys[name]

    def store(self, name: str, key: PrivateKey) -> None:
        if name in self.keys:
            raise RequestRefused("key-exists", f"a key named {name} exists")
        self.keys[name] = key

    def remove(self, name: str) -> None:
        self.load(name)
        del self.keys[name]

    def names(self) -> list[str]:
        return sorted(self.keys)


class CountingNotifier:
    """A notifier that only counts."""

    def __init__(self) -> None:
        self.count = self.announced = 0

    def announce(self) -> None:
        self.announced += 1

    def notify(self) -> None:
        self.count += 1


class FakeFetcher:
    """A network of a few URLs: bytes that are served, or a function that makes or refuses an answer."""

    def __init__(
        self, pages: dict[str, bytes | Callable[[FetchRequest], FetchResponse]] | None = None
    ) -> None:
        self.pages = pages or {}
        self.requests: list[FetchRequest] = []

    def fetch(self, request: FetchRequest) -> FetchResponse:
        self.requests.append(request)
        page = self.pages.get(request.url)
        if page is None:
            raise Unavailable("fetch-unreachable", "no server listens there")
        return FetchResponse(body=page) if isinstance(page, bytes) else page(request)


class Impatient(threading.Event):
    """A flag that returns from `wait` at once, and notes the time that it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note it, and return at once."""
        self.waited.append(timeout)
        return self.is_set()
