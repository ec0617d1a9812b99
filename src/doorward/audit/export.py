"""Exports: the log as a file of JSON lines, and verifying such a file without the database.

Not here: the checks that a log and an export have in common (`judging`).

    line 1  {"checkpoint":"<signed note>","doorward-audit-export":1,"size":N,"verifier_key":"…"}
    line n  {"hash":"<hex>","leaf":{…},"number":0,"open":{"source":["203.0.113.9","<salt hex>"]}}

Every line is canonical JSON, so the bytes of the leaf are the text between `"leaf":` and `,"number"`, and
all JSON readers see the same content. `open` holds the personal values, if they were exported. The checkpoint is
the latest one, or empty if there is no leaf yet; there may be leaves after it.

The key in the header is only information and must not be trusted: the writer of the file chose it.
Verifying accepts any bytes: every error becomes a fault in the report.

Standard: RFC 8785 (lines), RFC 9162 section 2.1, C2SP tlog-checkpoint.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from doorward.audit.judging import LogJudge
from doorward.audit.leaf import CommitmentOpening, parse_canonical, render_canonical
from doorward.audit.log import EventStore
from doorward.audit.merkle import leaf_hash
from doorward.audit.note import VerifierKey, parse_verifier_key, render_verifier_key
from doorward.audit.report import LogFaultCode, VerificationReport
from doorward.core.errors import IntegrityError, MalformedInput

FORMAT = "doorward-audit-export"
VERSION = 1
MAX_LINE_BYTES = 262_144
"""A leaf of 64 KiB and eight personal values of 2,048 characters, four bytes each, need half of this limit."""
BLOCK = 4096
"""Leaves that are read, and hashes that are held in memory, before they are added to the tree."""
_SALT = re.compile(r"[0-9a-f]{64}", re.ASCII)


def render_export(store: EventStore, verifier_key: str, *, personal: bool = False) -> Iterator[bytes]:
    """Yield the lines of an export, each with its newline; one block is in memory at a time.

    Args:
        store: in one transaction with a consistent snapshot.
        verifier_key: the log's verifier key, for the header.
        personal: include the personal values that were not erased, with their salts.

    Raises:
        IntegrityError: `leaf-malformed`: a stored leaf contains a line break, which could forge a line.
    """
    size = store.tree_size()
    header = {
        "checkpoint": store.latest_checkpoint() or "",
        FORMAT: VERSION,
        "size": size,
        "verifier_key": verifier_key,
    }
    yield render_canonical(header) + b"\n"
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        opened: defaultdict[int, dict[str, list[str]]] = defaultdict(dict)
        for number, opening in store.openings(start, end) if personal else ():
            opened[number][opening.field] = [opening.value, opening.salt.hex()]
        for row in store.leaves(start, end):
            if b"\n" in row.leaf:
                raise IntegrityError("leaf-malformed", f"leaf {row.number} holds a line break")
            openings = render_canonical(opened[row.number])
            yield b'{"hash":"%b","leaf":%b,"number":%d,"open":%b}\n' % (
                row.hash.hex().encode(),
                row.leaf,
                row.number,
                openings,
            )


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; a line that is too long is split into pieces, each of which is malformed."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line


def verify_export(
    lines: Iterable[bytes], *, checkpoint: str | None = None, verifier_key: str | None = None
) -> VerificationReport:
    """Verify an export.

    Args:
        lines: the lines, with any content; `read_lines` returns those of a file.
        checkpoint: a signed note that the caller has kept.
        verifier_key: the log's verifier key that the caller has kept; without it no signature is checked,
            and the result only says that the export is consistent.

    Returns:
        The report, for any bytes.

    Raises:
        MalformedInput: `key-malformed`: the caller's key is not a verifier key.

    Standard: as in the module docstring.
    Not checked: that leaves follow the catalogue of events.
    """
    key = None if verifier_key is None else parse_verifier_key(verifier_key)
    judge = LogJudge(key)
    if checkpoint is not None:
        judge.add_checkpoint("given", checkpoint)
    remaining = iter(lines)
    size = _check_header(judge, key, next(remaining, b""))
    hashes: list[bytes] = []
    expected = 0
    for place, line in enumerate(remaining, start=2):
        digest, number = _check_line(judge, place, line, expected)
        hashes.append(digest)
        expected = number + 1
        if len(hashes) == BLOCK:
            judge.extend(hashes)
            hashes.clear()
    judge.extend(hashes)
    if size is not None and size != judge.size:
        message = f"the header announces {size} leaves, the export has {judge.size}"
        judge.add_overall_fault(LogFaultCode.LOG_TRUNCATED, message)
    return judge.report()


def _check_header(judge: LogJudge, key: VerifierKey | None, line: bytes) -> int | None:
    """Return the number of leaves that the header announces, or None if there is no header."""
    try:
        header = _parse_line(line, {"checkpoint": str, FORMAT: int, "size": int, "verifier_key": str})
    except MalformedInput as error:
        judge.found.add(LogFaultCode.EXPORT_MALFORMED, f"line 1: {error.detail}", line=1)
        judge.note_missing_checkpoint("export")
        return None
    if header[FORMAT] != VERSION:
        judge.found.add(LogFaultCode.EXPORT_MALFORMED, f"line 1: not an export of version {VERSION}", line=1)
    if key is not None and header["verifier_key"] != render_verifier_key(key):
        judge.add_overall_fault(
            LogFaultCode.CHECKPOINT_FOREIGN, "the export names another key than the one given"
        )
    if header["checkpoint"]:
        judge.add_checkpoint("exported", str(header["checkpoint"]))
    else:
        judge.note_missing_checkpoint("export")
    return int(header["size"])


def _check_line(judge: LogJudge, place: int, line: bytes, expected: int) -> tuple[bytes, int]:
    """Return the hash of a line's leaf and its number; a malformed line counts as the expected leaf."""
    try:
        fields = _parse_line(line, {"hash": str, "leaf": dict, "number": int, "open": dict})
        openings = _parse_openings(fields["open"])
    except MalformedInput as error:
        judge.found.add(
            LogFaultCode.EXPORT_MALFORMED, f"line {place}: {error.detail}", number=expected, line=place
        )
        return leaf_hash(line), expected
    leaf, number = render_canonical(fields["leaf"]), fields["number"]
    digest = leaf_hash(leaf)
    if number != expected:
        message = f"line {place}: expected leaf {expected}, found leaf {number}"
        judge.found.add(LogFaultCode.LEAF_MISSING, message, number=expected, line=place)
    if digest.hex() != fields["hash"]:
        message = f"line {place}: leaf {number} was altered"
        judge.found.add(LogFaultCode.LEAF_ALTERED, message, number=number, leaf=leaf, line=place)
    judge.check_personal(number, [leaf], [(number, one) for one in openings])
    return digest, number


