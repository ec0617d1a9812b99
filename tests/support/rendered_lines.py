"""Comparing the fast way from a request's line to its leaf with the ordinary way."""

from __future__ import annotations

from hashlib import shake_256

from doorward.audit.events import build_event
from doorward.audit.leaf import seal_event
from doorward.audit.values import render_moment
from doorward.core.entities import TENANT
from doorward.gateway.access_log.lines import build_access_line, load_access_line, sender_of
from doorward.gateway.access_log.rendering import SALTS_BYTES, RenderedRequest, RequestRenderer
from tests.support.ports import NOON

GATEWAY = "gtw_" + "a" * 20
_ID = "evt_" + "a" * 20
_SALT = bytes(range(32))
_SALTS = shake_256(b"doorward field salts\x00" + _SALT).digest(SALTS_BYTES)
"""The salts that `seal_event` makes of the salt."""
_RENDERER = RequestRenderer(GATEWAY, TENANT)


def render(line: bytes) -> RenderedRequest | None:
    """Return what the fast way makes of a line."""
    return _RENDERER.render(line, _ID, render_moment(NOON), _SALTS)


def compare_ways(line: bytes) -> None:
    """Fail if the fast way makes another leaf of a line than the ordinary way, or one that it should not make."""
    rendered = render(line)
    if rendered is None:
        return  # the ordinary way decides
    value = load_access_line(line)
    sender, found = sender_of(value), build_access_line(line, value, GATEWAY)
    assert found is not None
    assert sender is not None
    assert not sender.limited
    assert sender.key == rendered.certificate
    assert rendered.refused == ("reason" in found.data)
    sealed = seal_event(
        build_event(
            id=_ID,
            type=found.type,
            at=NOON,
            tenant=TENANT,
            actor=found.actor,
            data=found.data,
            personal=found.personal,
        ),
        _SALT,
    )
    assert rendered.leaf == sealed.leaf
    assert list(rendered.openings) == [
        (one.field, one.value, one.salt, one.subject) for one in sealed.openings
    ]
