"""The condition of an installation, part by part, for `doorward status`.

Each part says what it is, what is wrong, and what to do. Nothing is changed here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from doorward.authority.acme.reporting import list_troubles
from doorward.authority.gateways import confirmations
from doorward.authority.inventory import certificate_counts
from doorward.authority.status.stored_crls import StoredCrls
from doorward.partners.evidence import EvidenceHealth, list_evidence_health
from doorward.partners.trust import find_unread
from doorward.runtime import lazy
from doorward.runtime.authority_condition import examine_authority, examine_rollover
from doorward.runtime.certificate_condition import examine_endings, examine_lifetimes, examine_notices
from doorward.runtime.clock_difference import describe_difference, find_clock_difference, is_too_large
from doorward.runtime.compose import Installation
from doorward.runtime.condition_part import Part
from doorward.runtime.portal_trust import MEND, TROUBLE, is_trust_missing_in_force
from doorward.runtime.role_condition import examine_gateways, examine_serve, report_of
from doorward.stores.fleet_records import EnrolmentState

LEAST_FREE_BYTES = 512 * 1024 * 1024
MOST_WAITING = 10_000
MOST_NAMED = 5

_ONLY_WITHDRAWALS = (
    "the remaining space is reserved for withdrawals; new connections are refused, requests are only counted"
)


def examine(installation: Installation, now: datetime, crls: StoredCrls | None = None) -> list[Part]:
    """Return the condition of every part.

    Args:
        installation: the installation.
        now: aware, UTC.
        crls: which CRLs were found whole by an earlier look; None checks all.

    Raises:
        Unavailable: `not-initialised`.
    """
    return [
        examine_authority(installation, now, crls or StoredCrls()),
        *examine_rollover(installation, now),
        _inventory(installation),
        examine_lifetimes(installation),
        *examine_endings(installation),
        *_devices(installation),
        *examine_notices(installation),
        _evidence(installation),
        *(describe_partner(one) for one in list_evidence_health(installation.services, now)),
        *_unread(installation),
        *_keys(installation),
        examine_serve(installation),
        *examine_gateways(installation),
        *_portal(installation),
        *_clones(installation),
        *_silent(installation),
        *_acme(installation),
        *_database(installation),
        _disk(installation),
    ]


def _inventory(installation: Installation) -> Part:
    counts = dict(certificate_counts(installation.services))
    # A state does not end with the certificate: "valid" would count those that have ended as well.
    words = {"valid": "not revoked", "on-hold": "on hold"}
    shown = ", ".join(f"{count} {words.get(state, state)}" for state, count in counts.items() if count)
    text = f"{sum(counts.values())} certificates issued: {shown}" if shown else "no certificates yet"
    return Part(name="inventory", text=text, facts={"certificates": counts})


def _devices(installation: Installation) -> Iterator[Part]:
    """Devices with a factory certificate that wait for an operator; nothing if no manufacturer is known."""
    with installation.services.work.read() as stores:
        counts = stores.device_enrolments.count()
        full = [
            one.name
            for one in stores.manufacturers.list()
            if stores.device_enrolments.count_in(one.id, EnrolmentState.PENDING) >= one.most_pending
        ]
        if not counts and not stores.manufacturers.list():
            return
    pending, twice = counts.get(EnrolmentState.PENDING, 0), counts.get(EnrolmentState.DUPLICATE, 0)
    warnings = []
    if twice:
        warnings.append(
            f"{twice} came again with another key: a device after a factory reset, or a clone of one"
        )
    warnings += [f"no further device of {one} can register: too many wait" for one in full]
    yield Part(
        name="devices",
        text=f"{pending + twice} wait for an operator, {counts.get(EnrolmentState.ENROLLED, 0)} registered themselves",
        warnings=tuple(warnings),
        hints=("`doorward device pending` shows them",) if pending or twice else (),
        facts={"pending": pending, "duplicate": twice, "full": full},
    )


def _evidence(installation: Installation) -> Part:
    with installation.event_log.read() as store:
        size, waiting = store.tree_size(), store.waiting()
    trouble = (f"{waiting} events wait to be sequenced",) if waiting > MOST_WAITING else ()
    return Part(
        name="evidence",
        text=f"{size} events in the log, {waiting} waiting",
        trouble=trouble,
        hints=("is `doorward serve` running?",) if trouble else (),
        facts={"events": size, "waiting": waiting},
    )


def _unread(installation: Installation) -> Iterator[Part]:
    """Partners' authorities that cannot be read any more; the others of the same partner vouch as ever."""
    with installation.services.work.read() as stores:
        found = {one.name: find_unread(stores.partners.authorities(one.id)) for one in stores.partners.list()}
    for name, unread in found.items():
        if unread:
            text = f"{name}: {len(unread)} of its authorities cannot be read, and vouch no more"
            yield Part(
                name="partner",
                text=text,
                trouble=tuple(f"cannot be read: {one}" for one in unread),
                hints=(f"`doorward ca show {name}` names them; import the partner again without them",),
                facts={"partner": name, "unread": list(unread)},
            )


