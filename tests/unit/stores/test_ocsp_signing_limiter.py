"""The limit of OCSP responses that are signed while the client waits."""

from __future__ import annotations

from doorward.stores.ocsp_signing_limiter import AT_ONCE, PER_SECOND, OcspSigningLimiter


def test_signatures_per_second():
    """The count starts again with each whole second; refused requests do not count."""
    limiter = OcspSigningLimiter(per_second=3)
    moments = (7.0, 7.2, 7.9, 7.95, 7.99, 8.0, 8.1, 8.2, 8.3)
    assert [limiter.take(1, one) for one in moments] == [1, 1, 1, 0, 0, 1, 1, 1, 0]


def test_signatures_at_once():
    """Of requests that came together only the first are granted, and those that are left of the second."""
    limiter = OcspSigningLimiter(per_second=5, at_once=3)
    assert [limiter.take(wanted, 1.0) for wanted in (2, 9, 9)] == [2, 3, 0]


def test_the_limits_reach_the_target():
    """A batch with a hardware token (100 signatures a second) takes less than a second; the rate is the design's."""
    assert AT_ONCE < 100
    assert PER_SECOND >= 5_000
