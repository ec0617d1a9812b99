"""A quota of places: so many in all, so many for one source."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused
from doorward.gateway.connections.journal import Journal
from doorward.gateway.connections.quota import ConnectionQuota
from doorward.gateway.connections.registry import ConnectionRegistry
from tests.unit.gateway.live import live, pending


def test_a_share_counts_in_all_and_by_source() -> None:
    """A connection that is given back makes room for another."""
    quota = ConnectionQuota(2, 1)
    assert quota.has_room(b"a")
    quota.take(b"a")
    assert not quota.has_room(b"a")
    assert quota.has_room(b"b")
    quota.take(b"b")
    assert not quota.has_room(b"c")
    quota.give_back(b"a")
    assert quota.has_room(b"c")
    assert not quota.has_room(b"b")


def test_the_registry_counts_anonymous_connections_apart() -> None:
    """They take places of theirs only, and give them back when they end."""
    registry = ConnectionRegistry(anonymous=ConnectionQuota(2, 1))

    def admit(cookie: int, **fields: str) -> bool:
        registry.begin(pending(cookie))
        return registry.admit(live(cookie, **fields), judged_at=0)

    anonymous = {"certificate_id": "", "principal_id": "", "sha256": ""}
    assert admit(1, **anonymous)
    with pytest.raises(RequestRefused) as caught:
        admit(2, **anonymous)
    assert caught.value.code == "anonymous-connections-exhausted"
    registry.refuse(2)
    assert admit(3)
    registry.forget(1)
    assert admit(4, **anonymous)
    assert registry.condemn(4) is not None
    assert admit(5, **anonymous)


def test_a_restarted_gateway_counts_them_again(tmp_path: Path) -> None:
    """An adopted one takes its place, has no authority that an edit could be compared with, and ends at its time."""
    path = tmp_path / "journal"
    first = ConnectionRegistry(Journal(path, boot_id="b"))
    first.begin(pending(1))
    assert first.admit(live(1, certificate_id="", principal_id="", sha256=""), judged_at=0)
    second = ConnectionRegistry(Journal(path, boot_id="b"), anonymous=ConnectionQuota(1, 1))
    adopted = second.get(1)
    assert adopted is not None
    assert adopted.anonymous
    assert adopted.permissions is None
    second.begin(pending(2))
    with pytest.raises(RequestRefused):
        second.admit(live(2, certificate_id="", principal_id="", sha256=""), judged_at=0)
