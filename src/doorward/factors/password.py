"""Passwords beside a certificate: which may be chosen, and argon2id over them.

A chosen password has 12 to 128 characters after NFKC, is not easily guessed by zxcvbn's measure (with the person's
names and the application's words among the guesses), and is in no list of breached ones. Nothing else is asked:
no kinds of characters, no end after some months (NIST SP 800-63B-4 section 3.1.1.2, which asks for 15 characters where
the password is the only factor, and for 8 where it is one of two).

Not here: the list of breached passwords itself (`BreachedPasswords` is asked), who runs how many hashes at once
(directory).
Standard: RFC 9106 (argon2id, section 4: 64 MiB, 3 passes), NIST SP 800-63B-4 section 3.1.1, UAX #15 (NFKC).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn, Protocol

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import Type, hash_secret, verify_secret

from doorward.core.errors import MalformedInput, RequestRefused
from doorward.factors.verdict import FactorFault, FactorVerdict, judge

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
SALT_BYTES = 16
"""RFC 9106 section 3.1 recommends 16."""

_HASH_BYTES = 32
_LOWEST_SCORE = 3
"""Of 0 to 4: more than 10^8 guesses."""

_MEASURED_CHARACTERS = 32
"""zxcvbn is asked about the beginning only: 64 hostile characters keep it busy for seconds. A longer password is at
least as hard to guess as its beginning."""

_MAX_INPUTS, _MAX_INPUT_CHARACTERS = 64, 64
_MAX_STORED_CHARACTERS = 256
_MAX_MEMORY_KIBIBYTES = 1024 * 1024
_MAX_PASSES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordCost:
    """What one hash costs: memory in KiB, passes over it, and lanes (RFC 9106 section 3.1: m, t, p)."""

    memory_kibibytes: int = 64 * 1024
    passes: int = 3
    lanes: int = 1

    def __post_init__(self) -> None:
        if not 8 <= self.memory_kibibytes <= _MAX_MEMORY_KIBIBYTES:  # noqa: PLR2004 - the least of RFC 9106
            raise ValueError(f"a hash takes 8 to {_MAX_MEMORY_KIBIBYTES} KiB")
        if not 1 <= self.passes <= _MAX_PASSES or self.lanes != 1:
            raise ValueError(f"a hash takes 1 to {_MAX_PASSES} passes and one lane")


class BreachedPasswords(Protocol):
    """A list of passwords that were found in stolen files."""

    def contains(self, password: str) -> bool:
        """Return whether this password, as `normalise_password` gives it, is in the list."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBreachedPasswords:
    """The list of an operator who has none."""

    def contains(self, password: str) -> bool:  # noqa: ARG002 - as the protocol has it
        """Return False."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPassword:
    """The password was right; `outdated` if it was hashed at another cost than today's, and should be hashed again."""

    outdated: bool


def normalise_password(text: str) -> bytes | None:
    """Return what is hashed of a password as it was typed: NFKC, UTF-8; None where it cannot be one of ours.

    Two keyboards may send one character in two ways; NFKC makes them one.
    """
    if len(text) > 2 * MAX_CHARACTERS:  # decomposed characters count double; more is not looked at
        return None
    normal = unicodedata.normalize("NFKC", text)
    if not 0 < len(normal) <= MAX_CHARACTERS:
        return None
    try:
        return normal.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which no keyboard types
        return None


