"""Collecting sealed events in a block."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.audit.block import BlockBuilder, BlockOpening
from doorward.audit.events import Retention
from doorward.core.entities import TENANT
from tests.support.events import principal_suspended, request_answered, seal, sealed_block
from tests.support.ports import NOON


def test_a_block_has_the_leaves_and_openings_of_its_events() -> None:
    """A leaf in a block is the leaf of the event recorded alone, and its openings name its place."""
    block = sealed_block(0, 7)
    alone = seal(request_answered(0))
    assert (block.ids[0], block.leaves[0]) == (alone.id, alone.leaf)
    assert [one for one in block.openings if one.place == 0] == [
        BlockOpening(0, one.field, one.value, one.salt, one.subject) for one in alone.openings
    ]
    assert [(one.place, one.field) for one in block.openings] == [
        (0, "path"),
        (0, "source"),
        (1, "path"),
        (1, "source"),
    ]


@pytest.mark.parametrize(
    "builder",
    [
        BlockBuilder("ten_other", Retention.ACCESS, NOON),
        BlockBuilder(TENANT, Retention.IDENTITY, NOON),
        BlockBuilder(TENANT, Retention.ACCESS, NOON + timedelta(seconds=1)),
    ],
)
def test_an_event_that_differs_is_not_put_into_the_block(builder: BlockBuilder) -> None:
    """Tenant, retention class and time are one for the whole block, so another event's would be stored wrong."""
    with pytest.raises(ValueError, match="does not belong"):
        builder.append(seal(request_answered(0)))
    with pytest.raises(ValueError, match="does not belong"):
        builder.append(seal(principal_suspended(1)))
    assert builder.ids == []
