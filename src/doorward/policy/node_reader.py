"""Reads nodes of a policy document as mappings, texts and lists, and collects every fault with its place.

Not here: which keys a document may have (`reading`).
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from doorward.core.errors import Fault, MalformedInput
from doorward.policy.yaml_tree import Mapping, Node, Scalar, Sequence


class NodeReader:
    """Reads the nodes of one document. It collects every fault, so that an author can correct all of them at once."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._faults: list[Fault] = []

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults in the order of the text."""
        return tuple(sorted(self._faults, key=lambda fault: (fault.line, fault.column)))

    def add_fault(self, node: Node, code: str, message: str, *, key: str, hint: str = "") -> None:
        """Note a fault at a node; `key` is its path in the document, such as `apps.pay.rules[0]`."""
        self._faults.append(
            Fault(
                code=code,
                message=message,
                hint=hint,
                file=self._file,
                line=node.line,
                column=node.column,
                key=key,
            )
        )

    def add_malformed(self, node: Node, error: MalformedInput, *, key: str) -> None:
        """Note a fault that a parser found in a value."""
        self.add_fault(node, error.code, error.detail, key=key, hint=error.hint)

    def mapping(
        self,
        node: Node,
        key: str,
        known: Collection[str],
        unbuilt: dict[str, str] | None = None,
        *,
        example: str = "",
    ) -> dict[str, Node]:
        """Return the entries of a mapping; an unknown key is a fault.

        Args:
            node: what should be a mapping.
            key: its path.
            known: the keys that are allowed.
            unbuilt: keys of a later version, each with the hint until then.
            example: what to write if the node is no mapping.
        """
        entries = self.entries(node, key, example=example)
        found = {}
        for name, value in entries:
            path = f"{key}.{name.value}" if key else name.value
            if name.value in known:
                found[name.value] = value
            elif unbuilt and name.value in unbuilt:
                message = f"`{name.value}` is not supported yet, and a key that would be ignored is refused"
                self.add_fault(name, "not-built-yet", message, key=path, hint=unbuilt[name.value])
            else:
                message = f"there is no key {name.value!r} here"
                self.add_fault(name, "unknown-key", message, key=path, hint=suggest(name.value, known))
        return found

    def entries(self, node: Node, key: str, *, example: str = "") -> list[tuple[Scalar, Node]]:
        """Return the entries of a mapping, the first of each key; any other node is a fault."""
        if not isinstance(node, Mapping):
            hint = f"write {example}" if example else ""
            self.add_fault(node, "wrong-type", "a mapping (`key: value`) belongs here", key=key, hint=hint)
            return []
        first: dict[str, tuple[Scalar, Node]] = {}
        for name, value in node.entries:
            if name.value in first:
                message = f"the key {name.value!r} appears twice"
                hint = f"the first is in line {first[name.value][0].line}; keep one"
                self.add_fault(name, "duplicate-key", message, key=key, hint=hint)
            else:
                first[name.value] = name, value
        return list(first.values())

    def text(self, node: Node, key: str, *, hint: str = "") -> Scalar | None:
        """Return a scalar that is not empty; None, with a fault and this hint, for any other node."""
        if isinstance(node, Scalar) and node.value:
            return node
        self.add_fault(node, "wrong-type", "a plain word or text belongs here", key=key, hint=hint)
        return None

    def texts(self, node: Node, key: str) -> list[Scalar]:
        """Return the texts of a list, or of a single text, each once; an empty list is a fault."""
        if isinstance(node, Scalar):
            found = [self.text(node, key)]
        elif isinstance(node, Sequence) and node.items:
            found = [self.text(item, f"{key}[{at}]") for at, item in enumerate(node.items)]
        else:
            hint = "write [one, two], or leave the key out"
            self.add_fault(
                node, "wrong-type", "a list with at least one entry belongs here", key=key, hint=hint
            )
            found = []
        once: dict[str, Scalar] = {}
        for scalar in found:
            if scalar and scalar.value in once:
                self.add_fault(
                    scalar,
                    "duplicate-value",
                    f"{scalar.value!r} appears here twice",
                    key=key,
                    hint="keep one",
                )
            elif scalar:
                once[scalar.value] = scalar
        return list(once.values())


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown word: the most similar known word, or all known words."""
    choices = {choice.lower(): choice for choice in sorted(known)}
    near = difflib.get_close_matches(word[:64].lower(), choices, n=1)
    return f"did you mean {choices[near[0]]}?" if near else f"known here: {', '.join(choices.values())}"
