"""The key `paths` of an application, `{encoded_slash: keep}`: reading, rendering and comparing it.

By default a path with `%2F` is refused, because applications and gateways decode it differently. GitLab, RabbitMQ and
npm registries need it inside a segment. An operator who writes `keep` confirms that the application does not treat `%2F`
as a separator. Rules see it undecoded, as a part of its segment.

Not here: what it means for a path (`normalisation`).
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
    """Return whether encoded slashes are kept; note a fault for every other key that excludes it.

    Args:
        reader: reads nodes, and notes faults.
        found: the entries of the application.
        key: its path in the document.
        rules: of the application.
        public: its public paths.
    """
    keeps = _read(reader, found["paths"], f"{key}.paths") if "paths" in found else False
    if keeps and "public" in found:
        message = "the application keeps encoded slashes and has public paths"
        hint = "remove one of them: a path that can be decoded in two ways must not be open to everybody"
        reader.add_fault(found["paths"], "public-kept-slash", message, key=f"{key}.paths", hint=hint)
    if not keeps:
        patterns = [pattern for rule in rules for pattern in rule.residual.paths]
        for pattern in [*patterns, *public]:
            if pattern.has_kept_slash:
                message = f"the path {pattern.text} has an encoded slash, and the application refuses those"
                hint = "write `paths: {encoded_slash: keep}` if the application needs it, or change the path"
                node = found["rules"] if "rules" in found else found["public"]
                reader.add_fault(node, "path-pattern", message, key=key, hint=hint)
    return keeps


def _read(reader: NodeReader, node: Node, key: str) -> bool:
    inside = reader.mapping(node, key, ("encoded_slash",))
    if "encoded_slash" not in inside:
        hint = "write `paths: {encoded_slash: keep}`, or remove `paths`"
        reader.add_fault(node, "missing-key", "`paths` has no `encoded_slash`", key=key, hint=hint)
        return False
    word = reader.text(inside["encoded_slash"], f"{key}.encoded_slash")
    if word and word.value not in _WORDS:
        message = f"{word.value!r} is not a value of `encoded_slash`"
        hint = suggest(word.value, _WORDS)
        reader.add_fault(word, "unknown-value", message, key=f"{key}.encoded_slash", hint=hint)
    return word is not None and word.value == "keep"


def render_path_options(app: AppPolicy) -> list[str]:
    """Return the line of the key in the canonical document."""
    return ["    paths: {encoded_slash: keep}"] if app.keeps_slashes else []


def path_facts(app: AppPolicy) -> dict[str, str]:
    """Return the facts that `diff` compares."""
    return {"paths.encoded_slash": "keep"} if app.keeps_slashes else {}
