"""The record of a house after a churn: what was done must be on record, once; what may be missing is listed.

Decisions and changes are durable before they take effect; lines of the access log may be lost for the last moment of an
Envoy that died, and each such gap is an event (docs/design/0045).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.runtime.evidence import Evidence
from doorward.stores.records import CertificateFilter, CertificateRecord
from tests.support.churn import Churn
from tests.support.doorway import eventually
from tests.support.house import House

LOST_SECONDS = 0.5
"""Envoy flushes its log every 0.05 s; a busy machine lets it wait, and lets a client read an answer later than it was sent."""

GAP_SECONDS = 180.0
"""From the death of an Envoy to the event of its gap: another gateway may have to start first."""

LAST_LINE_SECONDS = 120.0
"""Usual is less than a second."""


@dataclass(frozen=True, slots=True)
class Death:
    """When an Envoy was killed, seconds of the machine's clock: before the kill, and after it."""

    began: float
    ended: float

    def is_about(self, moment: float) -> bool:
        """Return whether a request that was answered at a moment may be missing on record."""
        return self.began - LOST_SECONDS <= moment <= self.ended + LOST_SECONDS


@dataclass(slots=True, kw_only=True)
class Record:
    """What the log has; counters by id, each of which must be 1.

    Args:
        events: how many there are.
        kinds: how many of each type.
        twice: ids of events that are there more than once.
        paths: of requests that were answered with 200.
        admitted: ids of decisions that admitted a connection.
        undecided: decisions that requests name and that are not there.
        revoked: certificates.
        issued: certificates.
        gaps: when they were recorded, seconds of the machine's clock.
    """

    events: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    twice: list[str] = field(default_factory=list)
    paths: Counter[str] = field(default_factory=Counter)
    admitted: set[str] = field(default_factory=set)
    undecided: set[str] = field(default_factory=set)
    revoked: Counter[str] = field(default_factory=Counter)
    issued: Counter[str] = field(default_factory=Counter)
    gaps: list[float] = field(default_factory=list)


def await_last_line(house: House) -> None:
    """Return once every line of the access log is an event: lines are written and read in order, and one more request is the last."""
    with house.installation.event_log.read() as store:
        size = store.tree_size()
    path = "/last-of-all"
    assert eventually(lambda: house.get(house.identities["alice"], path).status == 200, LAST_LINE_SECONDS)

    def is_there() -> bool:
        newest = Evidence(house.installation).events(size)
        return any(one["personal"].get("path") == path for one in newest if "personal" in one)

    assert eventually(is_there, LAST_LINE_SECONDS), house.words()


def read_record(house: House) -> Record:
    """Read all of it, once nothing waits to be read or sequenced; the log must verify."""
    await_last_line(house)
    assert eventually(lambda: not house.waiting(), 120.0), house.words()
    evidence = Evidence(house.installation)
    assert list(evidence.verify().faults) == []
    record, seen, named = Record(), set[str](), set[str]()
    for one in evidence.events(0):
        data, kind = one["data"], EventType(one["type"])
        record.events += 1
        record.kinds[kind.value] += 1
        if one["id"] in seen:
            record.twice.append(one["id"])
        seen.add(one["id"])
        if kind is EventType.CONNECTION_ADMITTED:
            record.admitted.add(one["id"])
        elif kind is EventType.REQUEST_ANSWERED and data["status"] == 200 and "principal" in data:
            record.paths[one["personal"].get("path", "")] += 1
            named.add(data["decision"])
        elif kind is EventType.CERTIFICATE_REVOKED:
            record.revoked[data["certificate"]] += 1
        elif kind is EventType.CERTIFICATE_ISSUED:
            record.issued[data["certificate"]] += 1
        elif kind is EventType.ACCESS_GAP:
            record.gaps.append(datetime.fromisoformat(one["at"]).timestamp())
    record.undecided = named - record.admitted
    return record


def check_record(
    churn: Churn,
    record: Record,
    deaths: Sequence[Death] = (),
    unwritten: Sequence[tuple[float, float]] = (),
) -> int:
    """Hold what the people saw to what is on record; return how many answered requests are not there.

    Args:
        churn: has ended.
        record: read after that.
        deaths: of Envoys.
        unwritten: from when to when Envoy could not write its log.
    """
    assert record.twice == []
    assert [path for path, count in record.paths.items() if count > 1 and path[-1].isdigit()] == []
    assert record.undecided == set()
    assert record.kinds[EventType.POLICY_APPLIED.value] == churn.applied
    assert all(record.revoked[one.certificate] == 1 for one in churn.left)
    assert all(record.issued[one] == 1 for one in churn.joined)
    seen = {one.path: one.arrived for watcher in churn.watchers for one in watcher.good}
    lost = seen.keys() - record.paths.keys()
    for path in lost:
        is_last = any(one.is_about(seen[path]) for one in deaths)
        assert is_last or any(began - 1 <= seen[path] <= ended + 1 for began, ended in unwritten), (
            path,
            [seen[path] - one.began for one in deaths if abs(seen[path] - one.began) < 10],
        )
    assert len(record.gaps) >= len(deaths)
    for one in deaths:
        assert any(one.began <= at <= one.ended + GAP_SECONDS for at in record.gaps), (one, record.gaps)
    return len(lost)


def check_inventory(churn: Churn) -> int:
    """No serial number twice; what was joined is there; the revoked are revoked. Return how many certificates there are."""
    records = every_certificate(churn.house)
    states = {one.id: one.state for one in records}
    assert len({one.serial for one in records}) == len(records)
    assert set(churn.joined) <= states.keys()
    assert {states[one.certificate] for one in churn.left} <= {CertificateState.REVOKED}
    return len(records)


def every_certificate(house: House) -> list[CertificateRecord]:
    """Return all certificates."""
    found: list[CertificateRecord] = []
    with house.services.work.read() as stores:
        while page := stores.certificates.list(
            CertificateFilter(after_id=found[-1].id if found else "", limit=1000)
        ):
            found += page
    return found


def still_let_in(churn: Churn) -> list[str]:
    """Try every revoked certificate once more; return those that are let in."""
    return [one.certificate for one in churn.left if churn.house.lets_in(one.identity)]
