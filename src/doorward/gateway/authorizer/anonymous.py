"""A connection without a good certificate, at an application that answers such ones.

It holds no grant, has no name, and the application gets no identity headers for it: `judged` is not 1, and every
other fact is empty. So nothing but public paths and preflights is open to it, and a certificate that is
good by then needs a new connection.

Not here: whether it may be (`access.deciding`), and how many there may be (`connections`, `quota`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from doorward.core.entities import Reason
from doorward.enforcement.envoy.names import ANONYMOUS, JUDGED, ConnectionFact
from doorward.policy.grants import render_grants

ANONYMOUS_FACTS: Mapping[str, str] = MappingProxyType(
    {
        **{fact.value: "" for fact in ConnectionFact},
        ConnectionFact.JUDGED.value: ANONYMOUS,
        ConnectionFact.GRANTS.value: render_grants(()),
    }
)
"""What Envoy is told of such a connection; always the same, but for the reason."""

UNKNOWN_FACTS: Mapping[str, str] = MappingProxyType({**ANONYMOUS_FACTS, ConnectionFact.JUDGED.value: ""})
"""What Envoy is told if nothing could be found out: the same as without an answer, so the door explains it itself.

Only where a refusal is explained by a page. Such a connection is in no registry, so that it is cut within seconds."""

_WORDS = frozenset({"", *(reason.value for reason in Reason)})


def anonymous_facts(reason: Reason | None) -> Mapping[str, str]:
    """Return what Envoy is told of a connection that was not judged good, for this reason."""
    return {**ANONYMOUS_FACTS, ConnectionFact.REASON.value: reason.value if reason is not None else ""}


def is_whole(facts: Mapping[str, str]) -> bool:
    """Say whether an answer may go to Envoy: every fact of a principal, those of an anonymous connection, or none.

    To Envoy a missing fact is the text "-": the application would hear of a principal named so.
    """
    if facts.get(ConnectionFact.JUDGED.value) == JUDGED:
        return all(facts.get(fact.value) for fact in ConnectionFact)
    if facts == UNKNOWN_FACTS:
        return True
    return (
        facts.get(ConnectionFact.REASON.value) in _WORDS
        and {**facts, ConnectionFact.REASON.value: ""} == ANONYMOUS_FACTS
    )
