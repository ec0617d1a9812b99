"""Passkeys that both sides have: the directory of a door, and the virtual authenticator of Chromium.

For walks that begin with a person who has one; making one in the browser is a walk of its own.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.directory.principals import find_principal
from doorward.factors.webauthn import (
    RelyingParty,
    build_registration_options,
    check_registration,
    parse_registration,
    render_passkey,
)
from doorward.stores.factor_records import FactorRecord
from doorward.wire.base64url import render_base64url
from tests.support.browser import Authenticator
from tests.support.doorway import Doorway
from tests.support.passkeys import SoftAuthenticator

_CHALLENGE = b"c" * 32


def portal_party(door: Doorway) -> RelyingParty:
    """Return the portal of a door as WebAuthn names it."""
    origin = door.installation.portal_origin()
    return RelyingParty(id=door.installation.portal_host(), origin=origin, name="Doorward")


def give_passkey(door: Doorway, name: str, authenticator: Authenticator) -> FactorRecord:
    """Enrol a passkey for a person, and put it into the authenticator."""
    party, principal = portal_party(door), find_principal(door.services, name).id
    soft = SoftAuthenticator(origin=party.origin)
    asked = build_registration_options(
        party, user_handle=principal.encode(), user_name=name, display_name="", challenge=_CHALLENGE
    )
    passkey, counter = check_registration(parse_registration(soft.create(asked)), party, _CHALLENGE).require()
    record = FactorRecord(
        id=door.services.new_id("fct"),
        tenant=TENANT,
        principal_id=principal,
        kind=FactorKind.WEBAUTHN,
        name="key",
        secret=render_passkey(passkey),
        credential_id=render_base64url(passkey.credential_id),
        counter=counter,
        rp_id=party.id,
        created_at=door.services.clock.now(),
    )
    with door.services.work.change() as stores:
        stores.factors.add(record)
    (made,) = soft.keys
    secret = made.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    credential = {
        "credentialId": _base64(passkey.credential_id),
        "isResidentCredential": True,
        "rpId": party.id,
        "privateKey": _base64(secret),
        "userHandle": _base64(principal.encode()),
        "signCount": counter + 1,
    }
    authenticator.session.send(
        "WebAuthn.addCredential", {"authenticatorId": authenticator.id, "credential": credential}
    )
    return record


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
