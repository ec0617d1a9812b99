"""policy.yaml_tree: the part of YAML that a policy may use, and the faults of everything else."""

from __future__ import annotations

import pytest

from doorward.core.errors import ConfigurationError
from doorward.policy.yaml_tree import (
    DEPTH_LIMIT,
    TEXT_LIMIT_BYTES,
    Mapping,
    Scalar,
    Sequence,
    parse_tree,
)


def test_places_and_values() -> None:
    """Each node knows its line and column, counted from 1."""
    tree = parse_tree("a: x\nb:\n  - y\n  - {c: 'z'}\n", file="p")
    assert isinstance(tree, Mapping)
    (first, x), (second, items) = tree.entries
    assert (first.value, x) == ("a", Scalar(value="x", given=True, line=1, column=4))
    assert isinstance(items, Sequence)
    assert second.line == 2
    y, inner = items.items
    assert (y.line, y.column) == (3, 5)
    assert isinstance(inner, Mapping)
    assert (inner.line, inner.column, inner.is_flow) == (4, 5, True)
    assert (tree.end_line, tree.is_flow) == (5, False)


@pytest.mark.parametrize("text", ["yes", "0x1F", "2026-01-01", "~", "1.5", "null"])
def test_scalars_are_text(text: str) -> None:
    """No plain word turns into a boolean, number or date."""
    assert parse_tree(text, file="") == Scalar(value=text, given=True, line=1, column=1)


def test_nothing_given() -> None:
    """An empty text, a comment and a key without a value are absent scalars; quotes are not."""
    for text in ("", "# nothing\n", "---\n"):
        tree = parse_tree(text, file="")
        assert isinstance(tree, Scalar)
        assert not tree.given
    tree = parse_tree("a:\nb: ''\n", file="")
    assert isinstance(tree, Mapping)
    assert [node.given for _, node in tree.entries if isinstance(node, Scalar)] == [False, True]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: &x 1\n", "yaml-unsupported", 1),
        ("a: 1\nb: *a\n", "yaml-unsupported", 2),
        ("a: !!python/object:os.system x\n", "yaml-unsupported", 1),
        ("a: !x [1]\n", "yaml-unsupported", 1),
        ("%YAML 1.2\n---\na: 1\n", "yaml-unsupported", 2),
        ("%TAG ! x\n---\na: 1\n", "yaml-unsupported", 2),
        ("a: 1\n---\nb: 1\n", "yaml-unsupported", 2),
        ("? [a]\n: b\n", "yaml-unsupported", 1),
        ("a: b: c\n", "yaml-syntax", 1),
        ("a: [b\n", "yaml-syntax", 2),
        ('a: "\\UFFFFFFFF"\n', "yaml-syntax", 0),
        ("a: \x00\n", "yaml-syntax", 0),
        ("a: \ud800\n", "yaml-syntax", 0),
        ("[" * (DEPTH_LIMIT + 1), "document-too-deep", 1),
        ("é" * (TEXT_LIMIT_BYTES // 2 + 1), "document-too-large", 0),
        ("a" * (TEXT_LIMIT_BYTES + 1), "document-too-large", 0),
    ],
)
def test_refused(text: str, code: str, line: int) -> None:
    """Text that is not YAML, or uses an unsupported feature, gives one fault with its place."""
    with pytest.raises(ConfigurationError) as caught:
        parse_tree(text, file="p.yaml")
    (fault,) = caught.value.faults
    assert (fault.code, fault.line, fault.file) == (code, line, "p.yaml")


def test_deepest() -> None:
    """Nesting up to the limit is read."""
    assert parse_tree("[" * DEPTH_LIMIT + "]" * DEPTH_LIMIT, file="")


@pytest.mark.parametrize(
    ("text", "hinted"),
    [
        ("paths: [/records/{principal}/**]\n", True),
        ("to: {methods: GET,\n  paths: /a/{principal}}\n", True),
        ('paths: ["/records/{principal}"], x: b: c\n', False),
        ("a: [/b/{c}]\n", False),
        ("a: [b\n", False),
    ],
)
def test_a_path_without_quotation_marks_is_refused_with_the_mend(text: str, *, hinted: bool) -> None:
    """Only at the braces: another fault of the line is not mended by them."""
    with pytest.raises(ConfigurationError) as caught:
        parse_tree(text, file="p.yaml")
    (fault,) = caught.value.faults
    assert fault.code == "yaml-syntax"
    assert ("quotation marks" in fault.hint) is hinted
