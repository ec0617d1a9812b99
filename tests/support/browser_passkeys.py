"""Passkeys that both sides have: the directory of a door, and the virtual authenticator of Chromium.

For walks that begin with a person who has one; making one in the browser is a walk of its own.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from doorward.directory.principals import find_principal
from doorward.factors.webauthn import (
    RelyingParty,
)
from doorward.stores.factor_records import FactorRecord
from tests.support.browser import Authenticator
from tests.support.doorway import Doorway
from tests.support.passkeys import SoftAuthenticator, enrol_passkey


def portal_party(door: Doorway) -> RelyingParty:
    """Return the portal of a door as WebAuthn names it."""
    origin = door.installation.portal_origin()
    return RelyingParty(id=door.installation.portal_host(), origin=origin, name="Doorward")


def give_passkey(door: Doorway, name: str, authenticator: Authenticator) -> FactorRecord:
    """Enrol a passkey for a person, and put it into the authenticator."""
    party, principal = portal_party(door), find_principal(door.services, name)
    soft = SoftAuthenticator(origin=party.origin)
    record = enrol_passkey(door.services, principal, party, soft)
    (made,) = soft.keys
    secret = made.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    credential = {
        "credentialId": _base64(made.credential_id),
        "isResidentCredential": True,
        "rpId": party.id,
        "privateKey": _base64(secret),
        "userHandle": _base64(principal.id.encode()),
        "signCount": record.counter + 1,
    }
    authenticator.session.send(
        "WebAuthn.addCredential", {"authenticatorId": authenticator.id, "credential": credential}
    )
    return record


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
