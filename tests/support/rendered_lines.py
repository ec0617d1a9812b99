"""Comparing the fast way from a request's line to its leaf with the ordinary way."""

from __future__ import annotations

from doorward.audit.block import BlockBuilder
from doorward.audit.events import Retention, build_event
from doorward.core.entities import TENANT
from doorward.gateway.access_log.lines import build_access_line, load_access_line, sender_of
from doorward.gateway.access_log.rendering import RenderedRequest, RequestRenderer
from tests.support.events import seeds
from tests.support.ports import NOON

GATEWAY = "gtw_" + "a" * 20
_ID = "evt_" + "a" * 20
_RENDERER = RequestRenderer(GATEWAY, TENANT)


def _empty_block() -> BlockBuilder:
    return BlockBuilder(TENANT, Retention.ACCESS, NOON, seeds())


def render(line: bytes, block: BlockBuilder | None = None) -> RenderedRequest | None:
    """Return what the fast way makes of a line."""
    return _RENDERER.render(line, _ID, block or _empty_block())


def compare_ways(line: bytes) -> None:
    """Fail if the fast way makes another leaf of a line than the ordinary way, or one that it should not make."""
    fast, ordinary = _empty_block(), _empty_block()
    rendered = render(line, fast)
    if rendered is None:  # the ordinary way decides
        assert fast.build() == ordinary.build()
        return
    value = load_access_line(line)
    sender, found = sender_of(value), build_access_line(line, value, GATEWAY)
    assert found is not None
    assert sender is not None
    assert not sender.limited
    assert sender.key == rendered.certificate
    assert rendered.refused == ("reason" in found.data)
    event = build_event(
        id=_ID,
        type=found.type,
        at=NOON,
        tenant=TENANT,
        actor=found.actor,
        data=found.data,
        personal=found.personal,
    )
    ordinary.seal(event)
    assert fast.build() == ordinary.build()