def _parse_line(line: bytes, form: dict[str, type]) -> dict[str, Any]:
    """Return the fields of a canonical line that has exactly these fields of these types.

    Raises:
        MalformedInput: `export-malformed`, `json-malformed`.
    """
    text = line.removesuffix(b"\n")
    fields = parse_canonical(text, MAX_LINE_BYTES)
    if not isinstance(fields, dict) or fields.keys() != form.keys():
        raise MalformedInput("export-malformed", "the line does not have the fields of an export's line")
    # type() and not isinstance: a bool is an int in Python, but not in JSON.
    if any(type(fields[name]) is not kind for name, kind in form.items()):
        raise MalformedInput("export-malformed", "a field of the line has the wrong type")
    try:
        if render_canonical(fields) == text:
            return fields
    except (UnicodeEncodeError, RecursionError):
        pass  # an escaped lone surrogate; an array that is nested almost too deeply for the parser
    raise MalformedInput("export-malformed", "the line is not in canonical form")


def _parse_openings(fields: dict[str, object]) -> list[CommitmentOpening]:
    openings = []
    for name, pair in fields.items():
        match pair:
            case [str() as value, str() as salt] if _SALT.fullmatch(salt):
                openings.append(
                    CommitmentOpening(field=name, value=value, salt=bytes.fromhex(salt), subject="")
                )
            case _:
                raise MalformedInput("export-malformed", "a personal value is not a pair of value and salt")
    return openings
