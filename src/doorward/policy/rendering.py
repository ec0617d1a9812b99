"""A policy document as canonical YAML: `doorward export` prints it if no document was ever applied.

Not here: reading (`document`). `parse_document(render_document(x)) == x`, by property test.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from doorward.core.names import OWN_AUTHORITY
from doorward.policy.app_limits import render_app_limits
from doorward.policy.group_factors import GroupFactors, render_group_factors
from doorward.policy.model import AppPolicy, Document, OnRefusal, Rule
from doorward.policy.on_refusal import render_on_refusal
from doorward.policy.open_access import render_open_access
from doorward.policy.path_options import render_path_options
from doorward.policy.paths import EVERY_PATH
from doorward.policy.reading import generated_name
from doorward.policy.request_headers import render_header_options
from doorward.policy.requirement_text import render_requirements
from doorward.policy.scalars import render_list, render_scalar
from doorward.policy.selectors.table import render_selector
from doorward.policy.server_certificates import render_certificates
from doorward.policy.tcp import render_alpn
from doorward.policy.upstreams import render_upstream

_UPSTREAM = re.compile(r"(?:http|https|h2c|unix|tcp|tcp\+unix)://[A-Za-z0-9._:/-]+")


def render_document(document: Document) -> str:
    """Return the canonical YAML of a document, ending in a newline."""
    return render_parts(document.trust_domain, document.apps, document.factors)


def render_parts(trust_domain: str, apps: Sequence[AppPolicy], factors: GroupFactors = ()) -> str:
    """Return the same for parts that need not be a valid document, such as two applications that share a host."""
    lines = [f"trust_domain: {render_scalar(trust_domain)}", *render_group_factors(factors)]
    if apps:
        lines.append("apps:")
    for app in apps:
        lines += render_app(app.name, app.hosts, app.upstream.url)
        if (upstream := render_upstream(app.upstream)) != app.upstream.url:
            lines[-1] = f"    upstream: {upstream}"
        lines += render_certificates(app.certificates)
        if app.trust != (OWN_AUTHORITY,):
            lines.append(f"    trust: {render_list(app.trust)}")
        lines += render_on_refusal(app.on_refusal)
        lines += render_alpn(app)
        lines += render_path_options(app)
        lines += render_open_access(app)
        lines += render_header_options(app.headers)
        lines += render_app_limits(app.app_limits)
        lines += _render_rules(app)
    return "\n".join(lines) + "\n"


def render_whole_app(app: AppPolicy) -> list[str]:
    """Return the lines of an application with its rules, its name at the left edge."""
    _, _, *lines, _ = render_parts("", [app]).split("\n")  # the trust domain and `apps:` come first
    return [line.removeprefix("  ") for line in lines]


def render_app(
    name: str,
    hosts: Sequence[str],
    upstream: str,
    indent: int = 2,
    *,
    alpn: Sequence[str] = (),
    on_refusal: OnRefusal = OnRefusal.ALERT,
) -> list[str]:
    """Return the lines of an application without rules; the values are not checked."""
    outer, inner = " " * indent, " " * (indent + 2)
    return [
        f"{outer}{render_scalar(name)}:",
        f"{inner}hosts: {render_list(hosts)}",
        f"{inner}upstream: {upstream if _UPSTREAM.fullmatch(upstream) else render_scalar(upstream)}",
        *([f"{inner}alpn: {render_list(alpn)}"] if alpn else []),
        *render_on_refusal(on_refusal, indent + 2),
    ]


def render_rule(rule: Rule) -> str:
    """Return a rule on one line, without its name."""
    return ", ".join(_render_parts(rule))


def _render_rules(app: AppPolicy) -> list[str]:
    lines = ["    rules:"] if app.rules else []
    for at, rule in enumerate(app.rules):
        named = [] if rule.name == generated_name(at) else [f"name: {render_scalar(rule.name)}"]
        first, *others = [*named, *_render_parts(rule)]
        lines += [f"      - {first}", *(f"        {one}" for one in others)]
    return lines


def _render_parts(rule: Rule) -> list[str]:
    residual = rule.residual
    to = []
    if residual.methods is not None:
        to.append(f"methods: {render_list(sorted(residual.methods))}")
    if residual.paths != (EVERY_PATH,):
        to.append(f"paths: {render_list(pattern.text for pattern in residual.paths)}")
    parts = [f"{rule.effect.value}: {render_selector(rule.selector)}"]
    parts += [f"to: {{{', '.join(to)}}}"] if to else []
    required = render_requirements(residual.requirements)
    return [*parts, f"require: {required}"] if required else parts
