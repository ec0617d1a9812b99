"""A rule as the document writes it."""

from __future__ import annotations

import pytest

from doorward.access.rule_lines import render_rule
from doorward.core.errors import MalformedInput
from doorward.policy.document import parse_document
from doorward.policy.model import Rule

NOTHING: dict[str, tuple[str, ...]] = {}


def read(lines: list[str]) -> tuple[Rule, ...]:
    """The rules of an application with one that is written so."""
    text = "trust_domain: corp.example\napps:\n  a:\n    hosts: [a.corp.example]\n    upstream: http://127.0.0.1:1\n"
    text += "    rules:\n" + "".join(
        f"      {'- ' if at == 0 else '  '}{one}\n" for at, one in enumerate(lines)
    )
    return parse_document(text).apps[0].rules


def test_what_is_named_stands_in_the_rule() -> None:
    """Name, effect, principals, certificate, methods and paths; empty values are left out."""
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


@pytest.mark.parametrize(
    ("require", "requirement"),
    [
        ({"factor": "webauthn", "level": "", "within": "5m"}, "webauthn within 5 min"),
        ({"factor": "any", "level": "", "within": ""}, "any factor"),
        ({"factor": "", "level": "2", "within": ""}, "level 2"),
    ],
)
def test_a_rule_requires_a_factor(require: dict[str, str], requirement: str) -> None:
    """Empty values are left out; the document parser reads the same rule."""
    lines = render_rule(
        name="", deny=False, who={"groups": ("a",)}, certificate=NOTHING, to=NOTHING, require=require
    )
    (rule,) = read(lines)
    assert list(map(str, rule.residual.requirements)) == [requirement]


def test_no_word_is_markup() -> None:
    """A name with the signs of YAML in it is read back as it was given."""
    lines = render_rule(
        name="a: [b] #c", deny=False, who={"groups": ("tellers",)}, certificate=NOTHING, to=NOTHING
    )
    assert read(lines)[0].name == "a: [b] #c"


def test_a_rule_selects_somebody() -> None:
    """Methods and paths alone are refused: the rule selects no principal."""
    with pytest.raises(MalformedInput) as error:
        render_rule(name="x", deny=False, who=NOTHING, certificate=NOTHING, to={"paths": ("/a",)})
    assert error.value.code == "rule-without-principals"
