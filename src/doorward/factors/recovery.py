"""Recovery codes: ten, each for one use, to enrol a new factor if all others are lost.

A code has 25 characters in five groups, 125 random bits. It cannot be guessed, so its plain SHA-256 is stored (NIST SP
800-63B-4 section 3.1.2.2 asks for a slow hash below 112 bits). The alphabet is Crockford's base 32: no I, L, O or U. If a
person types I, L or O, it is read as 1 or 0.

Standard: NIST SP 800-63B-4 section 3.1.2 (look-up secrets).
"""

from __future__ import annotations

import hashlib

COUNT = 10
GROUPS, GROUP_CHARACTERS = 5, 5
CODE_BYTES = 16
"""Random bytes for one code; 125 of their 128 bits are used."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = GROUPS * GROUP_CHARACTERS
_MEANT = str.maketrans({"O": "0", "I": "1", "L": "1"})
_MAX_TYPED_CHARACTERS = 128


def build_recovery_codes(random: bytes) -> tuple[str, ...]:
    """Return ten codes, to be shown once.

    Args:
        random: 160 random bytes.
    """
    if len(random) != COUNT * CODE_BYTES:
        raise ValueError(f"{COUNT} codes take {COUNT * CODE_BYTES} random bytes")
    return tuple(_render(random[start : start + CODE_BYTES]) for start in range(0, len(random), CODE_BYTES))


def _render(random: bytes) -> str:
    number = int.from_bytes(random, "big")
    symbols = "".join(_ALPHABET[number >> 5 * place & 31] for place in range(_CHARACTERS))
    return "-".join(
        symbols[start : start + GROUP_CHARACTERS] for start in range(0, _CHARACTERS, GROUP_CHARACTERS)
    )


def hash_recovery_code(text: str) -> bytes | None:
    """Return the stored form of a code, its SHA-256; None if the text cannot be a code.

    Case, spaces, dashes, and O, I or L for 0 and 1 make no difference.
    """
    typed = text[:_MAX_TYPED_CHARACTERS].upper().translate(_MEANT)
    symbols = "".join(one for one in typed if one not in " -\t\r\n")
    if len(symbols) != _CHARACTERS or not set(symbols) <= set(_ALPHABET):
        return None
    return hashlib.sha256(symbols.encode("ascii")).digest()
