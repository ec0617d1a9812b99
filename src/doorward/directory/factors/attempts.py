"""Counting tries in the store: before the factor is judged; a good try is taken back.

    ask_admission    read only: refuses most tries of a flood without a write
    begin_attempt    in one transaction, admit a try and count it for account, address and total
    end_attempt      in the transaction of a good result, clear the account's count

The rules are in `factors.throttling`. A try that could not be judged (`too-busy`) is taken back as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from doorward.core.entities import TENANT
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.factors.throttling import (
    ADDRESS,
    LOCKED_AFTER,
    TOTAL,
    TOTAL_KEY,
    AttemptAdmission,
    AttemptCount,
    account_key,
    add_to_bucket,
    address_key,
    admit,
    count_attempt,
    take_back,
    wait_after,
)
from doorward.stores.factor_records import ThrottleRecord
from doorward.stores.protocols import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptKeys:
    """The keys under which a try is counted; `account` is empty if the person is not known."""

    account: str
    address: str
    kind: FactorKind


def keys_of(caller: Caller, kind: FactorKind) -> AttemptKeys:
    """Return the keys of a try of this caller."""
    return AttemptKeys(
        account=account_key(caller.principal_id, caller.certificate_sha256, kind),
        address=address_key(caller.source),
        kind=kind,
    )


def ask_admission(stores: Stores, keys: AttemptKeys, now: datetime) -> AttemptAdmission:
    """Judge whether a try would be admitted, without counting it: refused tries of a flood need no write transaction."""
    account, address, total = _load(stores, keys)
    return admit(account=account, address=address, total=total, kind=keys.kind, now=now)


def begin_attempt(stores: Stores, keys: AttemptKeys, now: datetime) -> AttemptAdmission:
    """Admit a try and count it, in a write transaction; a try that is not admitted is not counted."""
    account, address, total = _load(stores, keys)
    admission = admit(account=account, address=address, total=total, kind=keys.kind, now=now)
    if admission.taken:
        _save(stores, keys.account, count_attempt(account, now), now)
        _save(stores, keys.address, add_to_bucket(address, ADDRESS, now), now)
        _save(stores, TOTAL_KEY, add_to_bucket(total, TOTAL, now), now)
    return admission


def end_attempt(stores: Stores, keys: AttemptKeys, now: datetime) -> None:
    """Take back a good try: the account's count is cleared, and the other counts lose this try."""
    _, address, total = _load(stores, keys)
    stores.throttles.forget(keys.account)
    _put_back(stores, keys.address, address, now)
    _put_back(stores, TOTAL_KEY, total, now)


def undo_attempt(stores: Stores, keys: AttemptKeys, now: datetime) -> None:
    """Take back a try that was not judged."""
    account, address, total = _load(stores, keys)
    _put_back(stores, keys.account, account, now)
    _put_back(stores, keys.address, address, now)
    _put_back(stores, TOTAL_KEY, total, now)


def clear_account(stores: Stores, principal_id: str, certificate_sha256: str) -> None:
    """Remove all counts of a person with one certificate."""
    for kind in FactorKind:
        stores.throttles.forget(account_key(principal_id, certificate_sha256, kind))


def _load(
    stores: Stores, keys: AttemptKeys
) -> tuple[AttemptCount | None, AttemptCount | None, AttemptCount | None]:
    found = stores.throttles.get((keys.account, keys.address, TOTAL_KEY))
    account, address, total = (
        AttemptCount(tries=found[key].failures, last_at=found[key].last_at) if key in found else None
        for key in (keys.account, keys.address, TOTAL_KEY)
    )
    return account, address, total


def _save(stores: Stores, key: str, count: AttemptCount, now: datetime) -> None:
    """Store a count; `blocked_until` is only for people who read the table."""
    wait = wait_after(count.tries) if key.startswith("account:") and count.tries < LOCKED_AFTER else None
    stores.throttles.save(
        ThrottleRecord(
            key=key,
            tenant=TENANT,
            failures=count.tries,
            last_at=count.last_at,
            blocked_until=now + wait if wait else None,
        )
    )


def _put_back(stores: Stores, key: str, count: AttemptCount | None, now: datetime) -> None:
    left = take_back(count)
    if left is None:
        stores.throttles.forget(key)
    else:
        _save(stores, key, left, now)
