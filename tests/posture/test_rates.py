"""One certificate has its own rate: beyond it Envoy answers 429, and no other certificate is slowed."""

from __future__ import annotations

from typing import Any

import pytest

from doorward.enforcement.envoy.rate_limit import BURST_SECONDS
from doorward.gateway.authorizer.anonymous import ANONYMOUS_FACTS
from tests.support.attacks import HTTP, changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-rates")


SLOW: Any = {"max_tokens": 3, "tokens_per_fill": 1, "fill_interval": "60s"}
RATE = (*HTTP, "http_filters", "doorward.rate")
SLOWED = (changed(*RATE, "typed_config", "descriptors", 0, "token_bucket", to=SLOW),)


def statuses(door: CompiledDoor, number: int = 6) -> list[int]:
    """Ask on connections of their own."""
    return [door.site.ask("GET", "/accounts/7").status for _ in range(number)]


class TestRate:
    """A certificate that asks too often, over any number of connections."""

    def test_beyond_the_bucket_it_is_429(self, kept: Kept) -> None:
        """The fourth request of three is refused, on whichever connection; the answer says when to come again."""
        door = kept(*SLOWED)
        assert statuses(door) == [200, 200, 200, 429, 429, 429]
        refused = door.site.ask("GET", "/accounts/7")
        assert refused.headers["retry-after"] == "1"
        assert "Too many requests" in refused.body

    def test_another_certificate_has_its_own(self, kept: Kept) -> None:
        """The requests of one holder do not count for another."""
        door = kept(*SLOWED)
        statuses(door, 4)
        before = door.authorizer.facts
        try:
            door.authorizer.facts = {**(before or facts_of()), "certificate": "crt_other"}
            assert statuses(door, 1) == [200]
        finally:
            door.authorizer.facts = before

    def test_without_the_filter_it_goes_on(self, kept: Kept) -> None:
        """Nothing else stops it."""
        assert set(statuses(kept(*SLOWED, without(*RATE)))) == {200}

    @pytest.mark.parametrize("field", ["filter_enabled", "filter_enforced"])
    def test_without_the_share_it_goes_on(self, kept: Kept, field: str) -> None:
        """Envoy's default for both is that no request is limited."""
        assert set(statuses(kept(*SLOWED, without(*RATE, "typed_config", field)))) == {200}


def test_a_page_may_come_at_once(kept: Kept) -> None:
    """As compiled, a certificate may send some seconds' worth without a pause."""
    door = kept()
    assert BURST_SECONDS == 10
    assert set(statuses(door, 20)) == {200}


OPENED: Any = {"public": {"pay": ["/share/**"]}}
SLOWED_SOURCES = (changed(*RATE, "typed_config", "descriptors", 1, "token_bucket", to=SLOW),)


class TestAnonymous:
    """A client without a good certificate has a bucket for its address."""

    def ask(self, door: CompiledDoor) -> list[int]:
        """Ask for a public path, without an identity."""
        door.authorizer.facts = dict(ANONYMOUS_FACTS)
        return [door.site.ask("GET", "/share/x", certificate=None).status for _ in range(5)]

    def test_beyond_the_bucket_it_is_429(self, kept: Kept) -> None:
        """A public path is no way around the limit."""
        assert self.ask(kept(*SLOWED_SOURCES, name="slow-anonymous", **OPENED)) == [200] * 3 + [429] * 2

    def test_without_the_descriptor_it_goes_on(self, kept: Kept) -> None:
        """Nothing else stops it."""
        edits = (*SLOWED_SOURCES, without(*RATE, "typed_config", "descriptors", 1))
        assert self.ask(kept(*edits, name="free-anonymous", **OPENED)) == [200] * 5
