"""Shortcuts that change one application or one rule: each makes a revision of the document (`policies`).

A shortcut reads the revision in force, changes it, and applies the result as the next revision. If another revision was
applied meanwhile, it starts again with that one, so nothing is overwritten. A second run changes nothing.

Not here: the text (`policy.editing`), applying (`policies`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from doorward.access.policies import ApplyResult, DocumentCheck, accept_any, apply_document, export_revision
from doorward.core.errors import ConfigurationError, NotFound, RequestRefused
from doorward.policy.document import append_app, parse_document
from doorward.policy.editing import replace_app
from doorward.policy.model import AppPolicy, Document, HttpUpstream, OnRefusal, Rule, TcpUpstream, Upstream
from doorward.policy.reading import generated_name
from doorward.policy.server_certificates import CertificateSource, CertifiedBy
from doorward.policy.upstreams import parse_upstream
from doorward.stores.services import Services

_TRIES = 50
"""More than the number of commands that may change the document at the same time; a try takes some hundredths of a second."""

Edit = Callable[[str, Document], str]
"""Returns the new text of a document, or the same text if there is nothing to change."""


def add_app(
    services: Services,
    name: str,
    *,
    hosts: Sequence[str],
    upstream: str,
    alpn: Sequence[str] = (),
    on_refusal: str = "",
    actor: str,
    check: DocumentCheck = accept_any,
) -> ApplyResult:
    """Add an application without rules: it refuses every request until a rule allows one.

    `on_refusal` is a value of `OnRefusal`. If it is empty, a new application gets the alert, and an existing one keeps its
    value.

    Raises:
        RequestRefused: `app-exists` with other hosts, another upstream or another way to refuse.
        ConfigurationError: faults of the name, the hosts, the upstream or the protocols.
    """

    def edit(text: str, document: Document) -> str:
        there = document.app(name)
        if there is None:
            return append_app(
                text,
                name,
                hosts=hosts,
                upstream=upstream,
                alpn=alpn,
                on_refusal=OnRefusal(on_refusal or OnRefusal.ALERT.value),
            )
        same = set(there.hosts) == set(hosts) and set(there.alpn) == set(alpn)
        same = same and on_refusal in ("", there.on_refusal.value)
        if same and there.upstream.url == upstream:
            return text
        raise RequestRefused(
            "app-exists",
            f"there is already an application named {name}, with other values",
            hint=f"change it: doorward app set {name}",
        )

    return _edit(services, edit, actor=actor, check=check)


def set_app(
    services: Services,
    name: str,
    *,
    hosts: Sequence[str] = (),
    upstream: str = "",
    alpn: Sequence[str] | None = None,
    on_refusal: str = "",
    certificates: str = "",
    actor: str,
    check: DocumentCheck = accept_any,
) -> ApplyResult:
    """Change the hosts, the upstream and other values of an application; those that are not given stay.

    Args:
        services: the ports of this process.
        name: of the application.
        hosts: replace all its hosts; empty keeps them.
        upstream: replaces its upstream; empty keeps it.
        alpn: replace all its protocols; an empty list removes them, None keeps them.
        on_refusal: a value of `OnRefusal`; empty keeps it.
        certificates: `own`, or `acme` for the authority of the settings; empty keeps them.
        actor: who acts.
        check: another check of the new document.

    Raises:
        NotFound: `app-unknown`.
        ConfigurationError, MalformedInput: faults of the hosts, the upstream or the protocols.
        RequestRefused: `app-unfit`: other keys of the application exclude the new value.
    """

    def edit(text: str, document: Document) -> str:
        before = _require_app(document, name)
        after = before
        if hosts and set(hosts) != set(before.hosts):
            after = replace(after, hosts=tuple(hosts))
        changes: dict[str, Any] = {}
        if upstream and upstream != before.upstream.url:
            changes["upstream"] = _keep_tls(parse_upstream(upstream), before.upstream)
        if alpn is not None:
            changes["alpn"] = tuple(sorted(set(alpn)))
        if on_refusal:
            changes["on_refusal"] = OnRefusal(on_refusal)
        if certificates and certificates != before.certificates.by.value:
            changes["certificates"] = CertificateSource(by=CertifiedBy(certificates))
        after = _change(after, **changes)
        return text if after == before else replace_app(text, name, after)

    return _edit(services, edit, actor=actor, check=check)


def _keep_tls(upstream: Upstream, before: Upstream) -> Upstream:
    """Keep the TLS options for a new address: otherwise the system's authorities would replace the configured ones."""
    if not isinstance(upstream, HttpUpstream) or not isinstance(before, HttpUpstream):
        return upstream
    return upstream if None in (upstream.tls, before.tls) else replace(upstream, tls=before.tls)


def remove_app(
    services: Services, name: str, *, actor: str, check: DocumentCheck = accept_any
) -> ApplyResult:
    """Remove an application from the document; if it is not there, no revision is made."""

    def edit(text: str, document: Document) -> str:
        return text if document.app(name) is None else replace_app(text, name, None)

    return _edit(services, edit, actor=actor, check=check)


