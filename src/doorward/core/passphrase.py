"""How long a passphrase must be that protects keys at rest: the key store's, and an exported root's.

One rule for both: whoever has the file guesses without anybody who slows him down. Not here: where a
passphrase comes from (storage), and what is derived from it. A passphrase is bytes, not text.
Standard: NIST SP 800-63B-4 section 3.1.1.2 (length).
"""

from __future__ import annotations

from doorward.core.errors import RequestRefused

MIN_BYTES = 15
"""NIST SP 800-63B-4: at least 15 characters where nothing else protects; `init` makes one of 32."""
MAX_BYTES = 4096
"""Nobody has a longer one; whoever names a disk image by mistake is told so."""


def check_passphrase(passphrase: bytes) -> bytes:
    """Return the passphrase where its length is within the limits.

    Raises:
        RequestRefused: `passphrase-short`, `passphrase-long`.
    """
    if len(passphrase) < MIN_BYTES:
        raise RequestRefused(
            "passphrase-short",
            f"the passphrase has fewer than {MIN_BYTES} bytes",
            hint="several words at random are easy to keep: `openssl rand -base64 32` makes one for a file",
        )
    if len(passphrase) > MAX_BYTES:
        raise RequestRefused("passphrase-long", f"the passphrase has more than {MAX_BYTES} bytes")
    return passphrase
