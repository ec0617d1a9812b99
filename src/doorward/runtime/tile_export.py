"""Exporting the log as static tiles, into a folder that any web server can serve.

    1. The folder's own checkpoint, if it has one, must be one of this log and not newer than the log: otherwise the log
       was rewritten or truncated since then.
    2. Tiles that are there are kept. The first one that is missing is looked for; with `check`, it is the first of all.
    3. From there on, leaves are read and hashed again. Each tile is compared with the hashes that the log stores, and
       with its file, before it is written.
    4. The root over the files and the new leaves is computed, and must be the one that the checkpoint signs.
    5. Last, the checkpoint is replaced. So it never covers more than there is.

A process that is killed leaves complete files, and the old checkpoint; the next export continues. The folder has leaves with
their commitments, and no personal values.

Not here: the layout (`audit.static_tiles`), the folder (`tile_folder`).
Standard: C2SP tlog-tiles, C2SP tlog-checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from doorward.audit.log import EventStore
from doorward.audit.merkle import root_hash
from doorward.audit.note import Checkpoint, VerifierKey, open_checkpoint, parse_verifier_key
from doorward.audit.static_tiles import StaticTree, TileFile, TileName, completed_by
from doorward.audit.tiles import TILE_HASHES
from doorward.core.errors import DoorwardError, IntegrityError, Unavailable
from doorward.runtime.evidence import SIGNED_BY_SERVE
from doorward.runtime.tile_folder import CHECKPOINT, TileFolder, open_tile_folder
from doorward.storage.event_store import SqlEventLog

_TILES_AT_ONCE = 16
"""Tiles that are read in one transaction: 4,096 leaves, some megabytes."""


class TilesExported(NamedTuple):
    """What an export did: events under the checkpoint, files that were written (without it), and the checkpoint."""

    events: int
    written: int
    checkpoint: str


def export_tiles(
    log: SqlEventLog,
    verifier_key: str,
    folder: Path,
    *,
    check: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TilesExported:
    """Bring the static tiles in a folder to the newest checkpoint; the numbered steps are in the module's docstring.

    Args:
        log: the log.
        verifier_key: the log's, one line.
        folder: new, empty, or of an earlier export of this log.
        check: also read every leaf and compare every file that is there.
        progress: called with (events done, all events) after each few thousand.

    Raises:
        Unavailable: `checkpoint-missing`: nothing was signed yet; `tiles-folder-busy`.
        RequestRefused: `tiles-folder-unusable`.
        IntegrityError: `checkpoint-foreign`, `log-truncated`, `log-rewritten` (1); `tile-altered` (2, 3); `leaf-missing`,
            `node-altered`, `node-missing`, `entry-too-large` (3); `root-mismatch` (4). The checkpoint is not replaced.
    """
    key = parse_verifier_key(verifier_key)
    with open_tile_folder(folder, verifier_key) as target:
        before = target.checkpoint()
        with log.read() as store:
            text = store.latest_checkpoint()
            if text is None:
                raise Unavailable(
                    "checkpoint-missing", "no checkpoint of this log was signed yet", hint=SIGNED_BY_SERVE
                )
            head = _open(text, key, "the newest checkpoint of the log")
            if before is not None:
                _check_continues(store, _open(before, key, str(folder / CHECKPOINT)), head)  # 1
        kept = 0 if check else _count_kept(target, head.size // TILE_HASHES)  # 2
        written = _write_tiles(log, target, head, kept, progress)
        if text != before:
            target.write_checkpoint(text)  # 5
    return TilesExported(head.size, written, text)


def _open(text: str, key: VerifierKey, what: str) -> Checkpoint:
    try:
        return open_checkpoint(text, [key])
    except DoorwardError as error:
        raise IntegrityError("checkpoint-foreign", f"{what} was not signed by this log: {error}") from error


def _check_continues(store: EventStore, before: Checkpoint, head: Checkpoint) -> None:
    """Step 1."""
    if before.size > head.size:
        raise IntegrityError(
            "log-truncated",
            f"the folder's checkpoint has {before.size} events, and the newest of the log has {head.size}",
            hint="if the log was put back from a backup, export it into a new folder, and say so to its readers",
        )
    if root_hash(before.size, store.nodes) != before.root:
        raise IntegrityError(
            "log-rewritten", f"the first {before.size} events differ from those of the folder's checkpoint"
        )


def _count_kept(target: TileFolder, complete: int) -> int:
    """Step 2: return the number of the first tile of level 0 that is missing, or completes a file that is."""
    for number in range(complete):
        if not all(map(target.has, completed_by(number))):
            return number
    return complete


def _write_tiles(
    log: SqlEventLog,
    target: TileFolder,
    head: Checkpoint,
    kept: int,
    progress: Callable[[int, int], None],
) -> int:
    """Steps 3 and 4; return how many files were written."""
    with log.read() as store:
        tree = StaticTree(kept, lambda name: _read_kept(store, target, name))
    if kept:
        for name in completed_by(kept - 1):
            target.drop_partial(name)  # of an export that was killed between two steps
    written = 0
    step = _TILES_AT_ONCE * TILE_HASHES
    for start in range(kept * TILE_HASHES, head.size, step):
        end = min(start + step, head.size)
        with log.read() as store:
            for leaves in _tiles_of_leaves(store, start, end):
                for file in tree.add(leaves):
                    written += _write(store, target, file)
        progress(end, head.size)
    if tree.root() != head.root:  # 4
        raise IntegrityError(
            "root-mismatch",
            f"the files and events have another root than the checkpoint over {head.size} events signs",
            hint="run `doorward audit verify`; if the log is good, export it again with --check-all",
        )
    with log.read() as store:
        return written + sum(_write(store, target, file) for file in tree.partial_tiles())


def _read_kept(store: EventStore, target: TileFolder, name: TileName) -> bytes:
    """Return a hash tile of the folder, compared with the stored hashes: new tiles are built upon it."""
    content = target.read(name)
    if content != b"".join(store.nodes(name.places)):
        raise target.altered(name)
    return content


def _tiles_of_leaves(store: EventStore, start: int, end: int) -> Iterator[list[bytes]]:
    rows = list(store.leaves(start, end))
    for place, number in enumerate(range(start, end)):
        if place >= len(rows) or rows[place].number != number:
            raise IntegrityError(
                "leaf-missing", f"leaf {number} is missing, or is stored twice", hint=_VERIFY
            )
    for place in range(0, len(rows), TILE_HASHES):
        yield [row.leaf for row in rows[place : place + TILE_HASHES]]


def _write(store: EventStore, target: TileFolder, file: TileFile) -> bool:
    """Step 3 for one file; a complete one replaces the partial ones before it."""
    places = file.name.places
    if places and b"".join(store.nodes(places)) != file.content:
        level, first = places[0]
        raise IntegrityError(
            "node-altered",
            f"stored hashes of events {first << level} to {((first + len(places)) << level) - 1} differ from the events",
            hint=_VERIFY,
        )
    new = target.write(file)
    if file.name.width == TILE_HASHES:
        target.drop_partial(file.name)
    return new


_VERIFY = "stop, do not change the database, and run `doorward audit verify`, which names what was altered"
