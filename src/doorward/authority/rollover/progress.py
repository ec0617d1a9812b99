"""What a rollover has issued again, and what is missing.

A certificate counts as replaced if it has a valid successor, by the authority that stays. A successor is known by the link
from the new certificate to the one that it renews, over any number of renewals. A gateway counts as done if it has
confirmed the state of the rollover and names no server certificate of the leaving authority among those in force: what was
sent to it does not count.

Not here: when a certificate is issued again (schedule).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from doorward.authority.gateways import FRESH_WITHIN
from doorward.authority.rollover.table import FACTS, Side
from doorward.core.certificate import CertificateState
from doorward.stores.authority_protocols import CertificateLine, RolloverRecord
from doorward.stores.protocols import Stores
from doorward.stores.records import GatewayRecord
from doorward.stores.services import Services

_PAGE = 1000
_USABLE = frozenset({CertificateState.VALID, CertificateState.ON_HOLD})


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayProgress:
    """Whether a gateway has followed; `why` says what it lacks, and is empty if it lacks nothing."""

    name: str
    fresh: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloverProgress:
    """How far the certificates of the leaving authority are replaced.

    Args:
        successors: of each certificate of people, devices and services that is replaced, by its id: the later ones of its
            line that are valid and by the authority that stays, the newest last.
        missing: the others, which are valid or on hold.
        gateways: every registered gateway.
    """

    successors: Mapping[str, tuple[CertificateLine, ...]]
    missing: tuple[CertificateLine, ...]
    gateways: tuple[GatewayProgress, ...]

    @property
    def replaced(self) -> frozenset[str]:
        """The certificates with a successor, by id."""
        return frozenset(self.successors)

    @property
    def total(self) -> int:
        """The certificates of people, devices and services that the leaving authority issued and that have not ended."""
        return len(self.replaced) + len(self.missing)

    @property
    def percent(self) -> int:
        """The replaced ones, rounded down: 100 means all."""
        return 100 if not self.missing else 100 * len(self.replaced) // self.total

    def lacking_gateways(self, *, ignore_away: bool) -> tuple[GatewayProgress, ...]:
        """Return the gateways that have not followed; those that do not report are left out if `ignore_away`.

        A gateway that cannot read the changes refuses every connection, and publishes the newest state before it admits any.
        """
        return tuple(one for one in self.gateways if one.why and (one.fresh or not ignore_away))


def leaving_id(rollover: RolloverRecord) -> str:
    """Return the id of the authority that leaves or may leave: the one that does not issue."""
    return rollover.old_id if FACTS[rollover.state].issues is Side.NEW else rollover.new_id


def staying_id(rollover: RolloverRecord) -> str:
    """Return the id of the authority that issues."""
    return rollover.new_id if FACTS[rollover.state].issues is Side.NEW else rollover.old_id


def measure_progress(services: Services, rollover: RolloverRecord) -> RolloverProgress:
    """Return how far the certificates of the leaving authority are replaced; reads every certificate that has not ended."""
    now = services.clock.now()
    with services.work.read() as stores:
        leaving, staying = leaving_id(rollover), staying_id(rollover)
        theirs: list[CertificateLine] = []
        successors: dict[str, list[CertificateLine]] = {}
        for one in _read_unended(stores, now):
            if one.authority_id == leaving and one.principal_id and one.state in _USABLE:
                theirs.append(one)
            if one.replaces and one.state is CertificateState.VALID:
                successors.setdefault(one.replaces, []).append(one)
        lines = {one.id: _find_line(one.id, successors, staying) for one in theirs}
        return RolloverProgress(
            successors={certificate_id: line for certificate_id, line in lines.items() if line},
            missing=tuple(one for one in theirs if not lines[one.id]),
            gateways=_measure_gateways(stores, rollover, leaving, now),
        )


def follow_gateways(services: Services, rollover: RolloverRecord) -> tuple[GatewayProgress, ...]:
    """Return whether each gateway has confirmed the state of the rollover; their certificates do not matter."""
    with services.work.read() as stores:
        return _measure_gateways(stores, rollover, "", services.clock.now())


def _read_unended(stores: Stores, now: datetime) -> Iterator[CertificateLine]:
    after = ""
    while page := stores.authorities.unended(now, after, _PAGE):
        yield from page
        after = page[-1].id


def _find_line(
    certificate_id: str, successors: Mapping[str, Sequence[CertificateLine]], staying: str
) -> tuple[CertificateLine, ...]:
    """Return the later certificates of the line that the staying authority issued, the newest last."""
    open_, seen = [certificate_id], {certificate_id}
    found = []
    while open_:
        for one in successors.get(open_.pop(), ()):
            if one.id not in seen:
                seen.add(one.id)
                open_.append(one.id)
                if one.authority_id == staying:
                    found.append(one)
    return tuple(sorted(found, key=lambda one: one.id))  # ids are in the order of time


def _measure_gateways(
    stores: Stores, rollover: RolloverRecord, leaving: str, now: datetime
) -> tuple[GatewayProgress, ...]:
    authority = stores.authorities.get(leaving) if leaving else None
    digest = hashlib.sha256(authority.der).hexdigest() if authority is not None else ""
    return tuple(
        GatewayProgress(
            name=one.name,
            fresh=now - one.seen_at <= FRESH_WITHIN,
            why=_find_lack(one, rollover.seq, digest),
        )
        for one in stores.gateways.list()
    )


def _find_lack(gateway: GatewayRecord, seq: int, digest: str) -> str:
    if gateway.confirmed_seq < seq:
        return f"has confirmed change {gateway.confirmed_seq} of {seq}"
    if not digest:
        return ""
    issuers = _read_issuers(gateway)
    if issuers is None:
        return "does not say which server certificates are in force"
    return "still serves certificates of the authority that leaves" if digest in issuers else ""


def _read_issuers(gateway: GatewayRecord) -> frozenset[str] | None:
    """Return the SHA-256 of the authorities of a gateway's server certificates in force; None if it does not say."""
    try:
        found = json.loads(gateway.status)["issuers"]
    except (ValueError, KeyError, TypeError):
        return None
    return frozenset(str(one) for one in found) if isinstance(found, list) else None
