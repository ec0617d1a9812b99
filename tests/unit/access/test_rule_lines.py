"""A rule as the document writes it."""

from __future__ import annotations

import pytest

from doorward.access.rule_lines import render_rule
from doorward.core.errors import MalformedInput
from doorward.policy.document import parse_document

NOTHING: dict[str, tuple[str, ...]] = {}


def test_what_is_named_stands_in_the_rule() -> None:
    """Name, effect, who, which certificate, methods and paths; what is empty is left out."""
    assert render_rule(
        name="a rule",
        deny=False,
        who={"groups": ("tellers",), "kind": (), "persons": ()},
        certificate={"san-dns": ("*.corp.example",)},
        source=("10.0.0.0/8", "::/0"),
        to={"methods": ("GET",), "paths": ("/a/**",)},
    ) == [
        "name: a rule",
        'allow: {groups: [tellers], certificate: {san-dns: ["*.corp.example"]}, source: ["10.0.0.0/8", "::/0"]}',
        'to: {methods: [GET], paths: ["/a/**"]}',
    ]
    assert render_rule(name="", deny=True, who={"groups": ("all",)}, certificate=NOTHING, to=NOTHING) == [
        "deny: {groups: [all]}"
    ]


def test_no_word_is_markup() -> None:
    """A name with the signs of YAML in it is read back as it was given."""
    lines = render_rule(
        name="a: [b] #c", deny=False, who={"groups": ("tellers",)}, certificate=NOTHING, to=NOTHING
    )
    text = "trust_domain: corp.example\napps:\n  a:\n    hosts: [a.corp.example]\n    upstream: http://127.0.0.1:1\n"
    text += "    rules:\n" + "".join(
        f"      {'- ' if at == 0 else '  '}{one}\n" for at, one in enumerate(lines)
    )
    assert parse_document(text).apps[0].rules[0].name == "a: [b] #c"


def test_a_rule_selects_somebody() -> None:
    """Limits alone are refused: the rule would be about everybody or about nobody."""
    with pytest.raises(MalformedInput) as error:
        render_rule(name="x", deny=False, who=NOTHING, certificate=NOTHING, to={"paths": ("/a",)})
    assert error.value.code == "rule-without-principals"
