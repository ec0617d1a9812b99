"""The keys `public` and `cors` of an application: reading, rendering and comparing them.

`public: ["/share/**"]` opens paths to everybody, also without a certificate. A public path that a deny rule covers is a
fault: a denied person could connect without the certificate.
`cors: {origins: [https://other.example]}` lists sites; their pages may call the application.

Not here: what they mean for a request (`decision`), and how Envoy enforces them (enforcement).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from doorward.core.errors import MalformedInput
from doorward.policy.model import AppPolicy, Effect, Rule
from doorward.policy.node_reader import NodeReader
from doorward.policy.origins import parse_origin
from doorward.policy.paths import PathPattern
from doorward.policy.yaml_tree import Node, Scalar

OPEN_ACCESS_KEYS = ("public", "cors")
"""The keys of an application that this module reads."""

MOST_PUBLIC, MOST_ORIGINS = 100, 100
"""For one application: Envoy tries the routes of public paths in order, and compares each Origin with the whole list."""

EVERYBODY = "everybody, also without a certificate"
"""What `diff` shows for a public path."""


def read_public(
    reader: NodeReader, found: dict[str, Node], key: str, rules: Iterable[Rule]
) -> tuple[PathPattern, ...]:
    """Return the public paths, sorted by their text; note faults.

    Args:
        reader: reads nodes, and notes faults.
        found: the entries of the application.
        key: its path in the document.
        rules: of the application.
    """
    if "public" not in found:
        return ()
    patterns = {}
    rules = tuple(rules)
    for text in _few(reader, found["public"], f"{key}.public", MOST_PUBLIC):
        try:
            pattern = PathPattern(text.value)
        except MalformedInput as error:
            reader.add_malformed(text, error, key=f"{key}.public")
            continue
        if pattern.owned:
            message = f"{pattern.text} depends on the principal, and a public path is for everybody"
            hint = "write `*` instead of {principal}, or use a rule"
            reader.add_fault(text, "public-principal", message, key=f"{key}.public", hint=hint)
            continue
        patterns[pattern.text] = pattern
        for rule in denying(rules, pattern):
            message = (
                f"rule {rule.name!r} denies requests to the public path {pattern.text}: denied people could "
                "connect without their certificate"
            )
            hint = f"remove {pattern.text} from `public`, or narrow the paths of the rule"
            reader.add_fault(text, "public-denied", message, key=f"{key}.public", hint=hint)
    return tuple(patterns[text] for text in sorted(patterns))


def read_cors(reader: NodeReader, found: dict[str, Node], key: str) -> tuple[str, ...]:
    """Return the listed origins, sorted; note faults."""
    if "cors" not in found:
        return ()
    inside = reader.mapping(found["cors"], f"{key}.cors", ("origins",))
    if "origins" not in inside:
        hint = "write `cors: {origins: [https://other.example]}`, or remove `cors`"
        reader.add_fault(
            found["cors"], "missing-key", "`cors` has no `origins`", key=f"{key}.cors", hint=hint
        )
        return ()
    origins = set()
    for text in _few(reader, inside["origins"], f"{key}.cors.origins", MOST_ORIGINS):
        try:
            origins.add(parse_origin(text.value))
        except MalformedInput as error:
            reader.add_malformed(text, error, key=f"{key}.cors.origins")
    return tuple(sorted(origins))


def _few(reader: NodeReader, node: Node, key: str, most: int) -> list[Scalar]:
    """Return the texts of a list; more than `most` are a fault, and the rest is not read."""
    texts = reader.texts(node, key)
    if len(texts) > most:
        message = f"the list has {len(texts)} entries, at most {most} are allowed"
        hint = "write fewer and wider entries, or make two applications"
        reader.add_fault(node, "opening-too-long", message, key=key, hint=hint)
    return texts[:most]


def denying(rules: Iterable[Rule], pattern: PathPattern) -> Iterator[Rule]:
    """Yield the rules that deny a request within a pattern, for any method and any principal."""
    for rule in rules:
        if rule.effect is Effect.DENY and any(pattern.overlaps(one) for one in rule.residual.paths):
            yield rule


def render_open_access(app: AppPolicy) -> list[str]:
    """Return the lines of both keys in the canonical document."""
    lines = []
    if app.public:
        lines.append(f"    public: {_render_list(pattern.text for pattern in app.public)}")
    if app.origins:
        lines.append(f"    cors: {{origins: {_render_list(app.origins)}}}")
    return lines


def open_access_facts(app: AppPolicy) -> dict[str, str]:
    """Return the facts that `diff` compares: each public path, and the listed origins."""
    facts = {f"public {pattern.text}": EVERYBODY for pattern in app.public}
    return {**facts, **({"cors.origins": ", ".join(app.origins)} if app.origins else {})}


def _render_list(texts: Iterable[str]) -> str:
    return "[" + ", ".join(json.dumps(text, ensure_ascii=False) for text in texts) + "]"
