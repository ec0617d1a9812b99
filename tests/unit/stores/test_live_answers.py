"""How many OCSP answers may be signed while somebody waits for them."""

from __future__ import annotations

import pytest

from doorward.stores.live_answers import AT_ONCE, PER_SECOND, LiveAnswers
from doorward.web.pool import DEFAULT_WORKERS


def test_so_many_a_second():
    """The count begins anew with each whole second; what was refused does not count."""
    places, granted = LiveAnswers(per_second=3), []
    for moment in (7.0, 7.2, 7.9, 7.95, 7.99, 8.0, 8.1, 8.2, 8.3):
        with places.place(moment) as free:
            granted.append(free)
    assert granted == [True, True, True, False, False, True, True, True, False]


def test_so_many_at_once():
    """A place is free again when its block has ended, also by an exception, and only if it was taken."""
    places = LiveAnswers(at_once=2)
    with places.place(1.0) as first, places.place(1.0) as second:
        for _ in range(2):
            with places.place(1.0) as third:
                assert (first, second, third) == (True, True, False)
    with pytest.raises(KeyError), places.place(1.0):
        raise KeyError
    with places.place(1.0) as again, places.place(1.0) as too, places.place(1.0) as none:
        assert (again, too, none) == (True, True, False)


def test_some_threads_are_left_for_others():
    """However slow the key is, it never holds all threads; the figure of the design is reached."""
    assert AT_ONCE < DEFAULT_WORKERS
    assert PER_SECOND >= 5_000
