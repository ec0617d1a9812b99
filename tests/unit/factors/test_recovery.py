"""Recovery codes."""

from __future__ import annotations

import hashlib
import re

import pytest

from doorward.factors.recovery import build_recovery_codes, hash_recovery_code

CODES = build_recovery_codes(hashlib.shake_256(b"seed").digest(160))


def test_ten_codes_of_five_groups_without_look_alikes() -> None:
    """All differ, and none has an I, L, O or U."""
    assert len(set(CODES)) == 10
    assert all(re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{5}-){4}[0-9A-HJKMNP-TV-Z]{5}", code) for code in CODES)


def test_a_code_is_found_however_it_is_typed() -> None:
    """Small letters, other gaps, and the letters that look like 0 and 1."""
    kept = hash_recovery_code(CODES[0])
    assert kept is not None
    assert hash_recovery_code(CODES[0].lower().replace("-", " ")) == kept
    assert hash_recovery_code(CODES[0].replace("-", "").replace("0", "o").replace("1", "l")) == kept
    assert hash_recovery_code(CODES[1]) != kept


@pytest.mark.parametrize("text", ["", "ABCDE", CODES[0] + "A", CODES[0][:-1] + "U", "\u00c4" * 25, "-" * 500])
def test_what_cannot_be_a_code_has_no_hash(text: str) -> None:
    """It is not looked up."""
    assert hash_recovery_code(text) is None


def test_codes_take_their_randomness() -> None:
    """Too few random bytes are a fault of the caller."""
    with pytest.raises(ValueError, match="160 random bytes"):
        build_recovery_codes(b"")
