"""What the ACME client needs from outside: requests to the server, ways to show control of a name, and its options.

Not here: the real ones (runtime.acme).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from doorward.core.errors import Unavailable
from doorward.stores.acme_protocols import AcmeChallengeRecord
from doorward.wire.acme import ChallengeKind


class AcmeRefusal(Unavailable):
    """The server refused, did not answer, or answered what cannot be used; a later try may succeed.

    Args:
        code: of the error.
        detail: one sentence with the server's words, printable and cut.
        retry_after: how long the server asks us to wait; None if it does not say so.
        kind: the server's word for the problem (RFC 8555 section 6.7); empty if there is none.
        is_network: whether the server was not reached, so that nothing was asked.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        retry_after: timedelta | None = None,
        kind: str = "",
        is_network: bool = False,
    ) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after
        self.kind = kind
        self.is_network = is_network


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeAnswer:
    """A server's answer: the status, the fields that ACME uses by name in lower case, and the body."""

    status: int
    fields: Mapping[str, str]
    body: bytes = field(repr=False)


class AcmeTransport(Protocol):
    """HTTPS to a server."""

    def send(self, method: str, url: str, body: bytes | None = None, *, seconds: float) -> AcmeAnswer:
        """Send one request (`GET`, `HEAD`, or `POST` with a body); no redirect is followed.

        Args:
            method: the method.
            url: https.
            body: of `POST`.
            seconds: how long the answer may take at most; a transport has a shorter limit of its own.

        Raises:
            AcmeRefusal: `acme-unreachable`.
            MalformedInput: `acme-answer-malformed`: too long, or no HTTP.
        """
        ...


class Prover(Protocol):
    """One way to show control of a name. The challenges are in the store already."""

    def present(self, challenge: AcmeChallengeRecord) -> None:
        """Make what shows control visible; return once it is.

        Raises:
            AcmeRefusal: `acme-challenge-failed`.
        """
        ...

    def withdraw(self, challenge: AcmeChallengeRecord) -> None:
        """Take it away again; never raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AcmeOptions:
    """How this installation speaks to ACME authorities.

    Args:
        directory: where applications without a directory of their own ask; empty is nowhere.
        contact: a mail address for the account at `directory`, and at no other one; empty is none.
        eab_kid: the identifier of an external account there; empty is none.
        eab_secret: its key.
        challenge: how control of a name is shown.
        portal_host: the portal's host, if an ACME authority certifies it; empty otherwise.
    """

    directory: str = ""
    contact: str = ""
    eab_kid: str = ""
    eab_secret: bytes = field(default=b"", repr=False)
    challenge: ChallengeKind = ChallengeKind.HTTP
    portal_host: str = ""
