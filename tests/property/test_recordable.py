"""Any text in a certificate, a CRL or a response can be recorded; recording it decides nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.audit.events import CATALOGUE, EventType, FieldKind
from doorward.audit.leaf import MAX_LEAF_BYTES, parse_leaf, seal_event
from doorward.stores.events import new_event
from tests.support.examples import examples
from tests.support.ports import NOON
from tests.support.world import empty_world

SERVICES = empty_world().services
ANY_TEXT = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=20) | st.builds(
    lambda one, count: one * count, st.text(min_size=1, max_size=3), st.sampled_from([90, 256, 257, 20_000])
)
BY_KIND: dict[FieldKind, st.SearchStrategy[Any]] = {
    FieldKind.ID: st.just("crt_0123456789"),
    FieldKind.TOKEN: ANY_TEXT,
    FieldKind.TEXT: ANY_TEXT,
    FieldKind.INTEGER: st.integers() | st.sampled_from([2**53, 1 << 159, -(1 << 20_000)]),
    FieldKind.TOKENS: st.lists(ANY_TEXT, min_size=1, max_size=4)
    | st.builds(lambda one, count: [one] * count, ANY_TEXT, st.sampled_from([200, 256, 257, 3000])),
    FieldKind.MOMENT: st.just(NOON),
    FieldKind.FLAG: st.booleans(),
}


@settings(max_examples=examples(300))
@given(kind=st.sampled_from(EventType), data=st.data())
def test_any_value_from_outside_can_be_recorded(kind, data):
    """Any number and any text in any field that may hold such, all of them at once: there is an event, and a leaf.

    RFC 5280 sections 4.1.2.2 and 5.2.3 (numbers up to 20 octets, and what breaks that rule), RFC 8785 section 3.2.2.3.
    """
    spec = CATALOGUE[kind]
    public = {name: data.draw(BY_KIND[one], label=name) for name, one in spec.fields.items()}
    personal = {name: data.draw(ANY_TEXT, label=name) for name in spec.personal}
    event = new_event(SERVICES, kind, actor="system", data=public, personal=personal)
    leaf = seal_event(event, bytes(32)).leaf
    assert len(leaf) <= MAX_LEAF_BYTES
    assert parse_leaf(leaf).data.keys() == event.data.keys() == public.keys()
