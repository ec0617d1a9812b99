"""Whether the grants of a connection fit: how many ids a connection to an application may hold.

A connection holds one id for each allow selector that selects its principal, and one for each deny selector that does
not (the clearance). Above the limit the connection is refused, so 200 deny selectors would lock out everybody. This
check finds that before the document takes effect.
Not here: the limit itself (`grants`).
"""

from __future__ import annotations

from collections import Counter

from doorward.core.entities import PrincipalKind
from doorward.core.errors import ConfigurationError, Fault
from doorward.policy.grants import GRANTS_LIMIT_BYTES, ID_LENGTH
from doorward.policy.model import AppPolicy, Document, Effect
from doorward.policy.selectors.principals import KIND
from doorward.policy.selectors.table import Selector

MOST_GRANTS = (GRANTS_LIMIT_BYTES - 1 - (ID_LENGTH + 1)) // (ID_LENGTH + 1)
"""Ids that fit; the room for one more is kept for the gateway's class token."""

TOO_MANY_GRANTS_HINT = (
    "join rules: `deny: {groups: [a, b, c]}` is one selector and takes one place, three rules take three; "
    "or put the principals into one group, and deny that group"
)


def count_grants(app: AppPolicy) -> tuple[int, int]:
    """Return how many ids a connection holds at least and at most.

    Returns:
        `least` is for a principal that one allow rule selects and no deny rule, of the kind with the lowest number: if
        this does not fit, all such principals are refused. `most` is for a principal that is selected by as many allow
        rules as possible. Both are 0 if there is no allow rule.
    """
    allows = {rule.selector.text: rule.selector for rule in app.rules if rule.effect is Effect.ALLOW}
    denies = {rule.selector.text: rule.selector for rule in app.rules if rule.effect is Effect.DENY}
    least, most = [], []
    for kind in PrincipalKind:
        may = [one for one in allows.values() if kind in one.possible_kinds]
        if may:
            clearances = sum(not _selects_all_of(one, kind) for one in denies.values())
            least.append(clearances + 1)
            most.append(clearances + _most_at_once(may, kind))
    return min(least, default=0), max(most, default=0)


def check_capacity(document: Document, *, file: str) -> None:
    """Raise `ConfigurationError` (`grants-exceeded`) if an application has so many rules that it would refuse everybody."""
    faults = [
        Fault(
            code="grants-exceeded",
            message=f"each connection would hold {least} ids of rules, more than the {MOST_GRANTS} that fit: "
            "every connection would be refused",
            hint=TOO_MANY_GRANTS_HINT,
            file=file,
            key=f"apps.{app.name}.rules",
        )
        for app in document.apps
        for least, _ in [count_grants(app)]
        if least > MOST_GRANTS
    ]
    if faults:
        raise ConfigurationError(faults)


def _selects_all_of(selector: Selector, kind: PrincipalKind) -> bool:
    return kind in selector.possible_kinds and [word for word, _ in selector.conditions] == [KIND.word]


def _most_at_once(selectors: list[Selector], kind: PrincipalKind) -> int:
    """Return how many of these selectors may select one principal: it has one name, and may be in every group."""
    named = [dict(one.named)[kind] for one in selectors]
    by_name = Counter(name for names in named for name in names)
    return sum(not names for names in named) + max(by_name.values(), default=0)
