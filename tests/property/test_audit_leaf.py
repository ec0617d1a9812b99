"""The leaf of every event of the catalogue is parsed back equal; any bytes give a value or our error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.audit.events import CATALOGUE, Event, EventType, FieldKind, build_event, printable
from doorward.audit.leaf import (
    check_personal,
    count_commitments,
    opens_leaf,
    parse_leaf,
    seal_event,
)
from doorward.audit.values import INVALID, MAX_INTEGER, line_length
from doorward.core.errors import MalformedInput
from tests.support.events import ALICE, request_answered, seal
from tests.support.examples import examples
from tests.support.ports import NOON

tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
lines = st.text(max_size=40).map(printable)
KINDS: dict[FieldKind, st.SearchStrategy[Any]] = {
    FieldKind.ID: st.from_regex(r"[a-z]{3}_[a-z0-9]{1,40}", fullmatch=True),
    FieldKind.TOKEN: tokens,
    FieldKind.MOMENT: st.datetimes().map(lambda moment: moment.isoformat(timespec="microseconds") + "Z"),
    FieldKind.TEXT: lines,
    FieldKind.INTEGER: st.integers(-MAX_INTEGER, MAX_INTEGER),
    FieldKind.FLAG: st.booleans(),
    FieldKind.TOKENS: st.lists(tokens, max_size=5),
}


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event of the catalogue."""
    kind = draw(st.sampled_from(EventType))
    spec = CATALOGUE[kind]
    fields = {name: KINDS[spec.fields[name]] for name in spec.fields}
    optional = {name: value for name, value in fields.items() if name not in spec.required}
    return build_event(
        id="evt_1",
        type=kind,
        at=NOON,
        tenant="ten_default",
        actor=ALICE,
        data=draw(
            st.fixed_dictionaries({name: fields[name] for name in sorted(spec.required)}, optional=optional)
        ),
        personal=draw(st.dictionaries(st.sampled_from(sorted(spec.personal)), lines)),
    )


@settings(max_examples=examples(150), deadline=None)
@given(events(), st.binary(min_size=32, max_size=32))
def test_every_event_is_read_back(event: Event, salt: bytes) -> None:
    """The leaf of any event gives its public fields, and its openings open it; no other value does."""
    sealed = seal_event(event, salt)
    leaf = parse_leaf(sealed.leaf)
    assert (leaf.id, leaf.type, leaf.at, leaf.actor) == (event.id, event.type.value, event.at, event.actor)
    assert leaf.data == event.data
    assert leaf.personal.keys() == event.personal.keys()
    assert count_commitments(sealed.leaf) == len(sealed.openings)
    for opening in sealed.openings:
        assert opens_leaf(sealed.leaf, opening.field, opening.value, opening.salt)
        assert check_personal(leaf, opening.field, opening.value, opening.salt)
        assert not opens_leaf(sealed.leaf, opening.field, opening.value + "x", opening.salt)


@settings(max_examples=examples(100), deadline=None)
@given(events(), st.binary(min_size=32, max_size=32))
def test_no_long_personal_value_shows_in_the_leaf(event: Event, salt: bytes) -> None:
    """A personal value never occurs in the leaf, unless what is public says the same (short ones may, by chance)."""
    leaf = seal_event(event, salt).leaf
    public = seal_event(replace(event, personal={}), salt).leaf
    for value in event.personal.values():
        assert len(value) < 12 or value.encode() in public or value.encode() not in leaf


@settings(max_examples=examples(300), deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_leaf_or_malformed(data: bytes) -> None:
    """Parsing a leaf never raises a foreign exception."""
    try:
        parse_leaf(data)
    except MalformedInput as error:
        if error.code != "leaf-malformed":
            raise


LEAF = seal(request_answered(1)).leaf


@settings(max_examples=examples(300), deadline=None)
@given(st.integers(0, len(LEAF)), st.integers(0, len(LEAF)), st.binary(max_size=6))
def test_a_changed_leaf_is_canonical_or_malformed(start: int, end: int, patch: bytes) -> None:
    """A leaf with anything cut out or put in is malformed, or another leaf in canonical form."""
    data = LEAF[:start] + patch + LEAF[end:]
    try:
        leaf = parse_leaf(data)
    except MalformedInput:
        return
    assert leaf.id.encode() in data


@given(st.text(st.characters(), max_size=60), st.integers(1, 50))
def test_any_text_becomes_printable(text: str, limit: int) -> None:
    """Printable text is one safe line within the limit, and safe text without a backslash stays."""
    shown = printable(text, limit)
    assert line_length(shown) != INVALID
    assert len(shown) <= limit
    if line_length(text) != INVALID and "\\" not in text and len(text) <= limit:
        assert shown == text


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=20))
def test_no_two_texts_look_alike(first: str, second: str) -> None:
    """Where nothing is cut, printable texts are equal only if the texts are."""
    assert (printable(first) == printable(second)) == (first == second)
