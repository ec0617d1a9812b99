"""Exports: written from a store, verified as a file; each test alters one thing in the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest

from doorward.audit import export
from doorward.audit.export import MAX_LINE_BYTES, read_lines, render_export, verify_export
from doorward.audit.leaf import render_canonical
from doorward.audit.log import sign_checkpoint
from doorward.audit.merkle import EMPTY_ROOT, leaf_hash
from doorward.audit.report import LogFaultCode, VerificationReport
from doorward.core.entities import TENANT
from doorward.core.errors import IntegrityError, MalformedInput
from tests.contract.event_store import ORIGIN, SIGNER, VERIFIER, fill
from tests.support.events import ALICE, MemoryEventStore
from tests.support.ports import NOON


@pytest.fixture
def store() -> MemoryEventStore:
    """A log of 9 leaves, signed at 4 and at 7."""
    store = MemoryEventStore()
    for first, count in ((0, 4), (4, 3)):
        fill(store, count, first=first)
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    fill(store, 2, first=7)
    return store


@pytest.fixture
def lines(store: MemoryEventStore) -> list[bytes]:
    """The export of that log with its personal values."""
    return list(render_export(store, VERIFIER, personal=True))


def codes(report: VerificationReport) -> list[LogFaultCode]:
    """Return the codes of the faults, in order."""
    return [fault.code for fault in report.faults]


def change(line: bytes, alter: Callable[[dict[str, object]], None]) -> bytes:
    """Return a line of an export with a change, in canonical form."""
    fields = json.loads(line)
    alter(fields)
    return render_canonical(fields) + b"\n"


def test_a_sound_export(lines: list[bytes]) -> None:
    """An export verifies by itself, with a key and an earlier checkpoint from outside."""
    report = verify_export(lines, verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.origin, report.size, report.anchored_size) == (ORIGIN, 9, 7)
    assert (report.signature_verified, report.opened, report.redacted) == (True, 18, 0)


def test_an_earlier_checkpoint_holds(store: MemoryEventStore, lines: list[bytes]) -> None:
    """A checkpoint that the caller has kept is compared at its own size."""
    report = verify_export(lines, checkpoint=store.checkpoints[0][1], verifier_key=VERIFIER)
    assert report.faults == ()


def test_without_a_key_no_signature_is_claimed(lines: list[bytes]) -> None:
    """The key in the header is not trusted: without the caller's key, nothing counts as signed."""
    report = verify_export(lines)
    assert report.faults == ()
    assert report.signature_verified is False


@pytest.mark.parametrize("drop", [0, 2])
def test_an_export_stripped_of_its_checkpoint_is_a_fault(lines: list[bytes], drop: int) -> None:
    """A rewritten log without a signature is a fault if the caller gives a key."""
    header, *rest = [json.loads(line) for line in lines]
    header |= {"checkpoint": "", "size": len(rest) - drop}
    forged = [render_canonical(header) + b"\n"]
    for number, fields in enumerate(rest[drop:]):
        leaf = render_canonical(fields["leaf"]).replace(b'"status":200', b'"status":403')
        altered = {"hash": leaf_hash(leaf).hex(), "leaf": json.loads(leaf), "number": number, "open": {}}
        forged.append(render_canonical(altered) + b"\n")
    report = verify_export(forged, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_MISSING]
    assert (report.verified, report.signature_verified, report.anchored_size) == (False, False, 0)
    alone = verify_export(forged)
    assert (alone.faults, alone.verified) == ((), False)


def test_a_kept_checkpoint_does_not_stand_in_for_the_exported_one(
    store: MemoryEventStore, lines: list[bytes]
) -> None:
    """An empty checkpoint in the header is a fault, also with a kept checkpoint."""
    lines[0] = change(lines[0], lambda fields: fields.update(checkpoint=""))
    report = verify_export(lines, checkpoint=store.checkpoints[0][1], verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_MISSING]
    assert "5 of 9 leaves are not covered by a signature" in report.faults[0].message


def test_personal_values_stay_at_home(store: MemoryEventStore) -> None:
    """By default an export has no personal value and no salt, and verifies as redacted."""
    lines = list(render_export(store, VERIFIER))
    assert b"203.0.113.9" not in b"".join(lines)
    report = verify_export(lines, verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.opened, report.redacted) == (0, 18)


def test_erased_values_are_not_exported(store: MemoryEventStore) -> None:
    """Erased values are not exported, and the export verifies."""
    store.erase_subject(TENANT, ALICE)
    report = verify_export(render_export(store, VERIFIER, personal=True), verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.opened, report.redacted) == (0, 18)


def test_every_line_is_json(store: MemoryEventStore, lines: list[bytes]) -> None:
    """Each line is one JSON document; the header names format, size, key and checkpoint."""
    header, *rest = (json.loads(line) for line in lines)
    assert header == {
        "checkpoint": store.checkpoints[1][1],
        "doorward-audit-export": 1,
        "size": 9,
        "verifier_key": VERIFIER,
    }
    assert [line["number"] for line in rest] == list(range(9))
    assert [line["leaf"]["id"] for line in rest] == [row.event_id for row in store.rows]


