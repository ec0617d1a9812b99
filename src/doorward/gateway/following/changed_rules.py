"""Which live connections the changed rules of a new policy are about: they are compared first, because they may lose something.

Comparing thousands of connections takes tens of milliseconds while new ones are judged meanwhile, and most edits name a few people
or groups. This is about the order only: every connection is compared.

Not here: the comparison (`reassessing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from doorward.gateway.connections.connection import LiveConnection
from doorward.policy.model import AppPolicy, Rule
from doorward.policy.selectors.index import SelectorIndex


class ChangedRules:
    """The rules that two policies do not share, by application.

    Args:
        before: application id to its policy, as connections were last compared.
        after: the same of the new document.
    """

    def __init__(self, before: Mapping[str, AppPolicy], after: Mapping[str, AppPolicy]) -> None:
        changed = {
            one: _find_changed(before.get(one), after.get(one)) for one in before.keys() | after.keys()
        }
        self._indexes = {
            one: SelectorIndex([rule.selector for rule in some]) for one, some in changed.items() if some
        }

    def put_first(
        self, connections: Sequence[LiveConnection]
    ) -> tuple[list[LiveConnection], list[LiveConnection]]:
        """Return the connections that a changed rule may select, and all others."""
        concerned: list[LiveConnection] = []
        others: list[LiveConnection] = []
        for one in connections:
            (concerned if self._concern(one) else others).append(one)
        return concerned, others

    def _concern(self, one: LiveConnection) -> bool:
        index = self._indexes.get(one.application_id)
        return index is not None and one.subject is not None and bool(index.candidates(one.subject))


def _find_changed(before: AppPolicy | None, after: AppPolicy | None) -> list[Rule]:
    old, new = _by_content(before), _by_content(after)
    return [rule for one, rule in (old | new).items() if (one in old) is not (one in new)]


def _by_content(app: AppPolicy | None) -> dict[tuple[object, ...], Rule]:
    """Return the rules by all but their names: those without a name of their own are numbered, and an insertion renames them."""
    return {} if app is None else {(one.effect, one.selector, one.residual): one for one in app.rules}
