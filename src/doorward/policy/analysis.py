"""Advice on a policy document before it takes effect: rules without effect, unknown names, differences.

Findings are advice: the document is valid, and it does what it says. The order of rules has no meaning, because a deny
rule overrides every allow rule. A rule is *idle* if another rule makes it meaningless. A finding is reported only if
the document alone proves it.

Not here: faults (`document` refuses them) and single decisions (`decision.decide`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from doorward.core.entities import Principal, PrincipalKind
from doorward.core.names import OWN_AUTHORITY
from doorward.policy.app_limits import app_limit_facts
from doorward.policy.capacity import MOST_GRANTS, TOO_MANY_GRANTS_HINT, count_grants
from doorward.policy.coverage import Coverage, rules_in
from doorward.policy.group_factors import group_facts
from doorward.policy.model import AppPolicy, Document, Effect, Rule
from doorward.policy.node_reader import suggest
from doorward.policy.on_refusal import refusal_facts
from doorward.policy.open_access import open_access_facts
from doorward.policy.path_options import path_facts
from doorward.policy.rendering import render_rule
from doorward.policy.request_headers import render_header_options
from doorward.policy.requirements import all_met_with
from doorward.policy.selectors.certificates import ISSUER
from doorward.policy.server_certificates import certificate_facts
from doorward.policy.tcp import alpn_facts, lint_tcp
from doorward.policy.upstreams import render_upstream

KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
"""RFC 9110 section 9 and RFC 5789, without CONNECT."""


MOST_SUGGESTIONS = 50
"""For so many unknown names a similar known name is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFinding:
    """Something valid in a document that its author probably does not want.

    `rule` is empty if the finding is about the whole application. `app` is empty if it is about the whole document;
    then `rule` is the key in the document.
    """

    code: str
    app: str
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.app}, {self.rule!r}" if self.app and self.rule else self.app or self.rule
        return f"{place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class DifferenceKind(Enum):
    """How a part of a document differs; the value is the sign in front of a line."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDifference:
    """One part that differs; `before` or `after` is empty if the part is not in that document."""

    change: DifferenceKind
    key: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        parts = [part for part in (self.before, self.after) if part]
        return f"{self.change.value} {self.key}" + (f": {' -> '.join(parts)}" if parts else "")


def check_names(
    document: Document,
    *,
    principals: Iterable[Principal],
    groups: Collection[str],
    partners: Collection[str] = (),
    authorities: Mapping[str, str] = MappingProxyType({}),
) -> list[PolicyFinding]:
    """Return the findings of `lint_document`, and those about names that the directory does not know.

    An unknown name is valid: a principal that gets this name later has the rights that the rule gives.

    Args:
        document: the document.
        principals: all principals of the directory that are not removed.
        groups: the names of all groups that have a member by the directory or by a partner.
        partners: the names of all trusted partners.
        authorities: ids of the authorities that issue client certificates, each with its name in `trust`.
    """
    names: dict[PrincipalKind, set[str]] = {kind: set() for kind in PrincipalKind}
    for principal in principals:
        names[principal.kind].add(principal.name)
    known: dict[str, Collection[str]] = {
        "group": frozenset(groups),
        **{kind.value: found for kind, found in names.items()},
    }
    nearest = _Nearest()
    findings = lint_document(document)
    findings += [
        PolicyFinding(
            code="group-unknown",
            app="",
            rule=f"factors.{name}",
            message=f"the directory has no group {name}",
            hint=nearest.of("group", name, known["group"]) or f"doorward group add {name} MEMBER",
        )
        for name, _ in document.factors
        if name not in known["group"]
    ]
    for app in document.apps:
        findings += _check_partners(app, partners)
        for rule in app.rules:
            findings += _check_rule_names(app, rule, known, nearest)
            findings += _check_issuers(app, rule, authorities)
    return findings


def _check_partners(app: AppPolicy, partners: Collection[str]) -> Iterator[PolicyFinding]:
    """Yield a finding for each name in `trust` that is no partner's."""
    for name in app.trust:
        if name not in (OWN_AUTHORITY, *partners):
            near = _nearest(name, (OWN_AUTHORITY, *partners))
            yield PolicyFinding(
                code="partner-unknown",
                app=app.name,
                rule="",
                message=f"no partner named {name} is trusted",
                hint=near or f"doorward ca import {name} CERTIFICATE...",
            )


