"""The key `paths` of an application: `{encoded_slash: keep}`, read, rendered and told apart.

Not here: what it means for a path (`normalisation`).

By default a path with `%2F` is refused: applications and gateways differ about it. GitLab, RabbitMQ and
registries of npm packages need it inside a segment. An operator who keeps it says that the application does not
take it for a separator; rules see it undecoded, as part of its segment.
Standard: RFC 3986 section 2.2 (an encoded separator is data).
"""

from __future__ import annotations

from collections.abc import Iterable

from doorward.policy.model import AppPolicy, Rule
from doorward.policy.node_reader import NodeReader, suggest
from doorward.policy.paths import PathPattern
from doorward.policy.yaml_tree import Node

_WORDS = ("refuse", "keep")


def read_path_options(
    reader: NodeReader,
    found: dict[str, Node],
    key: str,
    rules: Iterable[Rule],
    public: Iterable[PathPattern],
) -> bool:
    """Return whether encoded slashes are kept; note a fault if something else does not go with that.

    Args:
        reader: reads nodes, and notes faults.
        found: the entries of the application.
        key: its path in the document.
        rules: of the application.
        public: its public paths.
    """
    keeps = _read(reader, found["paths"], f"{key}.paths") if "paths" in found else False
    if keeps and "public" in found:
        message = "an application with public paths cannot keep encoded slashes"
        hint = "take out one of them: a path that is read in two ways must not be open to everybody"
        reader.add_fault(found["paths"], "public-kept-slash", message, key=f"{key}.paths", hint=hint)
    if not keeps:
        patterns = [pattern for rule in rules for pattern in rule.residual.paths]
        for pattern in [*patterns, *public]:
            if pattern.has_kept_slash:
                message = f"no request path here ever has the encoded slash of {pattern.text}"
                hint = "write `paths: {encoded_slash: keep}` if the application needs it, or another path"
                node = found["rules"] if "rules" in found else found["public"]
                reader.add_fault(node, "path-pattern", message, key=key, hint=hint)
    return keeps


def _read(reader: NodeReader, node: Node, key: str) -> bool:
    inside = reader.mapping(node, key, ("encoded_slash",))
    if "encoded_slash" not in inside:
        hint = "write `paths: {encoded_slash: keep}`, or leave `paths` out"
        reader.add_fault(node, "missing-key", "`paths` has no `encoded_slash`", key=key, hint=hint)
        return False
    word = reader.text(inside["encoded_slash"], f"{key}.encoded_slash")
    if word and word.value not in _WORDS:
        message = f"{word.value!r} is not a way to treat an encoded slash"
        hint = suggest(word.value, _WORDS)
        reader.add_fault(word, "unknown-value", message, key=f"{key}.encoded_slash", hint=hint)
    return word is not None and word.value == "keep"


def render_path_options(app: AppPolicy) -> list[str]:
    """Return the line of the key as the canonical document has it."""
    return ["    paths: {encoded_slash: keep}"] if app.keeps_slashes else []


def path_facts(app: AppPolicy) -> dict[str, str]:
    """Return what `diff` compares."""
    return {"paths.encoded_slash": "keep"} if app.keeps_slashes else {}
