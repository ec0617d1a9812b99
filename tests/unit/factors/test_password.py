"""Passwords: which may be chosen, and how one is checked."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.factors.password import (
    MAX_CHARACTERS,
    GoodPassword,
    NoBreachedPasswords,
    PasswordCost,
    check_password,
    hash_password,
    measure_password,
    normalise_password,
    parse_password_cost,
    require_choosable,
)
from doorward.factors.verdict import FactorFault

CHEAP = PasswordCost(memory_kibibytes=8, passes=1)
SALT = bytes(range(16))
GOOD = "gravel otter lantern quilt"


@dataclass(frozen=True)
class Listed:
    """A list of one breached password."""

    word: str

    def contains(self, password: str) -> bool:
        return password == self.word


def choose(text: str, known: tuple[str, ...] = (), breached: str = "") -> str:
    """Return the code with which a choice is refused; empty if it is taken."""
    try:
        require_choosable(text, known=known, breached=Listed(breached))
    except RequestRefused as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (GOOD, ""),
        ("ich will heim zum mondkalb", ""),
        ("p4QzX8wLm2Ts", ""),
        ("short words", "password-short"),
        ("", "password-short"),
        ("x" * (MAX_CHARACTERS + 1), "password-long"),
        ("e\u0301" * (MAX_CHARACTERS + 1), "password-long"),
        (GOOD + "\ud800", "password-long"),
        ("password1234", "password-guessable"),
        ("aaaaaaaaaaaaaaaa", "password-guessable"),
        ("qwertyuiop[]", "password-guessable"),
    ],
)
def test_length_and_guesses_decide_not_kinds_of_characters(text: str, code: str) -> None:
    """Words alone are good; short, long or common ones are refused with their reason."""
    assert choose(text) == code


def test_length_is_counted_after_normalisation() -> None:
    """Twelve accented letters are twelve, however the keyboard sends them."""
    eleven = "a\u0308o\u0308u\u0308e\u0301x7 gr4p"
    assert len(eleven) > 12
    assert choose(eleven) == "password-short"
    assert choose(eleven + "e\u0301") == ""


def test_names_and_words_of_the_application_are_guessed_first() -> None:
    """A password of the person's own name and the application's is refused."""
    text = "vranitzkymelchior"
    assert choose(text) == ""
    assert choose(text, known=("Vranitzky", "", "Melchior")) == "password-guessable"


def test_a_breached_password_is_refused() -> None:
    """The operator's list is asked for the normalised text; with no list nothing is breached."""
    assert choose(GOOD, breached=GOOD) == "password-breached"
    assert not NoBreachedPasswords().contains(GOOD)


def test_words_of_one_person_do_not_stay_for_the_next() -> None:
    """The measure has no memory that is shared."""
    before = measure_password("vranitzkymelchior", ())
    measure_password("vranitzkymelchior", ("vranitzky", "melchior"))
    assert measure_password("vranitzkymelchior", ()) == before


def test_a_right_password_is_good_and_a_wrong_one_is_not() -> None:
    """The other spelling of an accented letter is the same password."""
    stored = hash_password(require_choosable(GOOD + "\u00e9", known=(), breached=Listed("")), SALT, CHEAP)
    assert check_password(GOOD + "e\u0301", stored, CHEAP).require() == GoodPassword(outdated=False)
    assert check_password(GOOD, stored, CHEAP).faults == (FactorFault.WRONG,)


def test_a_hash_of_another_cost_is_outdated() -> None:
    """It is good, and says that it should be made again."""
    stored = hash_password(b"x" * 12, SALT, PasswordCost(memory_kibibytes=16, passes=1))
    assert check_password("x" * 12, stored, CHEAP).require().outdated
    assert parse_password_cost(stored) == PasswordCost(memory_kibibytes=16, passes=1)


@pytest.mark.parametrize("text", [GOOD, "", "x" * 1000, "\ud800"])
def test_where_there_is_no_password_every_one_is_wrong(text: str) -> None:
    """So is what cannot be one."""
    assert check_password(text, None, CHEAP).faults == (FactorFault.WRONG,)
    stored = hash_password(b"something else", SALT, CHEAP)
    assert check_password(text, stored, CHEAP).faults == (FactorFault.WRONG,)


STORED = hash_password(b"x", SALT, CHEAP)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x" * 300,
        "\u00e4" + STORED,
        STORED.replace("argon2id", "argon2i"),
        STORED.replace("m=8", "m=4"),
        STORED.replace("m=8", "m=99999999"),
        STORED.replace("t=1", "t=65"),
        STORED.replace("p=1", "p=2"),
        STORED[:-4] + "$$$$",
        STORED.rpartition("$")[0] + "$!!!!",
    ],
)
def test_a_stored_hash_that_is_none_of_ours_is_malformed(stored: str) -> None:
    """It is neither right nor wrong, and costs no gigabytes."""
    with pytest.raises(MalformedInput) as raised:
        check_password(GOOD, stored, CHEAP)
    assert raised.value.code == "password-hash-malformed"


def test_a_cost_and_a_salt_have_bounds() -> None:
    """No hash for nothing, none that takes the machine, no salt of another length."""
    for wrong in ({"memory_kibibytes": 4}, {"passes": 0}, {"lanes": 4}, {"memory_kibibytes": 1 << 40}):
        with pytest.raises(ValueError, match="a hash takes"):
            PasswordCost(**wrong)
    with pytest.raises(ValueError, match="salt"):
        hash_password(b"x", b"short", CHEAP)


def test_todays_cost_is_that_of_rfc_9106() -> None:
    """64 MiB and three passes, section 4, the second recommendation, with one lane."""
    assert PasswordCost() == PasswordCost(memory_kibibytes=65536, passes=3, lanes=1)


def test_normalised_is_what_is_hashed() -> None:
    """A ligature is its letters."""
    assert normalise_password("\ufb01sh") == b"fish"
