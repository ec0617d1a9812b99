"""The limit of OCSP responses that are signed while the client waits."""

from __future__ import annotations

import pytest

from doorward.stores.ocsp_signing_limiter import AT_ONCE, PER_SECOND, OcspSigningLimiter
from doorward.web.pool import DEFAULT_WORKERS


def test_slots_per_second():
    """The count starts again with each whole second; refused requests do not count."""
    limiter, granted = OcspSigningLimiter(per_second=3), []
    for moment in (7.0, 7.2, 7.9, 7.95, 7.99, 8.0, 8.1, 8.2, 8.3):
        with limiter.slot(moment) as free:
            granted.append(free)
    assert granted == [True, True, True, False, False, True, True, True, False]


def test_slots_at_once():
    """A slot is free again when its block ends, also by an exception, and only if it was taken."""
    limiter = OcspSigningLimiter(at_once=2)
    with limiter.slot(1.0) as first, limiter.slot(1.0) as second:
        for _ in range(2):
            with limiter.slot(1.0) as third:
                assert (first, second, third) == (True, True, False)
    with pytest.raises(KeyError), limiter.slot(1.0):
        raise KeyError
    with limiter.slot(1.0) as again, limiter.slot(1.0) as too, limiter.slot(1.0) as none:
        assert (again, too, none) == (True, True, False)


def test_some_threads_are_left_for_others():
    """A slow key never holds all threads; the limit per second reaches the design's target."""
    assert AT_ONCE < DEFAULT_WORKERS
    assert PER_SECOND >= 5_000
