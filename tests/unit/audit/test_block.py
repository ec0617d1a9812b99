"""Collecting sealed events in a block."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.block import MAX_BLOCK_EVENTS, BlockBuilder, fits_block, open_subject, seal_block
from doorward.audit.events import Retention
from doorward.audit.leaf import check_personal, parse_leaf, seal_event
from doorward.core.entities import TENANT
from tests.support.events import (
    ALICE,
    BOB,
    open_block,
    principal_suspended,
    request_answered,
    sealed_block,
    seeds,
)
from tests.support.ports import NOON


def test_the_events_of_a_block_come_back() -> None:
    """Each leaf of a block is the leaf of its event, and its openings open its commitments; order is kept."""
    block = sealed_block(*range(40))  # more salts than the first stream has
    assert [event.id for event in open_block(block)] == list(block.ids)
    assert [one.subject for one in block.openings] == [ALICE]
    assert [(place, field) for place, field, _ in block.openings[0].openings[:3]] == [
        (0, "path"),
        (0, "source"),
        (1, "path"),
    ]


def test_a_leaf_of_a_block_is_the_leaf_of_the_event_alone() -> None:
    """With the same salts an event has the same leaf, in a block or alone; so both are one version."""
    block = sealed_block(7)
    (event,) = open_block(block)
    assert seal_event(event, block.openings[0].seed).leaf == block.leaves[0]


def test_no_salt_is_used_twice_and_none_opens_another_value() -> None:
    """Every opening has a salt of its own, so disclosing one value discloses no other."""
    block = sealed_block(*range(20))
    opened = [one for openings in block.openings for one in open_subject(openings)]
    assert len({opening.salt for _, opening in opened}) == 40
    leaf = parse_leaf(block.leaves[0])
    assert [
        opening.salt for _, opening in opened if check_personal(leaf, "path", "/accounts/0", opening.salt)
    ] == [opened[0][1].salt]


def test_each_subject_has_openings_of_its_own() -> None:
    """An event about two people adds one opening to each, so one can be erased alone."""
    event = principal_suspended(1)
    builder = BlockBuilder(TENANT, event.retention, event.at, seeds())
    builder.seal(event)
    block = builder.build()
    assert {one.subject: [field for _, field, _ in one.openings] for one in block.openings} == {
        ALICE: ["source"],
        BOB: ["name"],
    }
    assert open_block(block) == [event]


@pytest.mark.parametrize(
    "builder",
    [
        BlockBuilder("ten_other", Retention.ACCESS, NOON, seeds()),
        BlockBuilder(TENANT, Retention.IDENTITY, NOON, seeds()),
        BlockBuilder(TENANT, Retention.ACCESS, NOON + timedelta(seconds=1), seeds()),
    ],
)
def test_an_event_that_differs_is_not_put_into_the_block(builder: BlockBuilder) -> None:
    """Tenant, retention class and time are one for the whole block, so another event's would be stored wrong."""
    with pytest.raises(ValueError, match="does not belong"):
        builder.seal(request_answered(0))
    assert builder.ids == []


def test_events_of_one_moment_can_be_a_block() -> None:
    """Two events or more, of one tenant, retention class and time; each comes back."""
    events = [replace(request_answered(number), at=NOON) for number in range(3)]
    assert fits_block(events)
    assert open_block(seal_block(events, seeds())) == events
    assert [fits_block(events[:count]) for count in (0, 1, 2)] == [False, False, True]
    assert not fits_block(events * MAX_BLOCK_EVENTS)
    for other in (
        replace(events[2], tenant="ten_other"),
        replace(events[2], at=NOON + timedelta(microseconds=1)),
        replace(principal_suspended(3), at=NOON),
    ):
        assert not fits_block([*events[:2], other])
