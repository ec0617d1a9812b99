"""Retiring an authority: its trust ends at once, then its last CRLs are signed and its key is destroyed.

The steps, each safe to repeat; a crash in between leaves the rollover RETIRING (or WITHDRAWING), and `doorward serve` goes on:
1. one transaction takes the trust away: no door trusts the authority, and live connections of its certificates end;
2. every certificate of it that has not ended is revoked: as superseded if it has a successor, otherwise as a cessation of
   operation, some in each transaction. So relying parties that trust the root refuse them too;
3. the last CRLs are signed, valid until the authority's own end, because none can be signed later;
4. the keys of the authority and of its responders are destroyed. Copies in backups remain. If the rollover replaces the root
   too, the root that leaves gets its last CRL, and its key is destroyed (root_leaving);
5. the rollover is over.
Before step 2, the root's CRL lists the authority if the root's key is here. If the root's key is offline, the next step
for people is to sign that list (`root_crl.unlisted_authorities`); the rollover does not wait for it.
If the key is not there in step 3 (a backup of the database was restored after step 4), the CRLs of the database stay.

Not here: which certificates have a successor (progress), how a door loses its trust (gateway).
Standard: RFC 5280 sections 3.3, 5.1.2.5 and 5.3.1.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from doorward.authority.revocation import revoke_within
from doorward.authority.rollover.moving import (
    check_guards,
    make_step,
    require_rollover,
)
from doorward.authority.rollover.progress import leaving_id, measure_progress
from doorward.authority.rollover.root_leaving import leave_root
from doorward.authority.rollover.table import RolloverStep
from doorward.authority.rollover.use import measure_use, warn_of_unseen
from doorward.authority.status.crls import publish_crls
from doorward.authority.status.ocsp_responses import signer_if_any
from doorward.authority.status.partitions import FULL
from doorward.authority.status.root_crl import renew_root_list
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.authority_protocols import (
    FINAL_STATES,
    CertificateLine,
    RolloverRecord,
    RolloverState,
)
from doorward.stores.change_result import ChangeResult
from doorward.stores.prerequisites import require_authority, require_keys
from doorward.stores.protocols import Stores
from doorward.stores.records import AuthorityKind, AuthorityRecord, CrlRecord
from doorward.stores.services import Services

REVOKED_TOGETHER = 100
"""Certificates that are revoked in one transaction: some ten milliseconds, which other changes wait for."""

LEAVING = frozenset({RolloverState.RETIRING, RolloverState.WITHDRAWING})
_USABLE = frozenset({CertificateState.VALID, CertificateState.ON_HOLD})


def retire(
    services: Services,
    *,
    actor: str,
    abandon_missing: bool = False,
    ignore_away: bool = False,
    compromised: bool = False,
) -> ChangeResult[RolloverRecord]:
    """Take the trust from the old authority; `finish_leaving` does the rest.

    Args:
        services: the ports of this process, with keys.
        actor: who acts.
        abandon_missing: also if certificates of it have no successor: their holders are refused from now on.
        ignore_away: do not wait for gateways that do not report.
        compromised: the key of the old authority may be known to somebody, and the root's CRL says so.

    Raises:
        NotFound: `not-founded`, `rollover-none`.
        RequestRefused: `rollover-step-refused`, `rollover-moved`, `rollover-incomplete`, `rollover-unconfirmed`,
            `rollover-key-missing`, `rollover-status-missing`.
        Unavailable: `keys-unavailable`.
    """
    rollover = require_rollover(services)
    if rollover.state is RolloverState.RETIRING:
        return ChangeResult(
            value=rollover, seq=rollover.seq, notes=("the old authority is trusted no more already",)
        )
    missing = check_guards(
        services, rollover, RolloverStep.RETIRE, abandon_missing=abandon_missing, ignore_away=ignore_away
    )
    use = measure_use(services, measure_progress(services, rollover))
    done = make_step(
        services, rollover, RolloverStep.RETIRE, actor=actor, missing=missing, compromised=compromised
    )
    return replace(done, notes=warn_of_unseen(use))


def finish_leaving(services: Services, *, actor: str) -> RolloverRecord | None:
    """Do steps 2 to 5 for an authority that is trusted no more; None if there is none.

    The command and `doorward serve` may do it at the same time: the one that comes second finds everything done.

    Raises:
        Unavailable: `keys-unavailable`, or the database cannot be written; the same call goes on later.
    """
    with services.work.read() as stores:
        rollover = stores.rollovers.open()
        if rollover is None or rollover.state not in LEAVING:
            return None
        authority = stores.authorities.get(leaving_id(rollover)) if rollover.new_id else None
    if authority is not None:
        _list_in_root_crl(services, actor=actor)
        _revoke_all(services, rollover, authority, actor=actor)
        _sign_last_crls(services, authority)
    root_key = ""
    with suppress(NotFound):  # another process has signed the root's last list, and destroyed its key
        root_key = leave_root(services, authority, actor=actor) if authority is not None else ""
    _destroy_keys(services, rollover, authority, root_key)
    try:
        return make_step(services, rollover, RolloverStep.FINISH, actor=actor).value
    except RequestRefused as refusal:
        finished = _find_finished(services, rollover.id)
        if refusal.code != "rollover-moved" or finished is None:
            raise
        return finished


def _find_finished(services: Services, rollover_id: str) -> RolloverRecord | None:
    with services.work.read() as stores:
        found = (one for one in stores.rollovers.list() if one.id == rollover_id)
        return next((one for one in found if one.state in FINAL_STATES), None)


def _list_in_root_crl(services: Services, *, actor: str) -> None:
    with services.work.read() as stores:
        root = require_authority(stores, AuthorityKind.ROOT)  # of a root that leaves, see root_leaving
    if root.key_name in require_keys(services).names():
        renew_root_list(services, actor=actor)


def _revoke_all(
    services: Services, rollover: RolloverRecord, authority: AuthorityRecord, *, actor: str
) -> None:
    """Step 2."""
    replaced = measure_progress(services, rollover).replaced
    after, now = "", services.clock.now()
    while True:
        with services.work.read() as stores:
            page = stores.authorities.unended(now, after, REVOKED_TOGETHER)
        if not page:
            return
        after = page[-1].id
        theirs = [one for one in page if one.authority_id == authority.id and one.state in _USABLE]
        if theirs:
            with services.work.change() as stores:
                for one in theirs:
                    _revoke(services, stores, one, replaced=one.id in replaced, actor=actor)


def _revoke(services: Services, stores: Stores, one: CertificateLine, *, replaced: bool, actor: str) -> None:
    record = stores.certificates.get(one.id)
    if record is None or record.state not in _USABLE:
        return  # revoked since the page was read
    # A server certificate has no principal: the gateways have reported that they serve others.
    superseded = replaced or not one.principal_id
    reason = RevocationReason.SUPERSEDED if superseded else RevocationReason.CESSATION_OF_OPERATION
    signer, now = signer_if_any(services, stores), services.clock.now()
    revoke_within(services, stores, signer, one.id, reason, actor=actor, now=now)


def _sign_last_crls(services: Services, authority: AuthorityRecord) -> None:
    """Step 3; until the newest CRLs are the last ones, because `serve` may have signed one meanwhile."""
    if (
        authority.key_name not in require_keys(services).names()
        or authority.not_after <= services.clock.now()
    ):
        return
    while True:
        with services.work.read() as stores:
            heads = {one.partition: one for one in stores.status.crl_heads(authority.id)}
        due = [one for one in {FULL, *heads} if not _is_last(heads.get(one), authority)]
        if not due:
            return
        try:
            publish_crls(services, due, authority.id, next_update=authority.not_after)
        except NotFound:  # another process has signed the last ones, and destroyed the key
            return


def _is_last(crl: CrlRecord | None, authority: AuthorityRecord) -> bool:
    # A CRL that ends later was signed before the retirement, on the authority's last day. It does not list what was revoked then.
    return crl is not None and crl.next_update == authority.not_after


def _destroy_keys(
    services: Services, rollover: RolloverRecord, authority: AuthorityRecord | None, root_key: str
) -> None:
    """Step 4."""
    keys = require_keys(services)
    with services.work.read() as stores:
        theirs = {
            one.key_name
            for one in stores.authorities.list()
            if authority is not None and authority.id in (one.id, one.issuer_id)
        }
    if authority is None:
        theirs = {rollover.key_name}
    if root_key:
        theirs.add(root_key)
    for name in theirs & set(keys.names()):
        with suppress(NotFound):  # another process was faster
            keys.remove(name)
