"""The work that 1,000,000 certificates make by themselves: the start, OCSP responses signed ahead, partitions of the CRL, notices.

OCSP responses are signed here for some certificates, as `serve` does when half of their lifetime is over; the row says what share of
a core that takes for a million. The operators' digest looks at every certificate that ends soon, here at all that are valid.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

from bench import seeding
from bench.installation import Door
from bench.machine import MEASURED, on_core
from bench.rows import Row, single
from bench.scene import Scene
from doorward.authority.status.crls import publish_crls
from doorward.authority.status.ocsp_refresh import refresh_ocsp
from doorward.authority.status.partitions import FULL, partition_names
from doorward.directory.notice_planning import LONGEST_THRESHOLD, NoticeRules, load_digest
from doorward.runtime.settings import Settings
from doorward.stores.records import CertificateFilter
from doorward.stores.services import Services

RESPONSES = 5_000
PARTITIONS = 16
_PAGE = 1_000


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    reason = seeding.missing(quick=scene.quick)
    if reason:
        yield Row(name="upkeep of 1,000,000 certificates", missing=reason)
        return
    door = scene.million()
    yield single("start until a client is let in, 1,000,000 certificates", [door.opened_after], unit="s")
    with on_core(MEASURED):
        yield _responses(door.house.services, scene.count(RESPONSES))
        yield _partitions(door)
        yield _digest(door.house.services)


def _responses(services: Services, count: int) -> Row:
    """Sign the responses of so many certificates again."""
    chosen: list[str] = []
    with services.work.read() as stores:
        while len(chosen) < count:
            after = chosen[-1] if chosen else ""
            page = stores.certificates.list(CertificateFilter(after_id=after, limit=_PAGE))
            chosen += [one.id for one in page]
    now = services.clock.now()
    with services.work.change() as stores:
        for one in chosen:
            stores.status.await_ocsp(one, now)
    looked_at, more = 0, True
    began = time.process_time()
    while more:
        page_of = refresh_ocsp(services)
        looked_at, more = looked_at + page_of.looked_at, page_of.more
    cpu = (time.process_time() - began) / looked_at
    lifetime = Settings.model_fields["ocsp_lifetime"].default
    note = (
        f"{cpu * 1e6:.0f} µs of CPU for the two responses of a certificate, {looked_at:,} of them. "
        f"They are signed again after half of their lifetime, {lifetime / timedelta(hours=2):.0f} hours."
    )
    return single(
        "OCSP responses of 1,000,000 certificates, signed ahead",
        [100 * cpu * seeding.CERTIFICATES / (lifetime.total_seconds() / 2)],
        unit="% of a core",
        notes=(note,),
    )


def _partitions(door: Door) -> Row:
    """Make the full CRL and its partitions; the partitions are removed, so that later measurements publish one CRL."""
    names = (FULL, *partition_names(PARTITIONS))
    try:
        began, cpu = time.perf_counter(), time.process_time()
        made = publish_crls(door.house.services, names)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    finally:
        with closing(sqlite3.connect(door.house.installation.layout.database, timeout=30)) as driver:
            driver.execute("DELETE FROM crl_heads WHERE partition <> ''")
            driver.commit()
    sizes = [len(one.der) for name, one in made.items() if name != FULL]
    return single(
        f"building the CRL and its {PARTITIONS} partitions, 500,000 entries",
        [seconds],
        unit="s",
        notes=(
            f"{cpu:.1f} s of it CPU. A partition has {max(sizes) / 1e6:.1f} MB, the whole list {len(made[FULL].der) / 1e6:.0f} MB.",
        ),
    )


def _digest(services: Services) -> Row:
    """Read what the operators' digest says, at a time when every valid certificate ends soon."""
    rules = NoticeRules(days=(LONGEST_THRESHOLD,), mail=True, digest=timedelta(days=1))
    began, cpu = time.perf_counter(), time.process_time()
    found = load_digest(services, rules)
    return single(
        f"the operators' digest, {found.soon:,} certificates end soon",
        [time.perf_counter() - began],
        unit="s",
        notes=(f"{time.process_time() - cpu:.1f} s of it CPU, once a day.",),
    )
