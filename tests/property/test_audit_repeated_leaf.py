"""A repeated leaf has the bytes of the ordinary leaf, whatever the values are, or both are refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.events import Event, EventType, build_event
from doorward.audit.repeated_leaf import RepeatedLeaf
from doorward.core.errors import MalformedInput
from tests.support.ports import NOON
from tests.unit.audit.test_repeated_leaf import LATER, MOMENT, TENANT, block

tokens = st.text(
    st.characters(codec="ascii", min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20
)
values = tokens | st.text(max_size=8) | st.sampled_from(["\\u00000\\u0000", '","id":"', "::1", "192.0.2.1"])
ids = st.text(st.sampled_from("abz279"), min_size=1, max_size=20)


@given(tokens, st.tuples(values, values), ids, st.tuples(st.lists(tokens, max_size=3), st.text(max_size=12)))
def test_both_ways_give_the_same_leaf(
    first: str, differs: tuple[str, str], event_id: str, stays: tuple[list[str], str]
) -> None:
    """The template is made of one event, and repeated with the values of another one."""
    (connection, source), (grants, name) = differs, stays

    def build(connection: str, source: str) -> Event:
        return build_event(
            id=f"evt_{event_id}",
            type=EventType.CONNECTION_ADMITTED,
            at=NOON,
            tenant=TENANT,
            actor="per_a",
            data={
                "connection": connection,
                "gateway": "gtw_a",
                "application": "app_a",
                "certificate": "crt_a",
                "principal": "per_a",
                "grants": grants,
                "deadline": LATER,
            },
            personal={"source": source, "name": name if name.isprintable() else "alice"},
        )

    template = RepeatedLeaf(build(first, "a"), public=("connection", "deadline"), personal=("source",))
    fast = block()
    try:
        template.append(fast, f"evt_{event_id}", (connection, MOMENT), (source,))
    except MalformedInput:
        assert fast.build() == block().build()
        return
    slow = block()
    slow.seal(build(connection, source))
    assert fast.build() == slow.build()
