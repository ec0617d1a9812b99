"""The options for the browser to make or use a passkey, in the JSON form of WebAuthn.

A page gives the members to `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON`.
A passkey must verify its user (fingerprint, face or PIN), and must be resident, so that it identifies its person if it is
used to get a new certificate.

Standard: WebAuthn Level 3, sections 5.1.8, 5.1.9, 5.4 and 5.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from doorward.factors.webauthn.keys import ALGORITHMS
from doorward.wire.base64url import render_base64url

CHALLENGE_BYTES = 32
"""WebAuthn section 13.4.3 asks for 16 at least."""

MIN_CHALLENGE_BYTES = 16
MAX_USER_HANDLE_BYTES = 64
"""WebAuthn section 5.4.3."""

TIMEOUT_MILLISECONDS = 5 * 60 * 1000
"""WebAuthn section 15.1 recommends 300 to 600 s with user verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelyingParty:
    """The portal, as WebAuthn names it.

    Args:
        id: the RP ID: exactly the portal's host. With the parent domain, every application's host could request the
            passkeys.
        origin: scheme, host and, if it is not 443, port, as the browser sends it.
        name: shown by authenticators.
    """

    id: str
    origin: str
    name: str

    def __post_init__(self) -> None:
        host = self.origin.removeprefix("https://").partition(":")[0]
        if not self.origin.startswith("https://") or host != self.id:
            raise ValueError(f"the origin {self.origin} is not that of the RP ID {self.id}")


def build_registration_options(
    party: RelyingParty,
    *,
    user_handle: bytes,
    user_name: str,
    display_name: str,
    challenge: bytes,
    exclude: Sequence[bytes] = (),
) -> dict[str, Any]:
    """Return the options for `navigator.credentials.create`, as JSON.

    Args:
        party: the portal.
        user_handle: 1 to 64 bytes without personal data; the id of the principal.
        user_name: the name of the principal.
        display_name: shown by the authenticator; if empty, the name is shown.
        challenge: 16 random bytes or more, for one answer.
        exclude: ids of the person's passkeys; an authenticator that has one of them does not make another.
    """
    _require_challenge(challenge)
    if not 0 < len(user_handle) <= MAX_USER_HANDLE_BYTES:
        raise ValueError(f"a user handle has 1 to {MAX_USER_HANDLE_BYTES} bytes")
    return {
        "rp": {"id": party.id, "name": party.name},
        "user": {
            "id": render_base64url(user_handle),
            "name": user_name,
            "displayName": display_name or user_name,
        },
        "challenge": render_base64url(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
        "timeout": TIMEOUT_MILLISECONDS,
        "excludeCredentials": _descriptors(exclude),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
        "extensions": {"credProps": True},
    }


def build_authentication_options(
    party: RelyingParty, *, challenge: bytes, allow: Sequence[bytes] = ()
) -> dict[str, Any]:
    """Return the options for `navigator.credentials.get`, as JSON.

    Args:
        party: the portal.
        challenge: 16 random bytes or more, for one answer.
        allow: ids of the person's passkeys; empty if the person is not known yet.
    """
    _require_challenge(challenge)
    return {
        "rpId": party.id,
        "challenge": render_base64url(challenge),
        "timeout": TIMEOUT_MILLISECONDS,
        "allowCredentials": _descriptors(allow),
        "userVerification": "required",
    }


def _descriptors(ids: Sequence[bytes]) -> list[dict[str, str]]:
    return [{"type": "public-key", "id": render_base64url(one)} for one in ids]


def _require_challenge(challenge: bytes) -> None:
    if len(challenge) < MIN_CHALLENGE_BYTES:
        raise ValueError(f"a challenge has at least {MIN_CHALLENGE_BYTES} bytes")
