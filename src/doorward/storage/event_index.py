"""The stored index of the audit log: `audit.index.IndexStore` over SQL.

Not here: its content (`audit.index`), the leaves (`event_store`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from doorward.audit.index import BUCKETS
from doorward.storage.driver_statement import DriverStatement
from doorward.storage.transaction import Transaction

_LAST = DriverStatement(
    """SELECT span FROM log_index WHERE tenant = :this_tenant AND bucket = 0 AND span < :below
    ORDER BY span DESC LIMIT 1"""
)
_OF_BUCKET = DriverStatement(
    """SELECT span, content FROM log_index
    WHERE tenant = :this_tenant AND bucket = :bucket AND span >= 0 AND span < :below ORDER BY span DESC""",
    large=True,
)
_OF_SPAN = DriverStatement(
    "SELECT content FROM log_index WHERE tenant = :this_tenant AND bucket = :bucket AND span = :span"
)
_COUNT_EXCESS = DriverStatement(
    """SELECT count(*) FROM log_index WHERE tenant = :this_tenant
    AND NOT (bucket >= 0 AND bucket < :buckets AND span >= 0 AND span < :spans)"""
)
_STORE = DriverStatement(
    """INSERT INTO log_index (tenant, bucket, span, content) VALUES (:tenant, :bucket, :span, :content)
    ON CONFLICT (tenant, bucket, span) DO UPDATE SET content = excluded.content"""
)
_DROP = DriverStatement(
    """DELETE FROM log_index WHERE tenant = :this_tenant AND bucket = :bucket AND (span >= :above OR span < 0)"""
)
_DROP_BELOW = DriverStatement("DELETE FROM log_index WHERE tenant = :this_tenant AND bucket < 0")
_DROP_BEYOND = DriverStatement("DELETE FROM log_index WHERE tenant = :this_tenant AND bucket >= :bucket")


class SqlEventIndex:
    """The index of one tenant inside one transaction; a part of `SqlEventStore`."""

    _transaction: Transaction

    def indexed_spans(self, below: int) -> int:
        """Return the number of the last indexed span before `below`, plus one."""
        last: int | None = self._transaction.driver_value(_LAST, below=below)
        return 0 if last is None else max(0, last + 1)

    def index_bucket(self, bucket: int, below: int) -> Iterator[tuple[int, bytes]]:
        """Yield (span, content) of one bucket, the newest span first."""
        yield from self._transaction.driver_rows(_OF_BUCKET, bucket=bucket, below=below)

    def index_span(self, span: int) -> dict[int, bytes]:
        """Return the stored buckets of a span, by number."""
        found = {}
        for bucket in range(BUCKETS):
            row = self._transaction.driver_row(_OF_SPAN, bucket=bucket, span=span)
            if row is not None:
                found[bucket] = row[0]
        return found

    def count_excess(self, spans: int) -> int:
        """Return the number of stored buckets that belong to none of the first spans."""
        return int(self._transaction.driver_value(_COUNT_EXCESS, buckets=BUCKETS, spans=spans) or 0)

    def store_index(self, span: int, buckets: Sequence[bytes]) -> None:
        """Store the buckets of a span, in place of what is stored."""
        tenant = self._transaction.tenant
        self._transaction.driver_write(
            _STORE,
            [
                {"tenant": tenant, "bucket": bucket, "span": span, "content": content}
                for bucket, content in enumerate(buckets)
            ],
        )

    def drop_index(self, above: int) -> int:
        """Remove buckets of spans from `above` on, and with numbers that no bucket has; return how many."""
        dropped = sum(
            self._transaction.driver_change(_DROP, bucket=bucket, above=above) for bucket in range(BUCKETS)
        )
        dropped += self._transaction.driver_change(_DROP_BELOW)
        return dropped + self._transaction.driver_change(_DROP_BEYOND, bucket=BUCKETS)
