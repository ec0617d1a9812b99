"""The most recently used values: limited by count and by weight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from doorward.verification.lru_cache import LruCache


def test_what_was_used_longest_ago_makes_room() -> None:
    """Asking for a value is using it."""
    kept = LruCache[str, int](count=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(key) for key in "abc"] == [1, None, 3]


def test_weights_are_held() -> None:
    """A heavy value pushes out several; one heavier than everything is not kept, and takes the place of none."""
    kept = LruCache[str, int](count=9, weight=10)
    for key in "abc":
        kept.put(key, 0, weight=3)
    kept.put("d", 0, weight=7)
    assert [kept.get(key) for key in "abcd"] == [None, None, 0, 0]
    kept.put("e", 0, weight=11)
    assert kept.get("e") is None
    assert [kept.get(key) for key in "cd"] == [0, 0]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 6)), max_size=60))
def test_neither_bound_is_ever_passed(puts: list[tuple[str, int]]) -> None:
    """After any sequence of puts the newest values that fit are there, and never more."""
    kept, model = LruCache[str, int](count=3, weight=10), dict[str, int]()
    for key, weight in puts:
        kept.put(key, weight, weight)
        model.pop(key, None)
        model[key] = weight
        while len(model) > 3 or sum(model.values()) > 10:
            del model[next(iter(model))]
        assert len(kept) == len(model)
    assert [kept.get(key) for key in model] == list(model.values())
