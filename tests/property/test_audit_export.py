"""Exports: any bytes end as faults, and no altered byte goes unnoticed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from doorward.audit.export import render_export, verify_export
from doorward.audit.log import sign_checkpoint
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, fill
from tests.support.events import MemoryEventStore
from tests.support.examples import examples
from tests.support.ports import NOON

STORE = MemoryEventStore()
fill(STORE, 6)
CHECKPOINT = sign_checkpoint(STORE, SIGNER, ORIGIN, NOON)
LINES = list(render_export(STORE, VERIFIER, personal=True))
FILE = b"".join(LINES)
REDACTED = b"".join(render_export(STORE, VERIFIER))


def check(data: bytes) -> int:
    """The number of faults in a file."""
    lines = data.splitlines(keepends=True) if data else []
    return len(verify_export(lines, checkpoint=CHECKPOINT, verifier_key=VERIFIER).faults)


def test_the_file_is_sound() -> None:
    """The file that the others alter has no fault."""
    assert check(FILE) == 0


@settings(deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=6))
def test_any_lines_are_judged(lines: list[bytes]) -> None:
    """Any lines give a report with faults and no exception: the checkpoint's leaves are not there."""
    report = verify_export(lines, checkpoint=CHECKPOINT, verifier_key=VERIFIER)
    assert report.faults


@settings(max_examples=examples(400), deadline=None)
@given(st.integers(0, len(FILE) - 2), st.integers(0, 255))
def test_no_altered_byte_goes_unnoticed(place: int, byte: int) -> None:
    """One byte replaced anywhere, header, leaf, hash, value or salt, is a fault."""
    altered = FILE[:place] + bytes([byte]) + FILE[place + 1 :]
    assert (check(altered) == 0) == (altered == FILE)


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, len(REDACTED) - 2), st.integers(1, 400))
def test_nothing_is_cut_out_unnoticed(start: int, length: int) -> None:
    """A piece cut out anywhere is a fault (only whole personal values may go: that is erasure)."""
    altered = REDACTED[:start] + REDACTED[start + length :]
    assert check(altered) > 0
