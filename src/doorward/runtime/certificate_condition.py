"""The condition of certificates, for `doorward status`: how long new ones last, which end, and what is told about it."""

from __future__ import annotations

from datetime import timedelta

from doorward.core.lifetimes import SHORT_LIFE
from doorward.core.time_text import describe_time
from doorward.directory.endings import ENDED_LATELY, summarise_endings
from doorward.directory.endings import SOON as SOON_TO_END
from doorward.runtime.compose import Installation
from doorward.runtime.condition_part import Part
from doorward.stores.notice_protocols import NoticeOutcome

_LATELY = timedelta(days=1)


def examine_lifetimes(installation: Installation) -> Part:
    """How long new certificates last; a short life has no revocation information (RFC 9608)."""
    lifetimes = installation.settings.lifetimes
    texts = [
        f"{name} {describe_time(life)}{', without revocation information' if life <= SHORT_LIFE else ''}"
        for name, life in lifetimes.items()
    ]
    seconds = {name: int(life.total_seconds()) for name, life in lifetimes.items()}
    return Part(name="lifetimes", text="; ".join(texts), facts={"lifetimes_seconds": seconds})


def examine_endings(installation: Installation) -> list[Part]:
    """Return a part if certificates end soon or ended lately, and were not renewed."""
    found = summarise_endings(installation.services)
    if not (found.soon or found.ended):
        return []
    warnings, hints = [], ["list them: doorward cert list --ending 14d"]
    if found.first is not None:
        which = f"{found.first.subject_name} ({found.first.id}), {found.first.not_after:%Y-%m-%d %H:%M}Z"
        verb = "certificates end" if found.soon != 1 else "certificate ends"
        warnings.append(
            f"{found.soon} {verb} within {SOON_TO_END.days} days without a renewal; the first: {which}"
        )
    if found.ended:
        verb = "certificates" if found.ended != 1 else "certificate"
        warnings.append(f"{found.ended} {verb} ended in the last {ENDED_LATELY.days} days without a renewal")
    return [
        Part(
            name="renewals",
            text=f"{found.soon} to renew, {found.ended} ended",
            warnings=tuple(warnings),
            hints=tuple(hints),
            facts={"ending": found.soon, "ended": found.ended, "first": found.first and found.first.id},
        )
    ]


def examine_notices(installation: Installation) -> list[Part]:
    """Return a part if notices wait that could not be sent, or were given up lately."""
    with installation.services.work.read() as stores:
        waiting, failing = stores.notices.counts()
        last = [one for one in stores.notices.list(outcome=NoticeOutcome.WAITING) if one.problem]
        given_up = stores.notices.list(outcome=NoticeOutcome.GIVEN_UP, limit=1)
    lately = installation.services.clock.now() - _LATELY
    told = [one for one in given_up if one.done_at is not None and one.done_at > lately]
    if not (failing or told):
        return []
    trouble = [f"{failing} could not be sent: {last[0].problem}"] if failing and last else []
    warnings = [f"a notice was given up: {one.problem}" for one in told]
    return [
        Part(
            name="notices",
            text=f"{waiting} wait to be sent",
            trouble=tuple(trouble),
            warnings=tuple(warnings),
            hints=("try it: doorward notices test --to ADDRESS; list them: doorward notices list",),
            facts={"waiting": waiting, "failing": failing},
        )
    ]
