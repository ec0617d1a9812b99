"""TOTP: codes of an authenticator app that change every 30 seconds.

SHA-1, 30 seconds and six digits are supported by every app; HMAC does not need a collision-resistant hash. A code of the
step before or after is accepted too, because clocks differ. Each step is accepted once, so that a code that somebody saw
cannot be used after its owner.

Standard: RFC 6238 (TOTP; section 5.2 replay and skew), RFC 4226 (HOTP; section 5.3 truncation, section 4 R6 length of
the secret); the key URI format of Google Authenticator.
"""

from __future__ import annotations

import base64
import hmac
from datetime import datetime
from urllib.parse import quote, urlencode

from doorward.factors.verdict import FactorFault, FactorVerdict, judge

SECRET_BYTES = 20
"""RFC 4226 section 4 recommends 160 bits."""

STEP_SECONDS = 30
DIGITS = 6
SKEW_STEPS = 1
_MAX_TYPED_CHARACTERS = 32


def render_totp(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """Return the code of a step.

    Standard: RFC 4226 section 5.3.
    """
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(number % 10**digits).zfill(digits)


def step_at(now: datetime) -> int:
    """Return the step of a time: the number of whole half minutes since 1970."""
    return int(now.timestamp()) // STEP_SECONDS


def check_totp(secret: bytes, text: str, *, now: datetime, last_step: int) -> FactorVerdict[int]:
    """Check a code as it was typed, with or without spaces.

    Args:
        secret: 20 bytes.
        text: as it was typed.
        now: aware, UTC.
        last_step: the step of the last accepted code; 0 before the first.

    Returns:
        The step of the code, which the calling function stores. Faults: `factor-wrong`; `factor-replayed` if the code is
        correct, but its step or a later one was used before.
    """
    typed = normalise_code(text)
    present = step_at(now)
    matched = [
        step
        for step in range(max(0, present - SKEW_STEPS), present + SKEW_STEPS + 1)
        # Every step is compared, in constant time.
        if hmac.compare_digest(render_totp(secret, step).encode("ascii"), typed)
    ]
    fresh = [step for step in matched if step > last_step]
    if fresh:
        return judge([], max(fresh))
    return judge([FactorFault.REPLAYED if matched else FactorFault.WRONG], 0)


def normalise_code(text: str) -> bytes:
    """Return the digits of a code as it was typed; empty, which matches no code, if the text is not six characters."""
    typed = "".join(text[:_MAX_TYPED_CHARACTERS].split())
    return typed.encode("ascii") if typed.isascii() and len(typed) == DIGITS else b""


def render_otpauth(secret: bytes, *, issuer: str, account: str) -> str:
    """Return the `otpauth` URI that an app reads from a QR code.

    Args:
        secret: 20 bytes.
        issuer: the name that the app shows above the code: the organisation.
        account: the name of the principal.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret of TOTP has {SECRET_BYTES} bytes")
    label = quote(f"{issuer}:{account}", safe="")
    parameters = {
        "secret": render_secret(secret),
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_SECONDS,
    }
    return f"otpauth://totp/{label}?{urlencode(parameters, quote_via=quote)}"


def render_secret(secret: bytes) -> str:
    """Return the secret for typing it without a camera: base32 without padding."""
    return base64.b32encode(secret).decode("ascii").rstrip("=")
