"""The condition of our authority and of its rollover, for `doorward status`.

Not here: the other parts (condition).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from doorward.authority.inventory import list_authorities
from doorward.authority.rollover.progress import RolloverProgress
from doorward.authority.rollover.viewing import view_rollover
from doorward.authority.status.published_objects import find_faults
from doorward.authority.status.root_crl import root_list_end, unlisted_authorities
from doorward.authority.status.stored_crls import StoredCrls
from doorward.core.errors import IntegrityError
from doorward.runtime.compose import Installation
from doorward.runtime.condition_part import Part
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.records import AuthorityKind

SOON = timedelta(days=60)
EARLY = timedelta(days=365)
"""A device's certificate may last so long: an issuing authority that ends earlier makes it shorter."""

FINISHED_WITHIN = timedelta(minutes=10)
"""What follows the end of an authority's trust takes seconds, and minutes for a large fleet."""

_SUCCESSOR_HINTS = {
    AuthorityKind.ISSUING: "begin: doorward ca rotate prepare",
    AuthorityKind.ROOT: "begin: doorward ca rotate prepare --root",
}

_OUT_OF_DATE = {
    "crl-stale": "the revocation list is out of date: relying parties that need one refuse our certificates",
    "crl-delta-stale": "the delta of the revocation list is out of date: relying parties see no revocation since the list itself",
    "responder-expired": "the ocsp-responder certificate has expired: no OCSP answer is signed",
}

_ROOT_LIST_OVER = (
    "the root's revocation list is out of date: relying parties that ask for the status of the issuing "
    "authority refuse our certificates"
)
_ROOT_LIST_HINT = (
    "with the exported root key: doorward ca renew-root-list --exported root-key.pem; if the root is elsewhere: --signed LIST "
    "(if the key was never removed, `doorward serve` does it half a year before the end)"
)


def examine_authority(installation: Installation, now: datetime, crls: StoredCrls) -> Part:
    """Return the condition of the root, the issuing authorities, their lists and responders."""
    tenant = installation.tenant()
    current = [one for one in list_authorities(installation.services) if one.current]
    trouble: list[str] = []
    warnings: list[str] = []
    hints: list[str] = []
    for one in current:
        if one.kind is not AuthorityKind.OCSP_RESPONDER and one.not_after - now < SOON:
            trouble.append(f"the {one.kind.value} certificate ends {one.not_after:%Y-%m-%d}")
            hints.append(_SUCCESSOR_HINTS[one.kind])
        elif one.kind is AuthorityKind.ISSUING and one.not_after - now < EARLY:
            warnings.append(
                f"the issuing certificate ends {one.not_after:%Y-%m-%d}: certificates that would last longer end with it"
            )
            hints.append(_SUCCESSOR_HINTS[one.kind])
    for code in find_faults(installation.services, now):
        if code in _OUT_OF_DATE:  # a missing list is made within a second of the first start
            trouble.append(_OUT_OF_DATE[code])
            hints.append("`doorward serve` renews it by itself: check that it runs, and read its log")
    try:
        crls.check(installation.services)
    except IntegrityError as error:
        trouble.append(f"{error.detail} ({error.code})")
        hints.append(error.hint)
    ends = root_list_end(installation.services)
    if ends is None:
        warnings.append(
            "the root has no revocation list: relying parties that ask for one refuse certificates"
        )
        hints.append("doorward ca renew-root-list --signed LIST, with a list that the root has signed")
    elif ends - now < SOON:
        trouble.append(_ROOT_LIST_OVER if ends <= now else f"the root's revocation list ends {ends:%Y-%m-%d}")
        hints.append(_ROOT_LIST_HINT)
    unlisted = unlisted_authorities(installation.services)
    if unlisted:
        trouble.append(
            f"the root's revocation list does not name every retired issuing authority ({len(unlisted)} missing): "
            "programs that trust the root go on accepting the missing ones"
        )
        hints.append(_ROOT_LIST_HINT)
    return Part(
        name="authority",
        text=f"{tenant.trust_domain}, status at {tenant.status_url}",
        trouble=tuple(trouble),
        warnings=tuple(warnings),
        hints=tuple(hints),
        facts={"trust_domain": tenant.trust_domain},
    )


def examine_rollover(installation: Installation, now: datetime) -> list[Part]:
    """Return a part while a rollover goes on: where it stands, what is missing, and what to do next."""
    view = view_rollover(installation.services)
    rollover, progress = view.rollover, view.progress
    if rollover is None or progress is None:
        return []
    trouble, warnings = [], []
    if rollover.state in (RolloverState.RETIRING, RolloverState.WITHDRAWING):
        if now - rollover.moved_at > FINISHED_WITHIN:
            trouble.append(
                f"the last list of the authority is not signed since {rollover.moved_at:%Y-%m-%d %H:%M}Z"
            )
    elif _is_late(rollover, progress, now):
        warnings.append(f"{len(progress.missing)} certificates should be issued again by now, and are not")
    return [
        Part(
            name="rollover",
            text=f"{rollover.state.value}: {view.meaning}{_measure(rollover, progress)}",
            trouble=tuple(trouble),
            warnings=tuple(warnings),
            hints=(view.next_step,),
            facts={
                "state": rollover.state.value,
                "replaced": len(progress.replaced),
                "total": progress.total,
                "percent": progress.percent,
                "in_use": view.use.in_use if view.use is not None else 0,
                "old": rollover.old_id,
                "new": rollover.new_id,
            },
        )
    ]


def _is_late(rollover: RolloverRecord, progress: RolloverProgress, now: datetime) -> bool:
    """Return whether the window is over, with half of it to spare, and certificates are missing."""
    draining = rollover.state in (RolloverState.DRAINING, RolloverState.REVERTING)
    return draining and bool(progress.missing) and now > rollover.moved_at + 1.5 * rollover.window


def _measure(rollover: RolloverRecord, progress: RolloverProgress) -> str:
    if rollover.state not in (RolloverState.DRAINING, RolloverState.REVERTING):
        return ""
    return f"; {len(progress.replaced)} of {progress.total} replaced ({progress.percent} %)"
