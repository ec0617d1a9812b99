"""A passkey in software: it answers the portal's questions as a browser with an authenticator does.

One key pair on P-256; user presence and user verification are always set. For demonstrations only: a real
authenticator keeps its key where no program can read it.

Standard: W3C Web Authentication Level 3, sections 5.8.1 (client data), 6.1 (authenticator data), 6.5.1 (attested
credential data); RFC 9052 (COSE).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from fido2 import cbor
from fido2.cose import ES256, CoseKey
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

from doorward.core.ports import KeyKind
from doorward.runtime.world import SoftwareKeys
from doorward.wire.base64url import parse_base64url, render_base64url

_FLAG = AuthenticatorData.FLAG
_NO_MODEL = bytes(16)


@dataclass(slots=True, kw_only=True)
class SoftPasskey:
    """One passkey, of one person at one portal.

    Args:
        origin: of the portal: `https://portal.corp.example`, with a port if it is not 443.
        key: made for it.
    """

    origin: str
    key: EllipticCurvePrivateKey
    _user: bytes = field(default=b"", init=False)
    _used: int = field(default=0, init=False)

    @property
    def credential_id(self) -> bytes:
        """What the portal knows it by: 32 bytes."""
        return hashlib.sha256(cbor.encode(self._public())).digest()

    def create(self, options: Mapping[str, Any]) -> str:
        """Answer `navigator.credentials.create`: JSON, as `toJSON()` gives it."""
        self._user = parse_base64url(options["user"]["id"], code="passkey-options", what="user.id")
        attested = AttestedCredentialData.create(_NO_MODEL, self.credential_id, self._public())
        data = AuthenticatorData.create(
            _digest(options["rp"]["id"]), _FLAG.UP | _FLAG.UV | _FLAG.AT, self._used, attested
        )
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": bytes(data)})
        response = {
            "clientDataJSON": self._client_data("webauthn.create", options["challenge"]),
            "attestationObject": attestation,
        }
        return self._render(response, {"credProps": {"rk": True}})

    def get(self, options: Mapping[str, Any]) -> str:
        """Answer `navigator.credentials.get`: JSON, as `toJSON()` gives it."""
        self._used += 1
        data = bytes(AuthenticatorData.create(_digest(options["rpId"]), _FLAG.UP | _FLAG.UV, self._used, b""))
        client_data = self._client_data("webauthn.get", options["challenge"])
        message = data + hashlib.sha256(client_data).digest()
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": data,
            "signature": self.key.sign(message, ECDSA(hashes.SHA256())),
            "userHandle": self._user,
        }
        return self._render(response, {})

    def _public(self) -> CoseKey:
        public: CoseKey = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        return public

    def _client_data(self, kind: str, challenge: str) -> bytes:
        members = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(members).encode()

    def _render(self, response: Mapping[str, bytes], extensions: Mapping[str, Any]) -> str:
        name = render_base64url(self.credential_id)
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "authenticatorAttachment": "platform",
                "response": {key: render_base64url(value) for key, value in response.items()},
                "clientExtensionResults": extensions,
            }
        )


def make_passkey(origin: str) -> SoftPasskey:
    """Return a passkey with a new key, for the portal with that origin."""
    key = SoftwareKeys().generate(KeyKind.P256)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("a key on P-256 was asked for")
    return SoftPasskey(origin=origin, key=key)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
