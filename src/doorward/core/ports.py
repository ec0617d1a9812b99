"""The outside world as Protocols: time, randomness, keys, fetching.

Floors 0 to 4 reach the outside world only through these. The real implementations are in `runtime` and
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
    """A key that signs. A subclass for a hardware token calls the token in `sign`."""

    PublicKey = EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey


def __getattr__(name: str) -> Any:
    """Return `PrivateKey` or `PublicKey` for modules that use them at run time: most commands load no cryptography."""
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
    """The time, passed as an argument so that tests can set it."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences have a meaning."""
        ...


class RandomSource(Protocol):
    """Unpredictable bytes."""

    def token(self, length: int) -> bytes:
        """Return `length` bytes for a key, a serial number or a one-time token."""
        ...


class KeyFactory(Protocol):
    """Makes new private keys."""

    def generate(self, kind: KeyKind) -> PrivateKey:
        """Return a new private key of that kind."""
        ...


class KeyStore(Protocol):
    """Private keys at rest, by name. Only `runtime.compose` may hold a real one.

    Names are `[a-z0-9-]`, at most 80 characters, never reused for another key.
    """

    def load(self, name: str) -> PrivateKey:
        """Return the key; raise `NotFound` if there is none, `IntegrityError` if it was altered."""
        ...

    def store(self, name: str, key: PrivateKey) -> None:
        """Store a key durably; raise `RequestRefused` (`key-exists`) if the name is taken."""
        ...

    def remove(self, name: str) -> None:
        """Delete a key for good; raise `NotFound` if there is none."""
        ...

    def names(self) -> list[str]:
        """Return the names of all keys, sorted; forget the keys in memory that are not among them."""
        ...


class ChangeNotifier(Protocol):
    """Tells the followers of the change sequence that it moved, so that they need not wait for their next poll."""

    def announce(self) -> None:
        """Wake the followers *before* a change is committed, so that they look often for it in the next second.

        The process may be killed between the commit and `notify`. The call never blocks and never raises.
        """
        ...

    def notify(self) -> None:
        """Wake the followers on this machine. The call never blocks and never raises; a notification may be lost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """One HTTP request.

    Args:
        url: absolute, `http` or `https`, from a certificate that was verified before.
        limit: bytes of the response's body, at most.
        seconds: for everything together: name look-up, connection, redirects, body.
        allow_private: private networks in which its host may be.
        body: what is posted; None for a GET.
        media_type: of `body`.
        accept: media type that is asked for.
        etag: `ETag` of the last response; empty if unknown.
        last_modified: `Last-Modified` of the last response; empty if unknown.
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
    """A response; `body` is None if nothing changed (status 304). Its content has not been checked."""

    body: bytes | None = field(repr=False)
    etag: str = ""
    last_modified: str = ""


class Fetcher(Protocol):
    """HTTP to hosts that a certificate names. A response must be verified before it is believed."""

    def fetch(self, request: FetchRequest) -> FetchResponse:
        """Fetch one URL.

        Raises:
            RequestRefused: `fetch-address-refused`: its address must not be contacted.
            Unavailable: `fetch-unresolved`, `fetch-unreachable`, `fetch-too-slow`, `fetch-not-trusted`,
                `fetch-answer-refused`, `fetch-redirects`.
            MalformedInput: `fetch-url-unusable`, `fetch-answer-malformed`, `fetch-answer-too-large`.
        """
        ...
