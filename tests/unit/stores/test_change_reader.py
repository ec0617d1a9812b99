"""The reader of the change sequence says what is new, and when it cannot know."""

from __future__ import annotations

from datetime import timedelta

from doorward.core.entities import TENANT
from doorward.stores.change_reader import ChangeReader
from doorward.stores.records import ChangeKind, ChangeRecord
from tests.support.ports import NOON


class Sequence:
    """A change sequence, of which old rows may be missing."""

    def __init__(self) -> None:
        self.rows: list[ChangeRecord] = []

    def note(self, subject: str, *, seconds: int = 0) -> ChangeRecord:
        """Add a change."""
        row = ChangeRecord(
            seq=self.head() + 1,
            tenant=TENANT,
            kind=ChangeKind.PRINCIPAL,
            subject=subject,
            at=NOON + timedelta(seconds=seconds),
        )
        self.rows.append(row)
        return row

    def head(self) -> int:
        """Return the newest number."""
        return self.rows[-1].seq if self.rows else 0

    def since(self, seq: int, limit: int = 1000) -> list[ChangeRecord]:
        """Return the changes after a number."""
        return [one for one in self.rows if one.seq > seq][:limit]


def test_a_sequence_that_was_empty() -> None:
    """Its first change is new, like any other."""
    sequence = Sequence()
    reader = begun(sequence)
    assert reader.read(sequence) == []  # type: ignore[arg-type]
    first = sequence.note("a")
    assert reader.read(sequence) == [first]  # type: ignore[arg-type]


def begun(sequence: Sequence, most: int = 10) -> ChangeReader:
    """A reader that has read once."""
    reader = ChangeReader(most)
    assert reader.read(sequence) is None  # type: ignore[arg-type]
    return reader


def test_what_is_new_is_read_once() -> None:
    """After the first read each change is returned once, oldest first."""
    sequence = Sequence()
    sequence.note("a")
    reader = begun(sequence)
    assert reader.read(sequence) == []  # type: ignore[arg-type]
    new = [sequence.note("b"), sequence.note("c")]
    assert reader.read(sequence) == new  # type: ignore[arg-type]
    assert reader.read(sequence) == []  # type: ignore[arg-type]


def test_a_database_that_was_put_back() -> None:
    """It is noticed if the last change is gone, and if another one has its number, even by its time alone."""
    sequence = Sequence()
    sequence.note("a")
    sequence.note("b")
    reader = begun(sequence)
    sequence.rows.pop()
    assert reader.read(sequence) is None  # type: ignore[arg-type]
    assert reader.read(sequence) == []  # type: ignore[arg-type]
    sequence.rows.pop()
    sequence.note("a", seconds=1)
    sequence.note("b")
    assert reader.read(sequence) is None  # type: ignore[arg-type]
    sequence.rows.clear()
    assert reader.read(sequence) is None  # type: ignore[arg-type]


def test_rows_that_were_removed() -> None:
    """A gap cannot be followed; after it the reader goes on from the newest change."""
    sequence = Sequence()
    sequence.note("a")
    reader = begun(sequence)
    sequence.note("b")
    sequence.note("c")
    del sequence.rows[1]
    assert reader.read(sequence) is None  # type: ignore[arg-type]
    new = sequence.note("d")
    assert reader.read(sequence) == [new]  # type: ignore[arg-type]


def test_many_changes() -> None:
    """As many as allowed are followed, one more is not."""
    sequence = Sequence()
    sequence.note("a")
    reader = begun(sequence, most=3)
    new = [sequence.note(one) for one in "bcd"]
    assert reader.read(sequence) == new  # type: ignore[arg-type]
    for one in "efgh":
        sequence.note(one)
    assert reader.read(sequence) is None  # type: ignore[arg-type]
    assert reader.read(sequence) == []  # type: ignore[arg-type]
