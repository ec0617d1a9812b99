"""One certificate has its own rate: beyond it Envoy answers 429, and no other certificate is slowed."""

from __future__ import annotations

from typing import Any

import pytest

from doorward.enforcement.envoy.rate_limit import ANONYMOUS_PER_SECOND, BURST_SECONDS
from doorward.gateway.authorizer.anonymous import ANONYMOUS_FACTS
from tests.support.attacks import HTTP, changed, found, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-rates")


SLOW: Any = {"max_tokens": 3, "tokens_per_fill": 1, "fill_interval": "60s"}
RATE = (*HTTP, "http_filters", "doorward.rate")
OPENED: Any = {"public": {"pay": ["/share/**"]}}
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


BUCKETS = tuple(
    changed(*RATE, "typed_config", "descriptors", at, "token_bucket", to={**SLOW, "max_tokens": 2 + at})
    for at in range(3)
)
SHARED = changed(*RATE, "typed_config", "token_bucket", to={**SLOW, "max_tokens": 5})
FORMATTED = "envoy.reloadable_features.enable_formatter_for_ratelimit_action_descriptor_value"


class TestJudgement:
    """Whatever the authorizer says of a connection, there is a bucket."""

    @pytest.mark.parametrize(
        ("said", "most"), [("1", 2), ("0", 3), ("", 4), ("-", 4), (None, 4), ("11", 5), (" 1", 5)]
    )
    def test_each_word_has_its_bucket(self, doors: CompiledDoors, said: str | None, most: int) -> None:
        """Judged, anonymous and unknown connections have one for each certificate or source; all others share one."""
        with doors.open(*BUCKETS, SHARED, **OPENED) as door:
            facts = {**facts_of(), "judged": said or ""}
            door.authorizer.facts = {
                key: one for key, one in facts.items() if key != "judged" or said is not None
            }
            assert [door.ask("/share/x") for _ in range(6)] == [200] * most + [429] * (6 - most)

    def test_without_the_formatter_all_share_one(self, doors: CompiledDoors) -> None:
        """If Envoy took the descriptors as literal text, it would limit too much and not too little."""
        off = changed("layered_runtime", "layers", 0, "static_layer", FORMATTED, to=False)
        with doors.open(*BUCKETS, SHARED, bootstrap=(off,), **OPENED) as door:
            assert [door.ask("/share/x") for _ in range(6)] == [200] * 5 + [429]

    def test_who_has_a_bucket_takes_nothing_of_the_shared_one(self, doors: CompiledDoors) -> None:
        """Otherwise all certificates of a door together would have the rate of one stranger."""
        with doors.open(SHARED, **OPENED) as door:
            for said in ("1", "0", ""):
                door.authorizer.facts = {**facts_of(), "judged": said}
                assert {door.ask("/share/x") for _ in range(8)} == {200}

    def test_the_shared_bucket_is_a_strangers(self, doors: CompiledDoors) -> None:
        """As compiled, it has the rate of one source without a good certificate."""
        listeners = list(doors.site.resources(APPS).listeners)
        filters = found({"listeners": listeners}, *RATE, "typed_config")
        assert filters
        for one in filters:
            known, anonymous, unknown = (each["token_bucket"] for each in one["descriptors"])
            assert one["token_bucket"] == anonymous == unknown
            assert anonymous["tokens_per_fill"] == ANONYMOUS_PER_SECOND < known["tokens_per_fill"]

    def test_without_a_shared_bucket_another_word_is_not_limited(self, doors: CompiledDoors) -> None:
        """Nothing else stops it."""
        wide = changed(*RATE, "typed_config", "token_bucket", to={**SLOW, "max_tokens": 1000})
        with doors.open(*BUCKETS, wide, **OPENED) as door:
            door.authorizer.facts = {**facts_of(), "judged": "11"}
            assert {door.ask("/share/x") for _ in range(6)} == {200}


def test_a_page_may_come_at_once(kept: Kept) -> None:
    """As compiled, a certificate may send some seconds' worth without a pause."""
    door = kept()
    assert BURST_SECONDS == 10
    assert set(statuses(door, 20)) == {200}


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
