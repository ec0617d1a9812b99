"""Parsing of WebAuthn answers from a browser, JSON and CBOR; the values are not checked yet.

Any bytes give a value or `MalformedInput` (`webauthn-malformed`). The limits: 32 KiB of JSON, 4 KiB of client data, 8 KiB of
an attestation object (without attestation it has some hundred bytes). CBOR is decoded by fido2, which copies the remaining
bytes at each value: the limit keeps that below a few milliseconds.

Standard: WebAuthn Level 3, sections 5.1 (`RegistrationResponseJSON`, `AuthenticationResponseJSON`), 5.8.1 (client
data), 6.1 (authenticator data), 6.5.4 (attestation object).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from fido2 import cbor
from fido2.webauthn import AuthenticatorData

from doorward.core.errors import MalformedInput
from doorward.factors.webauthn.keys import MAX_CREDENTIAL_ID_BYTES, PARSING_FAULTS
from doorward.wire.base64url import parse_base64url
from doorward.wire.json_object import parse_json_object

MAX_ANSWER_CHARACTERS = 32 * 1024
MAX_CLIENT_DATA_BYTES = 4 * 1024
MAX_ATTESTATION_BYTES = 8 * 1024
MAX_SIGNATURE_BYTES = 1024
MAX_ORIGIN_CHARACTERS = 512

_CODE = "webauthn-malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """The client data of the browser; the authenticator signed the hash of `raw`."""

    type: str
    challenge: bytes = field(repr=False)
    origin: str
    cross_origin: bool
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The authenticator data, and as `raw` the bytes that were signed."""

    data: AuthenticatorData
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationAnswer:
    """A new passkey. `resident` is what the browser reports; None if it reports nothing."""

    credential_id: bytes
    client_data: ClientData
    attestation_format: str
    has_statement: bool
    authenticated: Authenticated
    resident: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationAnswer:
    """The use of a passkey; `user_handle` is empty if the authenticator did not send it."""

    credential_id: bytes
    client_data: ClientData
    authenticated: Authenticated
    signature: bytes = field(repr=False)
    user_handle: bytes


def parse_registration(text: str) -> RegistrationAnswer:
    """Return the answer of `navigator.credentials.create`, from the JSON of its `toJSON()`.

    Raises:
        MalformedInput: `webauthn-malformed`.
    """
    members, response, credential_id = _credential(text)
    attestation = _bytes(response, "attestationObject", MAX_ATTESTATION_BYTES)
    form, statement, authenticated = parse_attestation(attestation)
    properties = _mapping(_mapping(members, "clientExtensionResults"), "credProps")
    resident = properties.get("rk")
    return RegistrationAnswer(
        credential_id=credential_id,
        client_data=parse_client_data(_bytes(response, "clientDataJSON", MAX_CLIENT_DATA_BYTES)),
        attestation_format=form,
        has_statement=bool(statement),
        authenticated=authenticated,
        resident=resident if isinstance(resident, bool) else None,
    )


def parse_authentication(text: str) -> AuthenticationAnswer:
    """Return the answer of `navigator.credentials.get`, from the JSON of its `toJSON()`.

    Raises:
        MalformedInput: `webauthn-malformed`.
    """
    _, response, credential_id = _credential(text)
    handle = response.get("userHandle")
    return AuthenticationAnswer(
        credential_id=credential_id,
        client_data=parse_client_data(_bytes(response, "clientDataJSON", MAX_CLIENT_DATA_BYTES)),
        authenticated=parse_authenticator_data(_bytes(response, "authenticatorData", MAX_ATTESTATION_BYTES)),
        signature=_bytes(response, "signature", MAX_SIGNATURE_BYTES),
        user_handle=b"" if handle is None else _bytes(response, "userHandle", 64),
    )


