"""How long a passphrase must be."""

from __future__ import annotations

import pytest

from doorward.core.errors import RequestRefused
from doorward.core.passphrase import MAX_BYTES, MIN_BYTES, check_passphrase


@pytest.mark.parametrize("length", [MIN_BYTES, MAX_BYTES])
def test_a_length_within_the_limits(length):
    """Both limits are good."""
    assert check_passphrase(b"x" * length) == b"x" * length


@pytest.mark.parametrize(
    ("length", "code"), [(0, "passphrase-short"), (14, "passphrase-short"), (4097, "passphrase-long")]
)
def test_a_length_beyond_them(length, code):
    """One byte too few or too many is refused."""
    with pytest.raises(RequestRefused) as caught:
        check_passphrase(b"x" * length)
    assert caught.value.code == code
