"""The length of a passphrase that protects keys at rest: those of the key store, and an exported root.

Both have the same rule: an attacker who has the file can guess without any rate limit. A passphrase is bytes, not
text. Not here: where a passphrase comes from (storage), and what is derived from it.
Standard: NIST SP 800-63B-4 section 3.1.1.2 (length).
"""

from __future__ import annotations

from doorward.core.errors import RequestRefused

MIN_BYTES = 15
"""NIST SP 800-63B-4: at least 15 characters if the passphrase is the only protection; `init` makes one of 32."""
MAX_BYTES = 4096
"""No real passphrase is longer. The limit catches the path of a large file that is given by mistake."""


def check_passphrase(passphrase: bytes) -> bytes:
    """Return the passphrase if its length is within the limits.

    Raises:
        RequestRefused: `passphrase-short`, `passphrase-long`.
    """
    if len(passphrase) < MIN_BYTES:
        raise RequestRefused(
            "passphrase-short",
            f"the passphrase has fewer than {MIN_BYTES} bytes",
            hint="use several random words; for a file, `openssl rand -base64 32` makes a good one",
        )
    if len(passphrase) > MAX_BYTES:
        raise RequestRefused(
            "passphrase-long",
            f"the passphrase has more than {MAX_BYTES} bytes",
            hint="check that the right file was given as the passphrase file",
        )
    return passphrase