def _check_rule_names(
    app: AppPolicy, rule: Rule, known: Mapping[str, Collection[str]], nearest: _Nearest
) -> Iterator[PolicyFinding]:
    """Yield a finding for each group and principal of a rule that the directory does not know."""
    wanted = [("group", rule.selector.groups), *((kind.value, names) for kind, names in rule.selector.named)]
    for noun, names in wanted:
        for name in sorted(one for one in names if one not in known[noun]):
            command = f"doorward {noun} add {name}" + (" MEMBER" if noun == "group" else "")
            yield PolicyFinding(
                code=f"{noun}-unknown",
                app=app.name,
                rule=rule.name,
                message=f"the directory has no {noun} {name}",
                hint=nearest.of(noun, name, known[noun]) or command,
            )


def _check_issuers(app: AppPolicy, rule: Rule, authorities: Mapping[str, str]) -> Iterator[PolicyFinding]:
    """Yield a finding for each issuer from which the application accepts no certificate."""
    for one in sorted(rule.selector.value(ISSUER.word) or ()):
        if one not in authorities:
            code, message = "issuer-unknown", f"no authority that issues client certificates has the id {one}"
            hint = "`doorward ca list` shows them; the root issues none"
        elif authorities[one] not in app.trust:
            code, message = (
                "issuer-not-trusted",
                f"{one} is an authority of {authorities[one]}, which the application does not trust",
            )
            hint = f"add {authorities[one]} to `trust`, or name another authority"
        else:
            continue
        yield PolicyFinding(code=code, app=app.name, rule=rule.name, message=message, hint=hint)


def lint_document(document: Document) -> list[PolicyFinding]:
    """Return the findings that follow from the document alone, in its order."""
    return [finding for app in document.apps for finding in _lint_app(app)]


def diff_documents(old: Document | None, new: Document) -> list[PolicyDifference]:
    """Return the differences between two documents; empty if, and only if, they are equal.

    Args:
        old: the document in force; None before the first one.
        new: the document that may replace it.
    """
    if old == new:
        return []
    found = list(_diff_facts("", group_facts(old.factors) if old else {}, group_facts(new.factors)))
    found += _diff_apps(old, new)
    if old is None or old.trust_domain != new.trust_domain:
        found.insert(0, _changed("trust_domain", old.trust_domain if old else "", new.trust_domain))
    return found or [
        PolicyDifference(change=DifferenceKind.CHANGED, key="document", after="the order of its entries")
    ]


