"""Leaves of repeated events: the bytes of an ordinary event, or a refusal."""

from __future__ import annotations

import hashlib
import itertools
from datetime import timedelta

import pytest

from doorward.audit.block import BlockBuilder
from doorward.audit.events import Event, EventType, Retention, build_event
from doorward.audit.leaf import parse_leaf
from doorward.audit.repeated_leaf import RepeatedLeaf
from doorward.core.errors import MalformedInput
from tests.support.ports import NOON

TENANT = "ten_default"
LATER = NOON + timedelta(hours=1, microseconds=7)


def admitted(connection: str = "7", source: str = "192.0.2.7", **fields: str) -> Event:
    """A decision."""
    return build_event(
        id=fields.get("id", "evt_a"),
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
            "reasons": ["rule-allows"],
            "grants": [],
            "deadline": LATER,
            "revision": 3,
        },
        personal={"source": source, "name": "alice"},
    )


def block(*, tenant: str = TENANT, retention: Retention = Retention.DECISION) -> BlockBuilder:
    """An empty block with repeatable seeds."""
    seeds = (hashlib.sha256(bytes([one])).digest() for one in itertools.count())
    return BlockBuilder(tenant, retention, NOON, seeds)


def template(event: Event | None = None) -> RepeatedLeaf:
    """The template of a decision."""
    return RepeatedLeaf(
        event or admitted("1", "::1"), public=("connection", "deadline"), personal=("source",)
    )


MOMENT = "2026-11-23T13:00:00.000007Z"


def test_a_repeated_leaf_is_the_leaf_of_the_event() -> None:
    """Leaf, openings and seeds are those of the same event on the ordinary way."""
    fast, slow = block(), block()
    for number in ("7", "8"):
        template().append(fast, f"evt_{number}", (number, MOMENT), ("192.0.2.7",))
        slow.seal(admitted(number, id=f"evt_{number}"))
    assert fast.build() == slow.build()
    assert parse_leaf(fast.build().leaves[1]).data["connection"] == "8"


@pytest.mark.parametrize("value", ["", 'a"b', "a\\b", "a b", "ü", "a\n", "x" * 257])
def test_a_value_that_is_not_plain_is_refused(value: str) -> None:
    """Nothing is added for a value that would need an escape."""
    made = block()
    for public, personal in (((value, MOMENT), "a"), (("1", value), "a"), (("1", MOMENT), value)):
        with pytest.raises(MalformedInput) as caught:
            template().append(made, "evt_7", public, (personal,))
        assert caught.value.code == "event-malformed"
    with pytest.raises(MalformedInput):
        template().append(made, value, ("1", MOMENT), ("a",))
    assert made.build() == block().build()


@pytest.mark.parametrize("other", [block(tenant="ten_other"), block(retention=Retention.ACCESS)])
def test_a_foreign_block_is_refused(other: BlockBuilder) -> None:
    """A leaf stays with its tenant, and its personal data with their retention."""
    with pytest.raises(ValueError, match="does not belong"):
        template().append(other, "evt_7", ("7", MOMENT), ("a",))


@pytest.mark.parametrize(
    ("public", "personal"), [(("7",), ("a",)), (("7", MOMENT, "x"), ("a",)), (("7", MOMENT), ())]
)
def test_as_many_values_as_fields_are_needed(public: tuple[str, ...], personal: tuple[str, ...]) -> None:
    """No value takes the place of another field, and nothing is added."""
    made = block()
    with pytest.raises(ValueError, match="other fields"):
        template().append(made, "evt_7", public, personal)
    assert made.build() == block().build()


def test_an_event_without_personal_fields_repeats_too() -> None:
    """The place of personal fields may be empty."""
    event = build_event(
        id="evt_a",
        type=EventType.GATEWAY_STARTED,
        at=NOON,
        tenant=TENANT,
        actor="system",
        data={"gateway": "gtw_a", "version": "1", "can_cut": True},
    )
    made = block(retention=event.retention)
    RepeatedLeaf(event, public=("version",), personal=()).append(made, "evt_a", ("1",), ())
    plain = block(retention=event.retention)
    plain.seal(event)
    assert made.build() == plain.build()
