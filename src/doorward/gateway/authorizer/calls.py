"""A call of Envoy to the authorizer, its result, and what answers calls: the seam between the server and the judgement.

Not here: how a call arrives (server), how it is judged (judging).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The answer to Envoy.

    Args:
        facts: None for a refusal.
        reasons: for our log, not for the peer.
        rendered: `facts` as Envoy reads them, if they are rendered already (`rendering`); None: the server renders them.
    """

    facts: Mapping[str, str] | None
    reasons: tuple[str, ...]
    rendered: bytes | None = None


@dataclass(slots=True)
class Call:
    """One question of Envoy.

    Args:
        certificate: the leaf as Envoy sends it, URL-encoded PEM; empty if none was presented.
        metadata: the call's metadata (`enforcement.envoy.names.AuthorizerMetadata`), without HTTP/2's and gRPC's own fields.
        reply: takes the result; to be called exactly once, from any thread; it never raises and never waits.
        received_at: when the whole request was read; monotonic seconds.
        expires_at: from then on no answer reaches Envoy; monotonic seconds.
    """

    certificate: str
    metadata: Mapping[str, str]
    reply: Callable[[CheckResult], None]
    received_at: float
    expires_at: float = math.inf


class Answerer(Protocol):
    """Answers calls."""

    def answer_all(self, calls: Sequence[Call]) -> None:
        """Answer the calls that one turn of the server's loop read.

        What can be answered at once is answered before this returns; other calls are answered later from another
        thread. No other call is read meanwhile, so this must not wait for long. It never raises.

        Args:
            calls: in the order in which they were read, the newest last.
        """
        ...
