"""The judgement of a certificate that a partner's authority issued."""

from __future__ import annotations

from enum import Enum


class RevocationMode(Enum):
    """What is asked of the evidence of revocation: certificates known to be revoked are always refused."""

    REQUIRE = "require"
    PREFER = "prefer"
    OFF = "off"
