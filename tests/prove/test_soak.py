"""Under steady churn nothing grows but the record: memory, descriptors, threads and files stay flat, and the record is small.

MINUTES of connections, requests, revocations, revisions, and a partner's evidence. The second half is judged: a line through
the samples rises by less than the bound of its measure; files that are replaced when they are large stay below their size.
The database grows by at most `MOST_BYTES_AN_EVENT` an event, certificates and revisions included. At the end the record is
complete, as in `test_killed_processes`.

MINUTES=5 takes five minutes and a half.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import pytest

from tests.support.churn import Task, churning
from tests.support.churn_record import check_inventory, check_record, read_record, still_let_in
from tests.support.doorway import is_root
from tests.support.house import House, open_house
from tests.support.partner_door import Clinic
from tests.support.usage import Usage, database_bytes
from tests.support.watching import KeptRequests

MINUTES = float(os.environ.get("MINUTES", "30"))
SAMPLES = 120
FIRST_SECONDS = 20.0
"""Before the first sample: imports, caches, the reserve of the database."""

MOST_GROWTH: Mapping[str, float] = {"memory, kB": 6_000, "descriptors": 3, "threads": 2, "number of files": 4}
"""By how much the line through the second half may rise.

Of the memory some 2 MB are expected in 30 minutes: the gateway remembers each certificate of ours that connects (parsed, and with its
assertion, 4 KB), and the half has some 450 new ones. The other memories are full before the half begins. What is above that
is seen as a leak: 70 bytes for each request, or 9 KB for each certificate.
"""

MOST_KILOBYTES: Mapping[str, float] = {
    "write-ahead log": 16_384,
    "journal": 8_192,
    "access log": 17_000,
    "logs of Envoy": 1_024,
    "published": 2_048,
}
"""The access log is renamed at 8 MB, the journal is written again after 10,000 lines that mean nothing any more."""

MOST_BYTES_AN_EVENT = 1_500
EVIDENCE_SECONDS = 2.0
BOB = "bob@clinic.example"

pytestmark = pytest.mark.skipif(not is_root(), reason="the parts give up root, which needs root")


class Lists:
    """A partner that publishes newer CRLs; bob is on none of them."""

    def __init__(self, house: House) -> None:
        self.clinic = Clinic(house)
        self.bob = self.clinic.identity(BOB)
        self._others = [f"leaver-{number}@clinic.example" for number in range(20)]
        for one in self._others:
            self.clinic.leaf(one)
        self.count = 0
        self.clinic.publish()

    def publish(self) -> None:
        """Publish lists with more of the others, and with none again."""
        self.count += 1
        self.clinic.publish(*self._others[: self.count % 20])


@pytest.mark.timeout(900 + 75 * MINUTES)
def test_only_the_record_grows() -> None:
    """Memory, descriptors, threads and files are flat over the second half."""
    with open_house() as house:
        lists = Lists(house)
        with churning(house, pause=0.8, fields={"trust": "[own, clinic]"}) as churn:
            churn.kept.append(KeptRequests(house, lists.bob, path="/kept/bob/", pause=0.05))
            with churn.kept[-1], Task("evidence", lists.publish, EVIDENCE_SECONDS) as evidence:
                time.sleep(FIRST_SECONDS)
                usage = Usage(house)
                grown = watch(usage)
        usage.report()
        churn.report()
        print(f"  {evidence.done} publications of evidence; {grown:.0f} bytes an event in the second half")
        assert churn.faults == evidence.faults == []
        assert all(not one.refused for one in churn.watchers), [one.why for one in churn.watchers]
        record = read_record(house)
        assert check_record(churn, record) == 0
        assert still_let_in(churn) == []
        print(f"  {record.events} events, {check_inventory(churn)} certificates; the log verifies")
    growing = {
        key: one.growth()
        for key, one in usage.series.items()
        if key[0] in MOST_GROWTH and one.growth() > MOST_GROWTH[key[0]]
    }
    assert growing == {}
    assert all(max(usage.series["files, kB", name].values) <= most for name, most in MOST_KILOBYTES.items())
    assert grown <= MOST_BYTES_AN_EVENT


def watch(usage: Usage) -> float:
    """Take samples for the given time; return by how many bytes an event the database grew in the second half."""
    period = MINUTES * 60 / SAMPLES
    house, next_at = usage.house, time.monotonic()
    for number in range(SAMPLES + 1):
        if number == SAMPLES // 2:
            before, size = database_bytes(house), tree_size(house)
        usage.sample()
        next_at += period
        time.sleep(max(0.0, next_at - time.monotonic()))
    return (database_bytes(house) - before) / (tree_size(house) - size)


def tree_size(house: House) -> int:
    """Return how many events are leaves."""
    with house.installation.event_log.read() as store:
        return store.tree_size()