class _Nearest:
    """Suggestions for unknown names. Each name is looked up once, and their number is limited: a search compares all names."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}

    def of(self, noun: str, name: str, known: Collection[str]) -> str:
        """Return the most similar known name as a question; empty if there is none, or above the limit."""
        key = noun, name
        if key not in self._found and len(self._found) < MOST_SUGGESTIONS:
            self._found[key] = _nearest(name, known)
        return self._found.get(key, "")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = suggest(name, known)
    return near if near.startswith("did you mean") else ""


def _lint_app(app: AppPolicy) -> Iterator[PolicyFinding]:
    if not any(rule.effect is Effect.ALLOW for rule in app.rules):
        hint = "add a rule with `allow`"
        message = "the application has no allow rule: it refuses every request"
        yield PolicyFinding(code="app-closed", app=app.name, rule="", message=message, hint=hint)
    _, most = count_grants(app)
    if most > MOST_GRANTS:
        yield PolicyFinding(
            code="grants-too-many",
            app=app.name,
            rule="",
            message=f"a connection may hold up to {most} ids of rules; one with more than {MOST_GRANTS} is refused",
            hint=TOO_MANY_GRANTS_HINT,
        )
    for code, message, hint in lint_tcp(app):
        yield PolicyFinding(code=code, app=app.name, rule="", message=message, hint=hint)
    coverage = Coverage(app.rules)
    for at, rule in enumerate(app.rules):
        for code, message, hint in _problems(app.rules, at, coverage):
            yield PolicyFinding(code=code, app=app.name, rule=rule.name, message=message, hint=hint)


def _problems(rules: tuple[Rule, ...], at: int, coverage: Coverage) -> Iterator[tuple[str, str, str]]:
    """Yield code, message and hint of each finding about one rule."""
    rule = rules[at]
    covering = coverage.covering(rule)
    same = _says_it_all(rules, at, covering & coverage.of_effect(rule.effect), coverage)
    asked = rule.residual.requirements
    if same is not None and asked and not all_met_with(asked, same.residual.requirements):
        words = ", ".join(sorted(map(str, asked)))
        message = f"rule {same.name!r} allows the same requests without {words}, so {words} is never required"
        yield (
            "requirement-idle",
            message,
            f"narrow rule {same.name!r} so that it does not cover these requests",
        )
    elif same is not None:
        yield (
            "rule-redundant",
            f"rule {same.name!r} already covers everything that this rule covers",
            "remove one of them",
        )
    if asked and PrincipalKind.PERSON not in rule.selector.possible_kinds:
        message = (
            "the rule selects only devices or services, and these have no second factor: it allows nothing"
        )
        yield "requirement-of-machines", message, "remove `require`, or select people"
    if rule.effect is Effect.ALLOW:
        overruling = next(rules_in(rules, covering & coverage.of_effect(Effect.DENY)), None)
        if overruling is not None:
            yield (
                "rule-overruled",
                f"rule {overruling.name!r} denies everything that this rule allows",
                "remove one of them: a deny rule overrides every allow rule",
            )
    else:
        allowing = coverage.of_effect(Effect.ALLOW)
        if allowing and not coverage.meeting(rule) & allowing:
            yield (
                "deny-idle",
                "no rule allows anything that this rule denies",
                "remove it: a request that no rule allows is refused anyway",
            )
    for method in sorted((rule.residual.methods or frozenset()) - KNOWN_METHODS):
        yield "method-unusual", f"{method} is not a common HTTP method", _nearest(method, KNOWN_METHODS)


def _says_it_all(rules: tuple[Rule, ...], at: int, covering: int, coverage: Coverage) -> Rule | None:
    """Return the first rule that makes this one redundant; of two equal rules, the later one is redundant."""
    bit = 1 << at
    before = next(rules_in(rules, covering & (bit - 1)), None)
    if before is not None:
        return before
    after = rules_in(rules, covering & ~(2 * bit - 1))
    return next((one for one in after if not coverage.covering(one) & bit), None)


def _diff_apps(old: Document | None, new: Document) -> Iterator[PolicyDifference]:
    before = {app.name: app for app in old.apps} if old else {}
    after = {app.name: app for app in new.apps}
    for name in [*before, *(name for name in after if name not in before)]:
        yield from _diff_app(f"apps.{name}", before.get(name), after.get(name))


def _diff_app(key: str, old: AppPolicy | None, new: AppPolicy | None) -> Iterator[PolicyDifference]:
    """Yield the differences of one application; at most one of the two is None."""
    if new is None:
        yield PolicyDifference(change=DifferenceKind.REMOVED, key=key)
        return
    if old is None:
        yield PolicyDifference(change=DifferenceKind.ADDED, key=key)
    yield from _diff_facts(f"{key}.", _facts(old) if old else {}, _facts(new))


def _diff_facts(key: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[PolicyDifference]:
    for part in [*before, *(part for part in after if part not in before)]:
        if before.get(part) != after.get(part):
            yield _changed(f"{key}{part}", before.get(part, ""), after.get(part, ""))


def _facts(app: AppPolicy) -> dict[str, str]:
    """Return the parts of an application by key, each as one line."""
    rules = {f"rules.{rule.name}": render_rule(rule) for rule in app.rules}
    hosts = ", ".join(sorted(app.hosts))
    trust = {} if app.trust == (OWN_AUTHORITY,) else {"trust": ", ".join(app.trust)}
    upstream = render_upstream(app.upstream)
    headers = {"headers": "".join(render_header_options(app.headers)).partition(": ")[2]}
    said = {key: text for key, text in headers.items() if text}
    return {
        "hosts": hosts,
        "upstream": upstream,
        **certificate_facts(app.certificates),
        **trust,
        **refusal_facts(app),
        **said,
        **alpn_facts(app),
        **path_facts(app),
        **open_access_facts(app),
        **app_limit_facts(app.app_limits),
        **rules,
    }


def _changed(key: str, before: str, after: str) -> PolicyDifference:
    change = (
        DifferenceKind.CHANGED
        if before and after
        else DifferenceKind.ADDED
        if after
        else DifferenceKind.REMOVED
    )
    return PolicyDifference(change=change, key=key, before=before, after=after)
