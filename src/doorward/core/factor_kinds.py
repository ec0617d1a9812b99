"""The kinds of second factors.

Not here: how one is enrolled and checked (factors), and what a rule asks for (policy.requirements).
Standard: NIST SP 800-63B-4 section 3.
"""

from __future__ import annotations

from enum import Enum


class FactorKind(Enum):
    """What a person shows besides the certificate. A recovery code opens a new enrolment, and nothing else."""

    PASSWORD = "password"  # noqa: S105 - a word, not one
    TOTP = "totp"
    WEBAUTHN = "webauthn"
    RECOVERY = "recovery-code"
