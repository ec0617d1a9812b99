"""Which subjects the rules of an application cannot tell apart, so that all of them are judged only once.

Fifty thousand people may hold connections, but there are only a few hundred combinations of groups. The key of a subject
is made of the facts that decide its status, and of the facts that the selector keys of the rules look at. It is built
from the table of selector keys, so a new selector key cannot be forgotten here.

Not here: the judgement itself (`decision`), and the cache that uses these keys (the gateway).
"""

from __future__ import annotations

from collections.abc import Hashable

from doorward.policy.model import AppPolicy, authority_name
from doorward.policy.paths import owner_segment
from doorward.policy.selectors.table import BY_WORD
from doorward.policy.subject import Subject


class SubjectEquivalence:
    """The equivalence of subjects in one application: subjects with equal keys have the same permissions there."""

    def __init__(self, app: AppPolicy) -> None:
        values: dict[str, dict[Hashable, None]] = {}
        for rule in app.rules:
            for word, value in rule.selector.conditions:
                values.setdefault(word, {})[value] = None
        self._owned = any(pattern.owned for rule in app.rules for pattern in rule.residual.paths)
        self._discriminators = tuple(
            BY_WORD[word].discriminator(tuple(every)) for word, every in values.items()
        )

    def key(self, subject: Subject) -> Hashable:
        """Return the facts of a subject on which its status and the rules depend."""
        who = subject.principal
        name = owner_segment(who.name) if self._owned else ""
        return (
            who.tenant,
            who.state,
            authority_name(who),
            name,
            *(view(subject) for view in self._discriminators),
        )
