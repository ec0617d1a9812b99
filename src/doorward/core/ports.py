"""The outside world as Protocols: time, randomness, keys, what is fetched.

Floors 0 to 4 reach the world only through these; the real ones live in `runtime` and
`storage.keystore`, the fakes in `tests/support`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from doorward.core.addresses import Network

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | RSAPrivateKey
    """A key that signs. The `sign` of a subclass for a hardware token calls the token."""

    PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


def __getattr__(name: str) -> Any:
    """Return `PrivateKey` or `PublicKey` for modules that need them as more than a type: most commands load no cryptography."""
    if name not in ("PrivateKey", "PublicKey"):
        raise AttributeError(name)
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415  see above

    if name == "PrivateKey":
        return ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
    return ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyKind(Enum):
    """The kinds of key that Doorward makes and accepts."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"


class Clock(Protocol):
    """The time, as an argument that tests can turn."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...


class RandomSource(Protocol):
    """Unpredictable bytes."""

    def token(self, length: int) -> bytes:
        """Return `length` bytes fit for keys, serials and one-time tokens."""
        ...


class KeyFactory(Protocol):
    """Where new private keys come from."""

    def generate(self, kind: KeyKind) -> PrivateKey:
        """Return a fresh private key of that kind."""
        ...


class KeyStore(Protocol):
    """Private keys at rest, by name. Only `runtime.compose` may hold a real one.

    Names are `[a-z0-9-]`, at most 80 characters, never reused for another key.
    """

    def load(self, name: str) -> PrivateKey:
        """Return the key; raise `NotFound` where there is none, `IntegrityError` where it was altered."""
        ...

    def store(self, name: str, key: PrivateKey) -> None:
        """Keep a key durably; raise `RequestRefused` (`key-exists`) where the name is taken."""
        ...

    def remove(self, name: str) -> None:
        """Delete a key for good; raise `NotFound` where there is none."""
        ...

    def names(self) -> list[str]:
        """Return the names of all keys, sorted."""
        ...


class ChangeNotifier(Protocol):
    """Tells the followers of the change sequence that it moved, so that they need not wait for their next poll."""

    def notify(self) -> None:
        """Wake the followers on this machine. The call never blocks and never raises; a notification may be lost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """One thing to fetch over HTTP.

    Args:
        url: absolute, `http` or `https`, found in a certificate that was verified before.
        limit: bytes of the answer's body, at most.
        seconds: for everything together: name, connection, redirects, body.
        allow_private: private networks that its host may lie in.
        body: what is posted; None to get.
        media_type: of `body`.
        accept: media type that is asked for.
        etag: what the last answer called itself; empty where unknown.
        last_modified: as the last answer said it; empty where unknown.
    """

    url: str
    limit: int
    seconds: float
    allow_private: tuple[Network, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    media_type: str = ""
    accept: str = "*/*"
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchResponse:
    """What came: `body` is None where nothing changed since (304). Nobody has looked at it yet."""

    body: bytes | None = field(repr=False)
    etag: str = ""
    last_modified: str = ""


class Fetcher(Protocol):
    """HTTP to hosts that somebody else named: nothing that comes of it may be believed unseen."""

    def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch one thing.

        Raises:
            RequestRefused: `fetch-address-refused`: where it leads must not be asked.
            Unavailable: `fetch-unresolved`, `fetch-unreachable`, `fetch-too-slow`, `fetch-not-trusted`,
                `fetch-answer-refused`, `fetch-redirects`.
            MalformedInput: `fetch-url-unusable`, `fetch-answer-malformed`, `fetch-answer-too-large`.
        """
        ...
