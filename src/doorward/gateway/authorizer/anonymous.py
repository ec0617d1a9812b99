"""The facts of an anonymous connection: one without a good certificate, at an application that answers such connections.

It holds no grant and has no name, and the application gets no identity headers for it: `judged` is not 1, and every
other fact is empty. So only public paths and preflights are open to it. If its certificate becomes good later, the
client needs a new connection.

Not here: whether it is admitted (`access.deciding`), and how many there may be (`connections.quota`).
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
"""The facts that Envoy gets about an anonymous connection; only the reason differs."""

UNKNOWN_FACTS: Mapping[str, str] = MappingProxyType({**ANONYMOUS_FACTS, ConnectionFact.JUDGED.value: ""})
"""The facts that Envoy gets if a part of Doorward is unavailable: the same as without an answer, so Envoy answers itself.

Only at applications that explain refusals by a page. The connection is in no registry, so it is cut within seconds."""

_JUDGED = ConnectionFact.JUDGED.value
_NAMES = tuple(fact.value for fact in ConnectionFact)
_WORDS = frozenset({"", *(reason.value for reason in Reason)})


def anonymous_facts(reason: Reason | None) -> Mapping[str, str]:
    """Return the facts of a connection that was not judged good, with this reason."""
    return {**ANONYMOUS_FACTS, ConnectionFact.REASON.value: reason.value if reason is not None else ""}


def is_whole(facts: Mapping[str, str]) -> bool:
    """Return whether facts may go to Envoy: all facts of a principal, those of an anonymous connection, or none.

    Envoy writes "-" for a missing fact: the application would read it as the name of a principal.
    """
    if facts.get(_JUDGED) == JUDGED:
        return all(map(facts.get, _NAMES))
    if facts == UNKNOWN_FACTS:
        return True
    return (
        facts.get(ConnectionFact.REASON.value) in _WORDS
        and {**facts, ConnectionFact.REASON.value: ""} == ANONYMOUS_FACTS
    )