def describe_partner(told: EvidenceHealth) -> Part:
    """The evidence of one partner's revocations; what could not be renewed yet is no trouble while it may be used."""
    counts = {"missing": told.missing, "stale": told.stale, "not renewed at the last try": told.failing}
    words = [f"{told.sources} sources", *(f"{count} {word}" for word, count in counts.items() if count)]
    trouble: list[str] = []
    if told.missing or told.stale:
        meaning = "is refused" if told.demanded else "passes, because the evidence is only preferred"
        trouble.append(f"a certificate that needs evidence which is missing or stale {meaning}")
        if told.unusable and not told.demanded:
            but = "passes too, because `unsafe-prefer` says so" if told.tolerated else "is refused"
            trouble.append(f"if the latest evidence cannot be used ({told.unusable}), the certificate {but}")
    if told.damaged:
        what = "admits, because `unsafe-prefer` says so," if told.tolerated else "refuses"
        trouble.append(
            f"stored evidence is damaged ({told.damaged}): a gateway that was started since then {what} a certificate that needs it"
        )
    if trouble:
        trouble += told.problems
    elif told.problems:  # show the reason of each failure, even if no certificate needs that evidence yet
        words += told.problems
    return Part(
        name="partner",
        text=f"{told.partner}: {', '.join(words)}",
        trouble=tuple(trouble),
        hints=(_hint(told),) if trouble else (),
        facts={
            "partner": told.partner,
            "sources": told.sources,
            "missing": told.missing,
            "stale": told.stale,
            "failing": told.failing,
            "damaged": told.damaged,
            "unusable": told.unusable,
            "problems": list(told.problems),
        },
    )


def _hint(told: EvidenceHealth) -> str:
    if told.damaged:
        return "`serve` fetches it again within a minute; do not restart a gateway until then, and check the disk (`evidence-damaged`)"
    return "is `doorward serve` running? Otherwise ask the partner"


def _keys(installation: Installation) -> list[Part]:
    """Return a part if the passphrase file is missing: the next start could not unlock the keys."""
    file = installation.settings.passphrase_file
    try:
        if file is None or file.exists():
            return []
    except OSError:  # this user may not read that folder
        return []
    return [
        Part(
            name="keys",
            text=f"the passphrase file {file} is missing",
            trouble=("`doorward serve` runs until its next start, and then cannot unlock the keys",),
            hints=("restore the file from the place where you keep the passphrase",),
            facts={"passphrase_file": str(file)},
        )
    ]


def _portal(installation: Installation) -> list[Part]:
    """Return a part if passkeys belong to a former host of the portal, or rules need passkeys that browsers do not make."""
    host = installation.portal_host()
    with installation.services.work.read() as stores:
        lost = stores.factors.count_foreign(host)
        untrusted = is_trust_missing_in_force(installation, stores)
    trouble, hints = [], []
    if lost:
        trouble.append(f"{lost} passkeys were made for another host of the portal, and are lost at {host}")
        hints.append("put portal_host back, or let these people add new ones: doorward factor invite NAME")
    if untrusted:
        hints.append(MEND)
    part = Part(
        name="portal",
        text=host,
        trouble=tuple(trouble),
        warnings=(f"rules ask for second factors, and {TROUBLE}",) if untrusted else (),
        hints=tuple(hints),
        facts={"host": host, "lost_passkeys": lost},
    )
    return [part] if hints else []


