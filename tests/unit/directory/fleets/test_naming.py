"""Templates: what they make, and what they refuse instead of repairing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.core.names import parse_principal_name
from doorward.directory.fleets.naming import FIELDS, parse_template, render_template
from tests.support.refusals import refused


@pytest.mark.parametrize(
    ("text", "values", "made"),
    [
        ("sensor-{serial}", {"serial": "SN-0012"}, "sensor-sn-0012"),
        (
            "{manufacturer}.{ou}.{serial}",
            {"manufacturer": "acme", "ou": "Lyon", "serial": "7"},
            "acme.lyon.7",
        ),
        ("gateway-1", {}, "gateway-1"),
        ("{cn}{serial}", {"cn": "a", "serial": "b"}, "ab"),
    ],
)
def test_a_template_makes_a_name(text, values, made):
    """Values are used in lower case."""
    assert render_template(parse_template(text), values) == made


@pytest.mark.parametrize(
    "text",
    ["", "{", "{}", "{serial", "serial}", "{Serial}", "{name}", "a b", "A", "{serial!r}", "x" * 129, "é"],
)
def test_what_is_no_template(text):
    """Unknown fields, other letters, braces that do not match, and no text."""
    with refused(MalformedInput, "template-malformed"):
        parse_template(text)


@pytest.mark.parametrize("value", ["", "SN 1", "SN/1", "SN:1", "../x", "SN\n", "Ä", "K" * 64, "\u212a1"])
def test_values_are_not_repaired(value):
    """A value that no name can have is refused: a repair could make one name of two devices (the Kelvin sign is one)."""
    with refused(RequestRefused, "template-unusable"):
        render_template(parse_template("{serial}"), {"serial": value})


@given(
    text=some.text(max_size=140), values=some.dictionaries(some.sampled_from(FIELDS), some.text(max_size=70))
)
def test_templates_are_total(text, values):
    """Any text is a template or malformed; any values make a name or are refused."""
    try:
        template = parse_template(text)
    except MalformedInput:
        return
    try:
        made = render_template(template, values)
    except RequestRefused:
        return
    assert parse_principal_name(made) == made


@given(values=some.dictionaries(some.sampled_from(FIELDS), some.text(max_size=70)))
def test_known_templates_are_total(values):
    """The same for a template that is one."""
    try:
        made = render_template(parse_template("a{serial}-{ou}"), values)
    except RequestRefused:
        return
    assert made == f"a{values['serial']}-{values['ou']}".lower()
