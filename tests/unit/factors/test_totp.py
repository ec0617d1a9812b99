"""Codes of an authenticator app."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from doorward.factors.totp import check_totp, render_otpauth, render_secret, render_totp, step_at
from doorward.factors.verdict import FactorFault
from tests.support.ports import NOON

RFC_SECRET = b"12345678901234567890"
STEP = step_at(NOON)
HALF_MINUTE = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_vectors_of_rfc_6238(seconds: int, code: str) -> None:
    """Appendix B, SHA-1, eight digits."""
    assert render_totp(RFC_SECRET, step_at(datetime.fromtimestamp(seconds, UTC)), 8) == code


def test_a_code_is_taken_with_spaces_and_once() -> None:
    """The step comes back, and no code of it or of an earlier step is accepted again."""
    code = render_totp(RFC_SECRET, STEP)
    assert check_totp(RFC_SECRET, f" {code[:3]} {code[3:]}\n", now=NOON, last_step=0).require() == STEP
    for last in (STEP, STEP + 1):
        verdict = check_totp(RFC_SECRET, code, now=NOON, last_step=last)
        assert verdict.faults == (FactorFault.REPLAYED,)


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_one_step_of_skew_is_taken(steps: int, good: bool) -> None:  # noqa: FBT001
    """A clock may be half a minute off, and no more."""
    code = render_totp(RFC_SECRET, STEP + steps)
    assert check_totp(RFC_SECRET, code, now=NOON, last_step=0).good is good


@pytest.mark.parametrize("text", ["", "12345", "1234567", "\u0661" * 6, "x" * 1000])
def test_what_is_no_code_is_wrong(text: str) -> None:
    """Too few digits, too many, of another script."""
    assert check_totp(RFC_SECRET, text, now=NOON, last_step=0).faults == (FactorFault.WRONG,)


def test_the_first_steps_of_all_time_are_none_too_many() -> None:
    """Nothing below zero is asked for."""
    code = render_totp(RFC_SECRET, 0)
    early = datetime.fromtimestamp(5, UTC)
    assert check_totp(RFC_SECRET, code, now=early, last_step=0).faults == (FactorFault.REPLAYED,)


def test_the_uri_for_an_app() -> None:
    """Issuer and account are escaped; the secret is base32 without padding."""
    uri = render_otpauth(RFC_SECRET, issuer="Corp & Söhne", account="alice@corp")
    assert uri == (
        "otpauth://totp/Corp%20%26%20S%C3%B6hne%3Aalice%40corp?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        "&issuer=Corp%20%26%20S%C3%B6hne&algorithm=SHA1&digits=6&period=30"
    )
    assert render_secret(RFC_SECRET) in uri
    with pytest.raises(ValueError, match="20 bytes"):
        render_otpauth(b"short", issuer="a", account="b")
