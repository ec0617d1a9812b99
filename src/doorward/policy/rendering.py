"""A policy document as canonical YAML: what `doorward export` prints when nobody wrote the text.

Not here: reading (`document`). `parse_document(render_document(x)) == x`, by property test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from doorward.core.names import OWN_AUTHORITY
from doorward.policy.model import AppPolicy, Document, Rule
from doorward.policy.opening import render_opening
from doorward.policy.path_options import render_path_options
from doorward.policy.paths import EVERY_PATH
from doorward.policy.reading import generated_name
from doorward.policy.request_headers import render_header_terms
from doorward.policy.traffic import render_traffic
from doorward.policy.upstreams import render_upstream

# Plain where no YAML reader could take it for anything but this text; quoted otherwise.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*(?: [A-Za-z0-9][A-Za-z0-9._-]*)*")
_UPSTREAM = re.compile(r"(?:http|https|h2c|unix)://[A-Za-z0-9._:/-]+")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def render_document(document: Document) -> str:
    """Return the canonical YAML of a document, ending in a newline."""
    return render_apps(document.trust_domain, document.apps)


def render_apps(trust_domain: str, apps: Sequence[AppPolicy]) -> str:
    """Return the same of applications that need not make a document, such as two that share a host."""
    lines = [f"trust_domain: {render_scalar(trust_domain)}"]
    if apps:
        lines.append("apps:")
    for app in apps:
        lines += render_app(app.name, app.hosts, app.upstream.url)
        if (upstream := render_upstream(app.upstream)) != app.upstream.url:
            lines[-1] = f"    upstream: {upstream}"
        if app.trust != (OWN_AUTHORITY,):
            lines.append(f"    trust: {_render_list(app.trust)}")
        lines += render_path_options(app)
        lines += render_opening(app)
        lines += render_header_terms(app.headers)
        lines += render_traffic(app.traffic)
        lines += _render_rules(app)
    return "\n".join(lines) + "\n"


def render_whole_app(app: AppPolicy) -> list[str]:
    """Return the lines of an application with its rules, its name at the left edge."""
    _, _, *lines, _ = render_apps("", [app]).split("\n")  # the trust domain and `apps:` come first
    return [line.removeprefix("  ") for line in lines]


def render_app(name: str, hosts: Sequence[str], upstream: str, indent: int = 2) -> list[str]:
    """Return the lines of an application without rules, whatever its values are worth."""
    outer, inner = " " * indent, " " * (indent + 2)
    return [
        f"{outer}{render_scalar(name)}:",
        f"{inner}hosts: {_render_list(hosts)}",
        f"{inner}upstream: {upstream if _UPSTREAM.fullmatch(upstream) else render_scalar(upstream)}",
    ]


def render_scalar(text: str) -> str:
    """Return text as a YAML scalar that reads back as this text."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def render_rule(rule: Rule) -> str:
    """Return what a rule says, without its name, on one line."""
    return f"{rule.effect.value}: " + ", to: ".join([_render_selector(rule), *_render_residual(rule)])


def _render_list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(render_scalar(text) for text in texts) + "]"


def _render_rules(app: AppPolicy) -> list[str]:
    lines = ["    rules:"] if app.rules else []
    for at, rule in enumerate(app.rules):
        begin = "      - "
        if rule.name != generated_name(at):
            lines.append(f"{begin}name: {render_scalar(rule.name)}")
            begin = "        "
        lines.append(f"{begin}{rule.effect.value}: {_render_selector(rule)}")
        lines += [f"        to: {to}" for to in _render_residual(rule)]
    return lines


def _render_selector(rule: Rule) -> str:
    selector = rule.selector
    parts = [
        f"{key}: {_render_list(sorted(names))}"
        for key, names in (
            ("kind", {kind.value for kind in selector.kinds}),
            ("persons", selector.persons),
            ("devices", selector.devices),
            ("services", selector.services),
            ("groups", selector.groups),
        )
        if names
    ]
    return "{" + ", ".join(parts) + "}"


def _render_residual(rule: Rule) -> list[str]:
    residual = rule.residual
    parts = []
    if residual.methods is not None:
        parts.append(f"methods: {_render_list(sorted(residual.methods))}")
    if residual.paths != (EVERY_PATH,):
        parts.append(f"paths: {_render_list(pattern.text for pattern in residual.paths)}")
    return ["{" + ", ".join(parts) + "}"] if parts else []