def parse_client_data(raw: bytes) -> ClientData:
    """Return the client data of an answer; unknown members are ignored, as the standard requires.

    Args:
        raw: JSON in UTF-8, at most 4096 bytes.

    Raises:
        MalformedInput: `webauthn-malformed`.

    Standard: WebAuthn Level 3, section 5.8.1.
    """
    if len(raw) > MAX_CLIENT_DATA_BYTES:
        _malformed(f"client data is longer than {MAX_CLIENT_DATA_BYTES} bytes")
    members = parse_json_object(raw, code=_CODE, what="client data")
    cross_origin = members.get("crossOrigin", False)
    if not isinstance(cross_origin, bool):
        _malformed("crossOrigin is not true or false")
    return ClientData(
        type=_text(members, "type", MAX_ORIGIN_CHARACTERS),
        challenge=_bytes(members, "challenge", MAX_CLIENT_DATA_BYTES),
        origin=_text(members, "origin", MAX_ORIGIN_CHARACTERS),
        # In a frame of another origin, `topOrigin` names the outer page, even if crossOrigin is false.
        cross_origin=cross_origin or "topOrigin" in members,
        raw=raw,
    )


def parse_authenticator_data(raw: bytes) -> Authenticated:
    """Return authenticator data: RP ID hash, flags, counter, perhaps a new key and extensions.

    Raises:
        MalformedInput: `webauthn-malformed`.

    Standard: WebAuthn Level 3, section 6.1.
    """
    if len(raw) > MAX_ATTESTATION_BYTES:
        _malformed(f"authenticator data is longer than {MAX_ATTESTATION_BYTES} bytes")
    try:
        data = AuthenticatorData(raw)
    except PARSING_FAULTS:
        _malformed("authenticator data cannot be read")
    if data.credential_data is not None and not (
        0 < len(data.credential_data.credential_id) <= MAX_CREDENTIAL_ID_BYTES
    ):
        _malformed(f"a credential id does not have 1 to {MAX_CREDENTIAL_ID_BYTES} bytes")
    return Authenticated(data=data, raw=raw)


def parse_attestation(raw: bytes) -> tuple[str, Mapping[Any, Any], Authenticated]:
    """Return the format, the statement and the authenticator data of an attestation object.

    Args:
        raw: CBOR, at most 8192 bytes.

    Raises:
        MalformedInput: `webauthn-malformed`.

    Standard: WebAuthn Level 3, section 6.5.4; RFC 8949.
    """
    if len(raw) > MAX_ATTESTATION_BYTES:
        _malformed(f"an attestation object is longer than {MAX_ATTESTATION_BYTES} bytes")
    try:
        members = cbor.decode(raw)
    except PARSING_FAULTS:
        _malformed("an attestation object is not CBOR")
    # Types are checked before the values are converted: bytes(2**40) would be a terabyte.
    if not isinstance(members, Mapping) or set(members) != {"fmt", "attStmt", "authData"}:
        _malformed("an attestation object must have exactly the members fmt, attStmt and authData")
    form, statement, data = members["fmt"], members["attStmt"], members["authData"]
    if not isinstance(form, str) or not isinstance(statement, Mapping) or not isinstance(data, bytes):
        _malformed("an attestation object has a member of the wrong type")
    return form[:32], statement, parse_authenticator_data(data)


def _credential(text: str) -> tuple[dict[str, Any], Mapping[str, Any], bytes]:
    """Return the members of a PublicKeyCredential, those of its response, and its id."""
    if len(text) > MAX_ANSWER_CHARACTERS:
        _malformed(f"an answer is longer than {MAX_ANSWER_CHARACTERS} characters")
    members = parse_json_object(text, code=_CODE, what="the answer")
    if members.get("type") != "public-key":
        _malformed("the type of the answer is not public-key")
    credential_id = _bytes(members, "rawId", MAX_CREDENTIAL_ID_BYTES)
    if not credential_id or members.get("id") != members["rawId"]:
        _malformed("id and rawId of the answer are not the same")
    response = members.get("response")
    if not isinstance(response, dict):
        _malformed("the answer has no response")
    return members, response, credential_id


def _mapping(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an optional member; empty if it is absent."""
    value = members.get(name)
    return value if isinstance(value, dict) else {}


def _text(members: Mapping[str, Any], name: str, limit: int) -> str:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > limit:
        _malformed(f"{name} is not a text of at most {limit} characters")
    return value


def _bytes(members: Mapping[str, Any], name: str, limit: int) -> bytes:
    value = _text(members, name, limit * 4 // 3 + 4)
    data = parse_base64url(value, code=_CODE, what=name)
    if len(data) > limit:
        _malformed(f"{name} is longer than {limit} bytes")
    return data


def _malformed(detail: str) -> NoReturn:
    raise MalformedInput("webauthn-malformed", detail) from None
