"""New ids: one, or many at once."""

from __future__ import annotations

import pytest

from doorward.audit.values import ID
from tests.support.world import empty_world


def test_ids_made_at_once_have_the_form_of_ids_and_their_order() -> None:
    """Many ids at once differ from each other and from those of a second call, and are sorted."""
    services = empty_world().services
    first, second = services.new_ids("evt", 2000), services.new_ids("evt", 2000)
    assert len({*first, *second}) == 4000
    assert first == sorted(first)
    assert all(ID.fullmatch(one) and len(one) == len(services.new_id("evt")) for one in first)


def test_no_more_ids_than_places() -> None:
    """More ids than the places of their last characters would repeat, so they are refused."""
    services = empty_world().services
    assert len(set(services.new_ids("evt", 32_768))) == 32_768
    with pytest.raises(ValueError, match="32768"):
        services.new_ids("evt", 32_769)