def _clones(installation: Installation) -> list[Part]:
    """Return a part if somebody else has a key of a certificate's line, until an operator has decided."""
    with installation.services.work.read() as stores:
        count = stores.suspected_clones.count()
        found = stores.suspected_clones.list(MOST_NAMED)
    if not count:
        return []
    ids = [one.certificate_id for one in found]
    more = f" and {count - len(ids)} more" if count > len(ids) else ""
    return [
        Part(
            name="clones",
            text=f"{count} suspected: {', '.join(ids)}{more}",
            warnings=("an older certificate was to be renewed with another key: somebody may have a copy",),
            hints=("`doorward cert show ID`; then decide: doorward cert revoke ID, or cert release ID",),
            facts={"number": count, "certificates": ids},
        )
    ]


def _silent(installation: Installation) -> list[Part]:
    """Return a part for each application that does not answer; none for those that do."""
    silent = silent_upstreams(installation)
    if not silent:
        return []
    with installation.services.work.read() as stores:
        document, _ = lazy.policy_snapshot.current_document(stores)
    return [
        Part(
            name="application",
            text=f"{app.name}: {app.upstream.url}",
            trouble=(f"does not answer: {silent[app.name]}",),
            hints=("check that it runs, and that the gateway's user may connect to it",),
            facts={"application": app.name, "why": silent[app.name]},
        )
        for app in document.apps
        if app.name in silent
    ]


def _acme(installation: Installation) -> list[Part]:
    """Return a part for each certificate that an ACME authority refused; weeks before the end of the one in use."""
    parts = []
    for one in list_troubles(installation.services):
        hosts = ", ".join(one.hosts)
        ends = (
            "no certificate yet"
            if one.ends_at is None
            else f"the present one ends {one.ends_at:%Y-%m-%d %H:%M}Z"
        )
        trouble = (
            f"no new certificate since {one.since:%Y-%m-%d %H:%M}Z ({one.failures} tries): {one.words}",
            f"next try {one.next_try_at:%Y-%m-%d %H:%M}Z",
        )
        parts.append(
            Part(
                name="certificate",
                text=f"{hosts}: {ends}",
                trouble=trouble,
                hints=("the code in docs/reference/errors.md says what to do; the next try comes by itself",),
                facts={
                    "hosts": list(one.hosts),
                    "code": one.code,
                    "next_try_at": f"{one.next_try_at:%Y-%m-%dT%H:%M:%SZ}",
                },
            )
        )
    return parts


def silent_upstreams(installation: Installation) -> dict[str, str] | None:
    """Return the applications that do not answer the gateways, each with the reason; None if no gateway runs."""
    fresh = [one for one in confirmations(installation.services, 0) if one.fresh]
    if not fresh:
        return None
    found: dict[str, str] = {}
    for one in fresh:
        told = report_of(one.gateway.status).get("silent_upstreams", {})
        found |= {str(name): str(why) for name, why in told.items()} if isinstance(told, dict) else {}
    return found


def _database(installation: Installation) -> list[Part]:
    found = installation.database.check_health()
    if found is None:
        return []
    part = Part(name="database", **found._asdict())
    seconds = find_clock_difference(installation.database.server_clock, installation.services.clock)
    if not is_too_large(seconds):
        return [part]
    trouble = (
        f"the clock of this machine is {describe_difference(seconds)}: a part that starts here is refused"
    )
    hint = "set the clocks of both machines, for example by chrony"
    return [replace(part, trouble=(*part.trouble, trouble), hints=(*part.hints, hint))]


def _disk(installation: Installation) -> Part:
    usage = shutil.disk_usage(installation.settings.data)
    low = usage.free < LEAST_FREE_BYTES
    stopped = installation.database.is_low()
    trouble: tuple[str, ...] = ()
    if stopped:
        trouble = (f"the disk is full: {_ONLY_WITHDRAWALS}",)
    elif low:
        trouble = ("the disk is nearly full: decisions that cannot be recorded are refused",)
    return Part(
        name="disk",
        text=f"{usage.free / 2**30:.1f} GiB free",
        facts={"free_bytes": usage.free},
        trouble=trouble,
        hints=(f"make room below {installation.settings.data}",) if trouble else (),
    )
