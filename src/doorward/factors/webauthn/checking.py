"""The checks of a WebAuthn registration and of an authentication.

Every check is made and every fault is returned: the event has all faults, and the time taken reveals none.

Not here: the lifetime of a challenge (one use, five minutes) and the stored passkeys (directory).
Not checked: attestation: we ask for none, so the model of an authenticator is not known, and statements are refused.
Standard: WebAuthn Level 3, sections 7.1 and 7.2.
"""

from __future__ import annotations

import hashlib
import hmac

from fido2.webauthn import AuthenticatorData

from doorward.factors.verdict import FactorFault, FactorVerdict, judge
from doorward.factors.webauthn.answers import (
    Authenticated,
    AuthenticationAnswer,
    ClientData,
    RegistrationAnswer,
)
from doorward.factors.webauthn.keys import Passkey, attested, is_allowed_key, verifies
from doorward.factors.webauthn.options import RelyingParty

_FLAG = AuthenticatorData.FLAG


def check_registration(
    answer: RegistrationAnswer, party: RelyingParty, challenge: bytes
) -> FactorVerdict[tuple[Passkey, int]]:
    """Check a new passkey.

    1. The call: `webauthn.create`, our challenge, exactly our origin, top level; 2. the authenticator: exactly our RP ID,
    user present and verified, consistent backup flags; 3. attestation `none` with an empty statement; 4. a new key of an
    allowed kind with the id of the answer; 5. it is resident, as far as the browser reports it.

    Returns:
        The passkey to store, and its first signature counter.

    Standard: WebAuthn Level 3, section 7.1, steps 7 to 24.
    """
    data = answer.authenticated.data
    # 1. and 2. the call and the authenticator
    faults = _check_call(answer.client_data, "webauthn.create", party, challenge)
    faults += _check_authenticator(answer.authenticated, party)
    # 3. attestation
    if answer.attestation_format != "none" or answer.has_statement:
        faults.append(FactorFault.ATTESTATION)
    # 4. the key
    credential = data.credential_data
    if credential is None or not is_allowed_key(credential.public_key):
        faults.append(FactorFault.KEY)
    if credential is None or credential.credential_id != answer.credential_id:
        faults.append(FactorFault.CREDENTIAL)
    # 5. resident
    if answer.resident is False:
        faults.append(FactorFault.NOT_RESIDENT)
    passkey = Passkey(
        credential_id=answer.credential_id,
        data=bytes(credential or b""),
        backup_eligible=bool(data.flags & _FLAG.BE),
    )
    return judge(faults, (passkey, data.counter))


def check_authentication(
    answer: AuthenticationAnswer,
    party: RelyingParty,
    challenge: bytes,
    *,
    passkey: Passkey,
    counter: int,
    user_handle: bytes,
) -> FactorVerdict[int]:
    """Check the use of a passkey.

    1. The answer belongs to this passkey and, if it has a user handle, to this person; 2. the call: `webauthn.get`, our
    challenge, exactly our origin, top level; 3. the authenticator: exactly our RP ID, user present and verified, unchanged
    backup flags; 4. the signature; 5. the counter is larger than the last one, unless both are 0.

    Args:
        answer: the parsed answer.
        party: the portal.
        challenge: the challenge of this ceremony.
        passkey: as stored.
        counter: the last counter.
        user_handle: of the person who owns the passkey.

    Returns:
        The new signature counter.

    Standard: WebAuthn Level 3, section 7.2, steps 5 to 25.
    """
    data = answer.authenticated.data
    faults = []
    # 1. the passkey and its person
    if not hmac.compare_digest(answer.credential_id, passkey.credential_id):
        faults.append(FactorFault.CREDENTIAL)
    if answer.user_handle and not hmac.compare_digest(answer.user_handle, user_handle):
        faults.append(FactorFault.USER)
    # 2. and 3. the call and the authenticator
    faults += _check_call(answer.client_data, "webauthn.get", party, challenge)
    faults += _check_authenticator(answer.authenticated, party)
    if bool(data.flags & _FLAG.BE) != passkey.backup_eligible and FactorFault.BACKUP_STATE not in faults:
        faults.append(FactorFault.BACKUP_STATE)
    # 4. the signature
    signed = answer.authenticated.raw + hashlib.sha256(answer.client_data.raw).digest()
    if not verifies(attested(passkey.data).public_key, signed, answer.signature):
        faults.append(FactorFault.SIGNATURE)
    # 5. the counter
    if (data.counter or counter) and data.counter <= counter:
        faults.append(FactorFault.COUNTER)
    return judge(faults, data.counter)


def _check_call(call: ClientData, kind: str, party: RelyingParty, challenge: bytes) -> list[FactorFault]:
    """Return the faults of the client data."""
    faults = []
    if call.type != kind:
        faults.append(FactorFault.TYPE)
    if not hmac.compare_digest(call.challenge, challenge):
        faults.append(FactorFault.CHALLENGE)
    if call.origin != party.origin:
        faults.append(FactorFault.ORIGIN)
    if call.cross_origin:
        faults.append(FactorFault.NOT_TOP_LEVEL)
    return faults


def _check_authenticator(answer: Authenticated, party: RelyingParty) -> list[FactorFault]:
    """Return the faults of the authenticator data."""
    faults = []
    flags = answer.data.flags
    if not hmac.compare_digest(answer.data.rp_id_hash, hashlib.sha256(party.id.encode("ascii")).digest()):
        faults.append(FactorFault.RELYING_PARTY)
    if not flags & _FLAG.UP:
        faults.append(FactorFault.NOT_PRESENT)
    if not flags & _FLAG.UV:
        faults.append(FactorFault.NOT_VERIFIED)
    if flags & _FLAG.BS and not flags & _FLAG.BE:
        faults.append(FactorFault.BACKUP_STATE)
    return faults
