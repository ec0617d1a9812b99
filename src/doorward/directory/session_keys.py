"""The keys that sign sessions at applications: made, rotated without a sign-out, and removed.

    announced  is published for verification and signs nothing during `LEAD`, so that gateways and applications know it first
    signing    the newest key that is older than `LEAD`; the very first key signs at once
    retired    is still published for `LONGEST_SESSION`, until the last session that it signed has ended
    removed

The private key is stored sealed in the database, so that every process with the key store signs with the same key.
Not here: what a session's token says (`directory.sessions`), and the gateways' own keys for assertions.
Standard: RFC 7517 (JWK), RFC 7638 (the `kid` is the thumbprint), RFC 7518 section 3.4 (ES256).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from doorward.audit.events import EventType
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError
from doorward.core.ports import KeyKind
from doorward.directory.sealing import open_sealed, seal
from doorward.stores.change_result import ChangeResult
from doorward.stores.events import new_event
from doorward.stores.factor_records import LONGEST_SESSION, SessionKeyRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services
from doorward.wire.jose import render_jwk, thumbprint

LEAD = timedelta(minutes=1)
"""The time between announcing a key and signing with it; a gateway that is further behind admits no connection."""

SYSTEM = "system"


def current_session_key(services: Services) -> tuple[str, EllipticCurvePrivateKey]:
    """Return the `kid` of the key that signs now, and the key; make the first key if there is none.

    Raises:
        Unavailable: `keys-locked`: this process has no key store.
        IntegrityError: `secret-unreadable`: the key store does not belong to this database.
    """
    with services.work.read() as stores:
        signing = _signing(stores.session_keys.list(), services.clock.now())
    if signing is None:
        _begin(services)
        with services.work.read() as stores:
            signing = _signing(stores.session_keys.list(), services.clock.now())
    if signing is None:
        raise IntegrityError("session-key-missing", "a session key was made and is not in the database")
    key = load_der_private_key(
        open_sealed(services, signing.sealed, context=_context(signing.id)), password=None
    )
    if not isinstance(key, EllipticCurvePrivateKey):
        raise IntegrityError("session-key-foreign", f"the session key {signing.id} is not a key of ES256")
    return signing.id, key


def rotate_session_key(services: Services, *, actor: str, reason: str = "") -> ChangeResult[str]:
    """Announce a new key, which signs after `LEAD`; sessions signed by earlier keys stay valid.

    Returns:
        The `kid` of the new key.

    Raises:
        Unavailable: `keys-locked`.
    """
    record = _make(services)
    with services.work.change() as stores:
        seq = _add(services, stores, record, actor=actor, reason=reason)
    return ChangeResult(value=record.id, seq=seq)


def maintain_session_keys(services: Services, lifetime: timedelta) -> bool:
    """Do the maintenance that is due: make the first key, announce the next, retire and remove old keys.

    Args:
        services: with keys.
        lifetime: how long a key signs before the next one is announced.

    Returns:
        Whether anything changed.

    Raises:
        Unavailable: `keys-locked`.
    """
    now = services.clock.now()
    with services.work.read() as stores:
        keys = stores.session_keys.list()
    if not keys:
        current_session_key(services)
        return True
    rotated = now - keys[0].created_at >= lifetime
    if rotated:
        rotate_session_key(services, actor=SYSTEM, reason="due")
    return _retire(services, keys, now) or rotated


def _signing(keys: Sequence[SessionKeyRecord], now: datetime) -> SessionKeyRecord | None:
    """Return the newest key that was announced at least `LEAD` ago; otherwise the oldest. `keys` are newest first."""
    open_keys = [one for one in keys if one.retired_at is None]
    announced = (one for one in open_keys if one.created_at + LEAD <= now)
    return next(announced, open_keys[-1] if open_keys else None)


def _retire(services: Services, keys: Sequence[SessionKeyRecord], now: datetime) -> bool:
    """Retire keys that no longer sign, and remove retired keys without open sessions; return whether there were any."""
    signing = _signing(keys, now)
    past = [
        one
        for one in keys
        if one.retired_at is None and signing is not None and one.created_at < signing.created_at
    ]
    over = [one for one in keys if one.retired_at is not None and one.retired_at + LONGEST_SESSION < now]
    if not past and not over:
        return False
    with services.work.change() as stores:
        for one in past:
            stores.session_keys.retire(one.id, now)
        for one in over:
            stores.session_keys.remove(one.id)
            stores.changes.note(ChangeKind.SESSION_KEY, one.id, now)
    return True


def _begin(services: Services) -> None:
    """Add the first key, unless another thread or process has added it."""
    record = _make(services)
    with services.work.change() as stores:
        if _signing(stores.session_keys.list(), record.created_at) is None:
            _add(services, stores, record, actor=SYSTEM, reason="first")


def _make(services: Services) -> SessionKeyRecord:
    key = services.factory.generate(KeyKind.P256)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("a session key is of P-256")
    kid = thumbprint(key.public_key())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SessionKeyRecord(
        id=kid,
        tenant=TENANT,
        public_jwk=json.dumps(render_jwk(key.public_key())),
        sealed=seal(services, der, context=_context(kid)),
        created_at=services.clock.now(),
    )


def _add(services: Services, stores: Stores, record: SessionKeyRecord, *, actor: str, reason: str) -> int:
    stores.session_keys.add(record)
    event = new_event(
        services,
        EventType.SESSION_KEY_ROTATED,
        actor=actor,
        at=record.created_at,
        data={"session_key": record.id, "reason": reason},
    )
    stores.outbox.add(event)
    return stores.changes.note(ChangeKind.SESSION_KEY, record.id, record.created_at)


def _context(kid: str) -> str:
    return f"session-key:{kid}"