def test_an_export_of_an_unsigned_log() -> None:
    """A log without leaves or checkpoints is exported and verifies, anchored to nothing."""
    report = verify_export(render_export(MemoryEventStore(), VERIFIER), verifier_key=VERIFIER)
    assert report.faults == ()
    assert (report.size, report.anchored_size, report.root) == (0, 0, EMPTY_ROOT)


def test_blocks(store: MemoryEventStore, lines: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Block by block the export is the same, and verifies the same."""
    for block in (1, 2, 3, 9):
        monkeypatch.setattr(export, "BLOCK", block)
        assert list(render_export(store, VERIFIER, personal=True)) == lines
        assert verify_export(lines, verifier_key=VERIFIER).faults == ()


def test_a_stored_leaf_with_a_line_break_is_not_exported(store: MemoryEventStore) -> None:
    """A leaf that would forge a line stops the export."""
    store.rows[3] = store.rows[3]._replace(leaf=b'{}\n{"hash":""}')
    with pytest.raises(IntegrityError) as caught:
        list(render_export(store, VERIFIER))
    assert caught.value.code == "leaf-malformed"


def test_an_altered_leaf_is_named(store: MemoryEventStore, lines: list[bytes]) -> None:
    """An altered leaf is reported with number, line, event id and type, and the root differs."""
    lines[3] = lines[3].replace(b'"status":200', b'"status":403')
    report = verify_export(lines, verifier_key=VERIFIER)
    fault = report.faults[0]
    assert codes(report) == [LogFaultCode.LEAF_ALTERED, LogFaultCode.ROOT_MISMATCH]
    assert (fault.number, fault.line) == (2, 4)
    assert (fault.event_id, fault.event_type) == (store.rows[2].event_id, "request:answered")


def test_a_leaf_altered_with_its_hash_fails_the_root(store: MemoryEventStore, lines: list[bytes]) -> None:
    """A leaf altered together with its hash still fails the checkpoint."""
    leaf = store.rows[2].leaf.replace(b'"status":200', b'"status":403')
    lines[3] = change(
        lines[3], lambda fields: fields.update(leaf=json.loads(leaf), hash=leaf_hash(leaf).hex())
    )
    assert codes(verify_export(lines, verifier_key=VERIFIER)) == [LogFaultCode.ROOT_MISMATCH]


def test_a_removed_line_is_named(lines: list[bytes]) -> None:
    """A removed line is reported by its number, once, and the size differs."""
    del lines[5]
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report) == [
        LogFaultCode.LEAF_MISSING,
        LogFaultCode.ROOT_MISMATCH,
        LogFaultCode.LOG_TRUNCATED,
    ]
    assert (report.faults[0].number, report.faults[0].line) == (4, 6)


def test_a_cut_export_is_truncated(lines: list[bytes]) -> None:
    """An export that ends early, before or after its checkpoint, does not have its size."""
    assert codes(verify_export(lines[:9], verifier_key=VERIFIER)) == [LogFaultCode.LOG_TRUNCATED]
    assert codes(verify_export(lines[:5], verifier_key=VERIFIER)) == [LogFaultCode.LOG_TRUNCATED] * 2


def test_an_export_cut_with_its_header_fails_the_kept_checkpoint(
    store: MemoryEventStore, lines: list[bytes]
) -> None:
    """If header and checkpoint are replaced by older ones, the kept checkpoint fails."""
    older = change(lines[0], lambda fields: fields.update(size=4, checkpoint=store.checkpoints[0][1]))
    cut = [older, *lines[1:5]]
    assert verify_export(cut, verifier_key=VERIFIER).faults == ()
    kept = store.checkpoints[1][1]
    assert codes(verify_export(cut, checkpoint=kept, verifier_key=VERIFIER)) == [LogFaultCode.LOG_TRUNCATED]


def test_exchanged_lines_are_named(lines: list[bytes]) -> None:
    """Lines in another order are a fault."""
    lines[2], lines[3] = lines[3], lines[2]
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report)[0] is LogFaultCode.LEAF_MISSING
    assert LogFaultCode.ROOT_MISMATCH in codes(report)


def test_an_altered_personal_value_is_named(lines: list[bytes]) -> None:
    """An altered personal value is reported with leaf and field, but without the value."""
    lines[4] = lines[4].replace(b"203.0.113.9", b"198.51.100.1")
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.PERSONAL_ALTERED]
    assert (report.faults[0].number, report.faults[0].field) == (3, "source")
    assert "198.51.100.1" not in str(report.faults[0])


def test_an_invented_personal_value_is_named(lines: list[bytes]) -> None:
    """A personal value without a commitment is a fault."""
    lines[4] = change(lines[4], lambda fields: fields.update(open={"bad\nname": ["x", "0" * 64]}))
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.PERSONAL_ALTERED]
    assert report.faults[0].field == "bad\\x0aname"


def test_a_forged_checkpoint_is_a_fault(lines: list[bytes]) -> None:
    """A checkpoint in the header that the caller's key did not sign is a fault."""
    lines[0] = change(lines[0], lambda fields: fields.update(checkpoint="forged"))
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.CHECKPOINT_INVALID]
    assert report.signature_verified is False


