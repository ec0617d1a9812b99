"""`core.factor_kinds`: levels, strength and the words of RFC 8176."""

from __future__ import annotations

import pytest

from doorward.core.factor_kinds import (
    SESSION_FACTORS,
    FactorKind,
    acr_of,
    amr_of,
    is_as_strong,
    level_of,
    strongest_of,
)

PASSWORD, TOTP, WEBAUTHN, RECOVERY = (
    FactorKind.PASSWORD,
    FactorKind.TOTP,
    FactorKind.WEBAUTHN,
    FactorKind.RECOVERY,
)


@pytest.mark.parametrize(
    ("kinds", "level"),
    [
        ((), 1),
        ((RECOVERY,), 1),
        ((PASSWORD,), 2),
        ((TOTP,), 2),
        ((PASSWORD, TOTP, RECOVERY), 2),
        ((WEBAUTHN,), 3),
        ((PASSWORD, WEBAUTHN), 3),
    ],
)
def test_the_level_of_factors(kinds: tuple[FactorKind, ...], level: int) -> None:
    """Password and TOTP give level 2, a passkey 3, and a recovery code raises nothing."""
    assert level_of(kinds) == level


def test_the_order_of_strength() -> None:
    """A passkey is stronger than TOTP, TOTP than a password, and a password than a recovery code."""
    assert sorted(FactorKind, key=lambda kind: kind.strength) == [RECOVERY, PASSWORD, TOTP, WEBAUTHN]
    assert list(SESSION_FACTORS) == [WEBAUTHN, TOTP, PASSWORD]


def test_the_strongest_factor() -> None:
    """The strongest kind of several is found; there is none of none."""
    assert strongest_of([PASSWORD, WEBAUTHN, TOTP]) is WEBAUTHN
    assert strongest_of([RECOVERY, PASSWORD]) is PASSWORD
    assert strongest_of([]) is None


def test_what_is_as_strong() -> None:
    """A factor is as strong as itself and every weaker one."""
    assert is_as_strong(TOTP, TOTP)
    assert is_as_strong(WEBAUTHN, PASSWORD)
    assert not is_as_strong(PASSWORD, TOTP)
    assert not is_as_strong(RECOVERY, PASSWORD)


def test_the_words_for_applications() -> None:
    """Each method is named once, as in RFC 8176; a recovery code has no word."""
    assert amr_of([WEBAUTHN, PASSWORD, TOTP, PASSWORD]) == ("hwk", "otp", "pwd", "user")
    assert amr_of([RECOVERY]) == ()
    assert acr_of(2) == "urn:doorward:level:2"
