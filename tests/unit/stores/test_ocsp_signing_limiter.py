"""How many OCSP answers may be signed while somebody waits for them."""

from __future__ import annotations

import pytest

from doorward.stores.ocsp_signing_limiter import AT_ONCE, PER_SECOND, OcspSigningLimiter
from doorward.web.pool import DEFAULT_WORKERS


def test_so_many_a_second():
    """The count begins anew with each whole second; what was refused does not count."""
    limiter, granted = OcspSigningLimiter(per_second=3), []
    for moment in (7.0, 7.2, 7.9, 7.95, 7.99, 8.0, 8.1, 8.2, 8.3):
        with limiter.slot(moment) as free:
            granted.append(free)
    assert granted == [True, True, True, False, False, True, True, True, False]


def test_so_many_at_once():
    """A place is free again when its block has ended, also by an exception, and only if it was taken."""
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
    """However slow the key is, it never holds all threads; the figure of the design is reached."""
    assert AT_ONCE < DEFAULT_WORKERS
    assert PER_SECOND >= 5_000