def add_rule(
    services: Services, app: str, lines: Sequence[str], *, actor: str, check: DocumentCheck = accept_any
) -> ApplyResult:
    """Add a rule to an application, after the others; a rule with the same meaning is not added again.

    Args:
        services: the ports of this process.
        app: name of the application.
        lines: the YAML lines of the rule, without indent and without `- `.
        actor: who acts.
        check: another check of the new document.

    Raises:
        NotFound: `app-unknown`.
        RequestRefused: `rule-exists`: another rule has that name.
        ConfigurationError: faults of the rule.
    """

    def edit(text: str, document: Document) -> str:
        policy = _require_app(document, app)
        rule = _read_rule(document.trust_domain, policy, lines)
        generated = not any(line.startswith("name:") for line in lines)
        known = [replace(one, name=rule.name) if generated else one for one in policy.rules]
        if rule in known:
            return text
        if any(one.name == rule.name for one in policy.rules):
            raise RequestRefused(
                "rule-exists",
                f"{app} already has another rule named {rule.name}",
                hint=f"choose another name, or remove it: doorward rule remove {app} RULE",
            )
        return replace_app(text, app, _change(policy, rules=(*policy.rules, rule)))

    return _edit(services, edit, actor=actor, check=check)


def remove_rule(
    services: Services, app: str, rule: str, *, actor: str, check: DocumentCheck = accept_any
) -> ApplyResult:
    """Remove a rule from an application; if it is not there, no revision is made.

    Raises:
        NotFound: `app-unknown`.
    """

    def edit(text: str, document: Document) -> str:
        policy = _require_app(document, app)
        left = tuple(one for one in policy.rules if one.name != rule)
        if left == policy.rules:
            return text
        return replace_app(text, app, replace(policy, rules=left))

    return _edit(services, edit, actor=actor, check=check)


def _read_rule(trust_domain: str, policy: AppPolicy, lines: Sequence[str]) -> Rule:
    """Parse a rule inside a small document that has only this rule."""
    text = f"trust_domain: {trust_domain}\napps:\n  a:\n    hosts: [a.{trust_domain}]\n"
    text += f"    upstream: {'tcp' if policy.is_tcp else 'http'}://127.0.0.1:1\n    rules:\n"
    text += "\n".join(f"      {'- ' if at == 0 else '  '}{line}" for at, line in enumerate(lines)) + "\n"
    try:
        (rule,) = parse_document(text).apps[0].rules
    except ConfigurationError as error:
        raise _without_place(error, within="apps.a.rules[0].") from None
    if any(line.startswith("name:") for line in lines):
        return rule
    taken = {one.name for one in policy.rules}
    free = (generated_name(at) for at in range(len(policy.rules), 2 * len(policy.rules) + 1))
    return replace(rule, name=next(name for name in free if name not in taken))


def _without_place(error: ConfigurationError, *, within: str = "") -> ConfigurationError:
    """Return the faults without lines and key prefixes, which belong to a text that the person did not write."""
    return ConfigurationError(
        [
            replace(
                one, file="" if one.line else one.file, line=0, column=0, key=one.key.removeprefix(within)
            )
            for one in error.faults
        ]
    )


def _change(app: AppPolicy, **changes: Any) -> AppPolicy:
    """Return an application with changes; raises `app-unfit` if its other keys exclude them."""
    alpn = changes.get("alpn", app.alpn)
    if alpn and not isinstance(changes.get("upstream", app.upstream), TcpUpstream):
        raise RequestRefused(
            "app-unfit",
            f"{app.name} would have alpn: {', '.join(alpn)}, which only TCP applications have",
            hint="remove it with --alpn '', or write tcp://host:port as the upstream",
        )
    try:
        return replace(app, **changes)
    except ValueError as error:
        raise RequestRefused(
            "app-unfit",
            f"{app.name} cannot have these values together: {error}",
            hint="change the document: doorward export, then doorward apply",
        ) from error


def _require_app(document: Document, name: str) -> AppPolicy:
    found = document.app(name)
    if found is None:
        raise NotFound(
            "app-unknown",
            f"there is no application named {name[:64]}",
            hint="`doorward app list` shows them, `doorward app add` adds one",
        )
    return found


def _edit(services: Services, edit: Edit, *, actor: str, check: DocumentCheck) -> ApplyResult:
    for last in [False] * (_TRIES - 1) + [True]:
        text, number = export_revision(services)
        current = parse_document(text)
        try:
            changed = edit(text, current)
            return apply_document(
                services, changed, file="document", actor=actor, expected_number=number, check=check
            )
        except ConfigurationError as error:
            raise _without_place(error) from None
        except RequestRefused as refused:
            if last or refused.code != "revision-conflict":
                raise
    raise AssertionError("the last try returns or raises")
