"""The finding of one rule about a connection or a request: whether the rule holds, and why.

Not here: the decision by all rules together (`decision`).
"""

from __future__ import annotations

from dataclasses import dataclass

from doorward.core.entities import Reason
from doorward.core.shown_factors import ShownFactors
from doorward.policy.model import Effect, Rule
from doorward.policy.normalisation import NormalisedPath
from doorward.policy.paths import owner_segment
from doorward.policy.requirements import Requirement, describe_missing, find_missing
from doorward.policy.subject import TRUE, UNDETERMINED, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFinding:
    """Whether one rule holds; `selected` is its connection part, `holds` the whole rule, `why` the reason in words.

    `missing` are the requirements that are not met, if the rule is an allow rule and would hold with them.
    """

    rule: str
    effect: Effect
    selected: bool
    holds: bool
    why: str
    missing: frozenset[Requirement] = frozenset()


def selects(rule: Rule, subject: Subject) -> bool:
    """Return whether a rule counts as selecting a subject.

    An undetermined selector gives no grant and no clearance: it counts as selecting for a deny rule, not for an allow rule.
    """
    truth = rule.selector.judge(subject)
    return truth is TRUE or (truth is UNDETERMINED and rule.effect is Effect.DENY)


def find_for_refused_request(rule: Rule, subject: Subject, why: str) -> RuleFinding:
    """Return the finding of a rule for a request that was refused before any rule was evaluated."""
    selected = selects(rule, subject)
    return RuleFinding(
        rule=rule.name, effect=rule.effect, selected=selected, holds=False, why=f"not evaluated: {why}"
    )


def find_for_connection(rule: Rule, subject: Subject) -> RuleFinding:
    """Return the finding of a rule about a connection to a TCP application."""
    selected = selects(rule, subject)
    why = _tell_selection(rule, subject, selected=selected)
    return RuleFinding(rule=rule.name, effect=rule.effect, selected=selected, holds=selected, why=why)


def _tell_selection(rule: Rule, subject: Subject, *, selected: bool) -> str:
    doubt = rule.selector.explain(subject)
    if not doubt:
        return f"{subject.principal.name} is selected"
    return f"{doubt}, so the rule denies" if selected else doubt


def find_for_request(
    rule: Rule, subject: Subject, method: str, path: NormalisedPath, shown: ShownFactors
) -> RuleFinding:
    """Return the finding of a rule about a request with a normalised path; `shown` are the factors of the session."""
    selected, residual = selects(rule, subject), rule.residual
    who = _tell_selection(rule, subject, selected=selected)
    missed = "" if selected else who
    if not missed and not residual.matches_method(method, rule.effect):
        named = ", ".join(sorted(residual.methods or ()))
        missed = f"method {method} is not among {named}" if named else f"method {method} must be named"
    if not missed and not residual.matches_path(path, owner_segment(subject.principal.name)):
        missed = f"path {path.text} is not within {', '.join(one.text for one in residual.paths)}"
    missing = frozenset() if missed else find_missing(residual.requirements, shown, subject.time)
    missed = missed or describe_missing(missing, shown, subject.time)
    return RuleFinding(
        rule=rule.name,
        effect=rule.effect,
        selected=selected,
        holds=not missed,
        why=missed or f"{who}, {method} {path.text} is within the rule",
        missing=missing,
    )


def find_unevaluated(rule: Rule, reason: Reason) -> RuleFinding:
    """Return the finding of a rule that was not evaluated at all."""
    return RuleFinding(
        rule=rule.name,
        effect=rule.effect,
        selected=False,
        holds=False,
        why=f"not evaluated: {reason.value}",
    )
