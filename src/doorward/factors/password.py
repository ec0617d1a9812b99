"""Passwords as a factor beside a certificate: rules for new passwords, and argon2id hashes.

A new password has 12 to 128 characters after NFKC, is hard to guess according to zxcvbn (which also tries the names of the
person and of the applications), and is in no list of breached passwords. There is no other rule: no required kinds of
characters and no expiry (NIST SP 800-63B-4 section 3.1.1.2, which asks for 15 characters if the password is the only
factor, and for 8 if it is one of two).

Not here: the list of breached passwords (`BreachedPasswords`), the limit of concurrent hashes (`directory.factors.budget`).
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
"""zxcvbn measures only the beginning: for 64 hostile characters it needs seconds. A longer password is at least as hard
to guess as its beginning."""

_MAX_INPUTS, _MAX_INPUT_CHARACTERS = 64, 64
_MAX_STORED_CHARACTERS = 256
_MAX_MEMORY_KIBIBYTES = 1024 * 1024
_MAX_PASSES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordCost:
    """The cost of one hash: memory in KiB, passes over it, and lanes (RFC 9106 section 3.1: m, t, p)."""

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
    """An empty list."""

    def contains(self, password: str) -> bool:  # noqa: ARG002 - as the protocol has it
        """Return False."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodPassword:
    """The password was correct; `outdated` if its hash has another cost than the current one and should be replaced."""

    outdated: bool


def normalise_password(text: str) -> bytes | None:
    """Return the bytes to hash for a password as it was typed: NFKC, UTF-8; None if it cannot be a password of ours.

    Two keyboards may encode one character in two ways; NFKC makes them equal.
    """
    if len(text) > 2 * MAX_CHARACTERS:  # decomposed characters count double; a longer text is not read
        return None
    normal = unicodedata.normalize("NFKC", text)
    if not 0 < len(normal) <= MAX_CHARACTERS:
        return None
    try:
        return normal.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which no keyboard types
        return None


def require_choosable(text: str, *, known: Sequence[str], breached: BreachedPasswords) -> bytes:
    """Return the bytes to hash for a new password, if it may be chosen.

    Args:
        text: as it was typed.
        known: names of the person, the applications and the organisation, which an attacker would guess first.
        breached: the operator's list of breached passwords.

    Raises:
        RequestRefused: `password-short`, `password-long`, `password-guessable`, `password-breached`.
    """
    normal = unicodedata.normalize("NFKC", text[: 2 * MAX_CHARACTERS + 1])
    if len(normal) < MIN_CHARACTERS:
        raise RequestRefused(
            "password-short",
            f"the password has fewer than {MIN_CHARACTERS} characters",
            hint="choose four or five words that have nothing to do with each other",
        )
    secret = normalise_password(text)
    if secret is None:
        raise RequestRefused(
            "password-long",
            f"the password has more than {MAX_CHARACTERS} characters, or characters that cannot be typed",
            hint="choose a shorter one",
        )
    if measure_password(normal, known) < _LOWEST_SCORE:
        raise RequestRefused(
            "password-guessable",
            "the password is too easy to guess",
            hint="choose four or five words that have nothing to do with each other; no names, dates or rows of keys",
        )
    if breached.contains(normal):
        raise RequestRefused(
            "password-breached",
            "the password is in a list of passwords that were stolen elsewhere",
            hint="choose one that you never used before",
        )
    return secret


def measure_password(normal: str, known: Sequence[str]) -> int:
    """Return how hard a password is to guess according to zxcvbn, 0 to 4.

    zxcvbn's own function puts `known` into a dictionary that all threads share; the functions used here do not.
    """
    from zxcvbn import matching, scoring, time_estimates  # noqa: PLC0415 - its lists take 50 ms to load

    words = [word[:_MAX_INPUT_CHARACTERS].lower() for word in known[:_MAX_INPUTS] if word]
    dictionaries = {**matching.RANKED_DICTIONARIES, "user_inputs": matching.build_ranked_dict(words)}
    beginning = normal[:_MEASURED_CHARACTERS]
    matches = matching.omnimatch(beginning, dictionaries)
    guesses = scoring.most_guessable_match_sequence(beginning, matches)["guesses"]
    return int(time_estimates.guesses_to_score(guesses))


def hash_password(secret: bytes, salt: bytes, cost: PasswordCost) -> str:
    """Return the stored form of a password: the encoded argon2id hash, with cost and salt.

    Args:
        secret: from `require_choosable`.
        salt: 16 random bytes for this hash only.
        cost: of the hash.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    encoded = hash_secret(secret, salt, cost.passes, cost.memory_kibibytes, cost.lanes, _HASH_BYTES, Type.ID)
    return encoded.decode("ascii")


def check_password(text: str, stored: str | None, cost: PasswordCost) -> FactorVerdict[GoodPassword]:
    """Check a password as it was typed. One hash is made in every case, and digests are compared in constant time.

    Args:
        text: as it was typed.
        stored: from `hash_password`; None if the person has no password.
        cost: the current cost.

    Raises:
        MalformedInput: `password-hash-malformed`: the stored text was not made by `hash_password`.
    """
    secret = normalise_password(text)
    if stored is None or secret is None:
        # The same time as for a wrong password, so that the time does not tell who has a password.
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
    """Return the cost of a stored hash; a hash that would need more than a gigabyte is refused.

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