def test_an_export_under_another_key_is_a_fault(lines: list[bytes]) -> None:
    """A header with another key than the caller's is a fault."""
    lines[0] = change(lines[0], lambda fields: fields.update(verifier_key="corp.example/audit+0+"))
    assert codes(verify_export(lines, verifier_key=VERIFIER)) == [LogFaultCode.CHECKPOINT_FOREIGN]
    assert verify_export(lines).faults == ()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b'{"checkpoint":"","doorward-audit-export":1,"size":9}',
        b'{"checkpoint":"","doorward-audit-export":1,"size":true,"verifier_key":""}',
        b'{"checkpoint":"","doorward-audit-export":1,"size":"9","verifier_key":""}',
        b'{"checkpoint":null,"doorward-audit-export":1,"size":9,"verifier_key":""}',
        b'{"checkpoint":"","doorward-audit-export":2,"size":9,"verifier_key":"%b"}' % VERIFIER.encode(),
        b'{"checkpoint":"", "doorward-audit-export":1,"size":9,"verifier_key":""}',
        b'{"checkpoint":"","doorward-audit-export":1,"size":9,"verifier_key":"\\ud800"}',
        b'{"checkpoint":"","checkpoint":"","doorward-audit-export":1,"size":9,"verifier_key":""}',
    ],
)
def test_a_malformed_header_is_a_fault(lines: list[bytes], header: bytes) -> None:
    """A malformed header is a fault of line 1; the leaves are verified all the same."""
    report = verify_export([header, *lines[1:]], verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.EXPORT_MALFORMED, LogFaultCode.CHECKPOINT_MISSING]
    assert (report.faults[0].line, report.size) == (1, 9)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"garbage",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"hash":"","leaf":{},"number":3.0,"open":{}}',
        b'{"hash":"","leaf":{},"number":true,"open":{}}',
        b'{"hash":"","leaf":[],"number":3,"open":{}}',
        b'{"hash":"","leaf":{},"number":3,"open":[]}',
        b'{"hash":"","leaf":{},"number":3,"open":{"source":"x"}}',
        b'{"hash":"","leaf":{},"number":3,"open":{"source":["x","00"]}}',
        b'{"hash":"","leaf":{},"number":3,"open":{"source":["x"]}}',
        b'{"hash":"","leaf":{},"number":3,"open":{"source":[1,"' + b"0" * 64 + b'"]}}',
        b'{"hash":"","leaf":{},"number":3,"open":{},"extra":1}',
        b'{"hash":"","leaf":{},"leaf":{},"number":3,"open":{}}',
        b'{"hash":"","leaf":{"a":"\\ud800"},"number":3,"open":{}}',
        b'{"hash":"","leaf":{"a":' + b"[" * 900 + b"]" * 900 + b'},"number":3,"open":{}, }',
        b"[" * 100_000,
        b'{"hash":"' + b"x" * MAX_LINE_BYTES + b'","leaf":{},"number":3,"open":{}}',
    ],
)
def test_a_malformed_line_is_a_fault(lines: list[bytes], line: bytes) -> None:
    """A malformed line is reported and counts as its leaf; the next lines keep their numbers."""
    lines[4] = line
    report = verify_export(lines, verifier_key=VERIFIER)
    assert codes(report) == [LogFaultCode.EXPORT_MALFORMED, LogFaultCode.ROOT_MISMATCH]
    assert (report.faults[0].line, report.faults[0].number, report.size) == (5, 3, 9)


@pytest.mark.parametrize("depth", range(100, 1000, 7))
def test_no_depth_of_nesting_breaks_the_check(lines: list[bytes], depth: int) -> None:
    """A deeply nested array gives a fault and never another exception."""
    nested = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
    lines[4] = b'{"hash":"","leaf":' + nested + b',"number":3,"open":{}}\n'
    assert len(verify_export(lines, verifier_key=VERIFIER).faults) == 2


def test_an_empty_file_is_a_fault() -> None:
    """An empty file is a fault."""
    assert codes(verify_export([], verifier_key=VERIFIER)) == [LogFaultCode.EXPORT_MALFORMED]


def test_a_bad_key_is_the_caller_s_fault(lines: list[bytes]) -> None:
    """A malformed verifier key is refused at once."""
    with pytest.raises(MalformedInput):
        verify_export(lines, verifier_key="")


def test_lines_of_a_file(lines: list[bytes]) -> None:
    """A file is read line by line; the last newline may be missing."""
    assert list(read_lines(io.BytesIO(b"".join(lines)))) == lines
    text = b"".join(lines)[:-1]
    assert verify_export(read_lines(io.BytesIO(text)), verifier_key=VERIFIER).faults == ()


def test_an_endless_line_is_read_in_pieces() -> None:
    """A very long line is never in memory completely."""
    pieces = list(read_lines(io.BytesIO(b"x" * (3 * MAX_LINE_BYTES) + b"\nend\n")))
    assert max(map(len, pieces)) == MAX_LINE_BYTES + 1
    assert pieces[-1] == b"end\n"
