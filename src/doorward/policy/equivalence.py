"""Which connections are alike to the rules of an application, so that one judgement serves them all.

Fifty thousand people hold connections, and their groups are a few hundred. The key of a subject is made of what
decides its standing, and of what each word of the rules can see of it. It comes from the table of words, so that
a new word is part of it from the first day.

Not here: the judgement itself (`decision`), and what is kept by these keys (the gateway).
"""

from __future__ import annotations

from collections.abc import Hashable

from doorward.policy.model import AppPolicy, authority_name
from doorward.policy.paths import owner_segment
from doorward.policy.selectors.table import BY_WORD
from doorward.policy.subject import Subject


class SubjectEquivalence:
    """The keys of one application: subjects with equal keys have the same authority there."""

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
        """Return what of a subject the rules, and its standing, depend on."""
        who = subject.principal
        name = owner_segment(who.name) if self._owned else ""
        return (
            who.tenant,
            who.state,
            authority_name(who),
            name,
            *(view(subject) for view in self._discriminators),
        )
