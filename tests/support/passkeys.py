"""A software authenticator and the browser around it: it answers as one would, with mistakes on request.

It makes the bytes that `navigator.credentials.create` and `get` give a page, as the JSON of `toJSON()`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor
from fido2.cose import ES256, RS256, EdDSA
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

from doorward.core.entities import TENANT, Principal
from doorward.core.factor_kinds import FactorKind
from doorward.factors.webauthn import (
    RelyingParty,
    build_registration_options,
    check_registration,
    parse_registration,
    render_passkey,
)
from doorward.stores.factor_records import FactorRecord
from doorward.stores.services import Services
from doorward.wire.base64url import parse_base64url, render_base64url

PRESENT, VERIFIED, ELIGIBLE, BACKED_UP = 1, 4, 8, 16
GOOD_FLAGS = PRESENT | VERIFIED

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(kw_only=True)
class SoftKey:
    """One passkey of the authenticator."""

    rp_id: str
    key: Key
    credential_id: bytes
    user_handle: bytes
    counter: int = 0


@dataclass(kw_only=True)
class SoftAuthenticator:
    """An authenticator with its browser on one page.

    Args:
        origin: of the page.
        counting: whether its signature counter grows; those of synced passkeys stay at 0.
    """

    origin: str
    counting: bool = True
    keys: list[SoftKey] = field(default_factory=list)

    def create(
        self,
        options: Mapping[str, Any],
        *,
        key: Key | None = None,
        flags: int = GOOD_FLAGS,
        resident: bool | None = True,
        form: str = "none",
        statement: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> str:
        """Make a passkey; everything that is named here beside the options may be wrong on purpose.

        `call` changes members of the client data; None takes one away.
        """
        chosen = key or ec.generate_private_key(ec.SECP256R1())
        made = SoftKey(
            rp_id=options["rp"]["id"],
            key=chosen,
            credential_id=hashlib.sha256(cbor.encode(cose_key(chosen))).digest(),
            user_handle=parse_base64url(options["user"]["id"], code="x-y", what="id"),
        )
        self.keys.append(made)
        attested = AttestedCredentialData.create(b"\0" * 16, made.credential_id, cose_key(chosen))
        data = AuthenticatorData.create(
            hashlib.sha256(made.rp_id.encode()).digest(), flags | 0x40, made.counter, attested
        )
        attestation = cbor.encode({"fmt": form, "attStmt": statement or {}, "authData": bytes(data)})
        client_data = self._client_data("webauthn.create", options["challenge"], call)
        extensions = {} if resident is None else {"credProps": {"rk": resident}}
        response = {
            "clientDataJSON": render_base64url(client_data),
            "attestationObject": render_base64url(attestation),
            "transports": ["internal"],
        }
        return _render(made.credential_id, response, extensions)

    def get(
        self,
        options: Mapping[str, Any],
        *,
        flags: int = GOOD_FLAGS,
        rp_id: str | None = None,
        named: bool = True,
        extensions: Mapping[str, Any] | None = None,
        **call: Any,
    ) -> str:
        """Use the first passkey that the options allow; as for `create`."""
        allowed = {one["id"] for one in options["allowCredentials"]}
        used = next(one for one in self.keys if not allowed or render_base64url(one.credential_id) in allowed)
        used.counter += self.counting
        data = bytes(
            AuthenticatorData.create(
                hashlib.sha256((rp_id or options["rpId"]).encode()).digest(),
                flags | (0x80 if extensions else 0),
                used.counter,
                b"",
                extensions,
            )
        )
        client_data = self._client_data("webauthn.get", options["challenge"], call)
        response = {
            "clientDataJSON": render_base64url(client_data),
            "authenticatorData": render_base64url(data),
            "signature": render_base64url(sign(used.key, data + hashlib.sha256(client_data).digest())),
            "userHandle": render_base64url(used.user_handle) if named else None,
        }
        return _render(used.credential_id, response, {})

    def _client_data(self, kind: str, challenge: str, call: Mapping[str, Any]) -> bytes:
        members = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False, **call}
        return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def cose_key(key: Key) -> Mapping[int, Any]:
    """Return the public COSE key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ES256.from_cryptography_key(key.public_key())
    if isinstance(key, rsa.RSAPrivateKey):
        return RS256.from_cryptography_key(key.public_key())
    return EdDSA.from_cryptography_key(key.public_key())


def sign(key: Key, message: bytes) -> bytes:
    """Sign as an authenticator does with a key of that kind."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message)


def _render(credential_id: bytes, response: Mapping[str, Any], extensions: Mapping[str, Any]) -> str:
    name = render_base64url(credential_id)
    return json.dumps(
        {
            "id": name,
            "rawId": name,
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "response": response,
            "clientExtensionResults": extensions,
        }
    )


def enrol_passkey(
    services: Services,
    principal: Principal,
    party: RelyingParty,
    authenticator: SoftAuthenticator,
    *,
    name: str = "key",
) -> FactorRecord:
    """Make a passkey and put it into the directory, without the portal's pages."""
    challenge = b"c" * 32
    asked = build_registration_options(
        party,
        user_handle=principal.id.encode(),
        user_name=principal.name,
        display_name="",
        challenge=challenge,
    )
    answer = parse_registration(authenticator.create(asked))
    passkey, counter = check_registration(answer, party, challenge).require()
    record = FactorRecord(
        id=services.new_id("fct"),
        tenant=TENANT,
        principal_id=principal.id,
        kind=FactorKind.WEBAUTHN,
        name=name,
        secret=render_passkey(passkey),
        credential_id=render_base64url(passkey.credential_id),
        counter=counter,
        rp_id=party.id,
        created_at=services.clock.now(),
    )
    with services.work.change() as stores:
        stores.factors.add(record)
    return record