def require_choosable(text: str, *, known: Sequence[str], breached: BreachedPasswords) -> bytes:
    """Return what is hashed of a new password, if it may be chosen.

    Args:
        text: as it was typed.
        known: the person's names, and words that everybody guesses here (the application's, the domain's).
        breached: the operator's list.

    Raises:
        RequestRefused: `password-short`, `password-long`, `password-guessable`, `password-breached`.
    """
    normal = unicodedata.normalize("NFKC", text[: 2 * MAX_CHARACTERS + 1])
    if len(normal) < MIN_CHARACTERS:
        raise RequestRefused(
            "password-short",
            f"the password has fewer than {MIN_CHARACTERS} characters",
            hint="take four or five words that have nothing to do with each other",
        )
    secret = normalise_password(text)
    if secret is None:
        raise RequestRefused(
            "password-long",
            f"the password has more than {MAX_CHARACTERS} characters, or characters that cannot be typed",
            hint="take a shorter one",
        )
    if measure_password(normal, known) < _LOWEST_SCORE:
        raise RequestRefused(
            "password-guessable",
            "the password is guessed too easily",
            hint="take four or five words that have nothing to do with each other; no names, dates or rows of keys",
        )
    if breached.contains(normal):
        raise RequestRefused(
            "password-breached",
            "the password is in a list of passwords that were stolen elsewhere",
            hint="take one that you never used before",
        )
    return secret


def measure_password(normal: str, known: Sequence[str]) -> int:
    """Return how hard a password is to guess, 0 to 4, by zxcvbn.

    Its own function puts `known` into a dictionary that all threads share; the parts of it do not.
    """
    from zxcvbn import matching, scoring, time_estimates  # noqa: PLC0415 - its lists take 50 ms to load

    words = [word[:_MAX_INPUT_CHARACTERS].lower() for word in known[:_MAX_INPUTS] if word]
    dictionaries = {**matching.RANKED_DICTIONARIES, "user_inputs": matching.build_ranked_dict(words)}
    beginning = normal[:_MEASURED_CHARACTERS]
    matches = matching.omnimatch(beginning, dictionaries)
    guesses = scoring.most_guessable_match_sequence(beginning, matches)["guesses"]
    return int(time_estimates.guesses_to_score(guesses))


def hash_password(secret: bytes, salt: bytes, cost: PasswordCost) -> str:
    """Return what is kept of a password: the encoded argon2id hash, which holds cost and salt.

    Args:
        secret: of `require_choosable`.
        salt: 16 random bytes, for this hash alone.
        cost: what it takes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    encoded = hash_secret(secret, salt, cost.passes, cost.memory_kibibytes, cost.lanes, _HASH_BYTES, Type.ID)
    return encoded.decode("ascii")


def check_password(text: str, stored: str | None, cost: PasswordCost) -> FactorVerdict[GoodPassword]:
    """Judge a password as it was typed. One hash is made in every case, and digests are compared in constant time.

    Args:
        text: as it was typed.
        stored: of `hash_password`; None where the person has no password.
        cost: today's.

    Raises:
        MalformedInput: `password-hash-malformed`: what is stored was not made by `hash_password`.
    """
    secret = normalise_password(text)
    if stored is None or secret is None:
        # As long as for a wrong one, so that the time does not tell who has a password.
        hash_password(b"nothing to compare", bytes(SALT_BYTES), cost)
        return judge([FactorFault.WRONG], GoodPassword(outdated=False))
    found = parse_password_cost(stored)
    try:
        verify_secret(stored.encode("ascii"), secret, Type.ID)
    except VerifyMismatchError:
        return judge([FactorFault.WRONG], GoodPassword(outdated=False))
    except VerificationError:
        _malformed()
    return judge([], GoodPassword(outdated=found != cost))


def parse_password_cost(stored: str) -> PasswordCost:
    """Return the cost of a stored hash; one that would take more than a gigabyte is refused.

    Raises:
        MalformedInput: `password-hash-malformed`.
    """
    if len(stored) > _MAX_STORED_CHARACTERS or not stored.isascii():
        _malformed()
    try:
        found = extract_parameters(stored)
        cost = PasswordCost(
            memory_kibibytes=found.memory_cost, passes=found.time_cost, lanes=found.parallelism
        )
    except (InvalidHashError, ValueError):
        _malformed()
    if found.type is not Type.ID:
        _malformed()
    return cost


def _malformed() -> NoReturn:
    raise MalformedInput("password-hash-malformed", "a stored password is not one of ours") from None
