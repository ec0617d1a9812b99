"""A log from before blocks and tiles keeps its leaves, proofs and checkpoints, and grows on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from doorward.audit.log import sequence, sign_checkpoint
from doorward.audit.merkle import Accumulator, leaf_hash
from doorward.audit.note import Checkpoint, render_checkpoint, render_verifier_key, sign_note, verifier_key
from doorward.audit.report import LogFaultCode
from doorward.audit.searching import find_mentions
from doorward.audit.verifying import verify_log
from doorward.core.entities import TENANT
from doorward.storage.backend import Database
from doorward.storage.connection import core_of
from doorward.storage.event_store import SqlEventLog
from doorward.storage.log_packing import pack_leaves
from doorward.storage.migrating import upgrade_to
from doorward.storage.schema_versions import REVISIONS, migrate
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.storage.values import to_microseconds
from tests.support.events import ALICE, request_answered, seal, sealed_block
from tests.support.ports import NOON

ORIGIN = "corp.example/audit"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
VERIFIER = render_verifier_key(verifier_key(ORIGIN, SIGNER.public_key()))
SIZE = 700
BEFORE = REVISIONS[REVISIONS.index("0020") - 1]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database without a schema."""
    if request.param == "sqlite":
        with closing(SqliteDatabase(request.getfixturevalue("tmp_path") / "doorward.db")) as made:
            made.create()
            yield made
        return
    from doorward.storage.postgresql.database import PostgresqlDatabase  # its driver is optional

    with closing(PostgresqlDatabase(request.getfixturevalue("postgresql").empty())) as made:
        made.create()
        yield made


def _fill(database: Database) -> str:
    """Write a log as the version before wrote it, with one event in the outbox; return the checkpoint."""
    tree = Accumulator()
    sealed = [seal(request_answered(number)) for number in range(SIZE + 1)]
    runs = tree.extend([leaf_hash(one.leaf) for one in sealed[:SIZE]])
    head = Checkpoint(origin=ORIGIN, size=SIZE, root=tree.root())
    note = sign_note(render_checkpoint(head), SIGNER, ORIGIN)
    with database.write() as connection:
        core = core_of(connection)
        upgrade_to(core, BEFORE)
        core.execute(
            text(
                "INSERT INTO log_leaves (tenant, number, event_id, leaf, hash) VALUES (:tenant, :number, :id, :leaf, :hash)"
            ),
            [
                {
                    "tenant": TENANT,
                    "number": number,
                    "id": one.id,
                    "leaf": one.leaf,
                    "hash": leaf_hash(one.leaf),
                }
                for number, one in enumerate(sealed[:SIZE])
            ],
        )
        core.execute(
            text(
                "INSERT INTO log_nodes (tenant, level, number, hash) VALUES (:tenant, :level, :number, :hash)"
            ),
            [
                {"tenant": TENANT, "level": run.level, "number": number, "hash": digest}
                for run in runs
                for number, digest in enumerate(run.hashes, start=run.start)
            ],
        )
        core.execute(
            text(
                "INSERT INTO log_openings (event_id, field, tenant, subject, retention, at, salt, value) "
                "VALUES (:id, :field, :tenant, :subject, 'access', :at, :salt, :value)"
            ),
            [
                {
                    "id": one.id,
                    "field": opening.field,
                    "tenant": TENANT,
                    "subject": opening.subject,
                    "at": to_microseconds(one.at),
                    "salt": opening.salt,
                    "value": opening.value,
                }
                for one in sealed
                for opening in one.openings
            ],
        )
        core.execute(
            text("INSERT INTO log_outbox (tenant, event_id, leaf) VALUES (:tenant, :id, :leaf)"),
            {"tenant": TENANT, "id": sealed[SIZE].id, "leaf": sealed[SIZE].leaf},
        )
        core.execute(
            text('INSERT INTO log_checkpoints (tenant, size, text, "at") VALUES (:tenant, :size, :text, 0)'),
            {"tenant": TENANT, "size": SIZE, "text": note},
        )
    return note


def test_a_log_from_before_verifies_and_grows_on(database: Database) -> None:
    """A checkpoint from before verifies after the migration, also after blocks came; old and new are erased together."""
    before = _fill(database)
    assert migrate(database) == BEFORE
    log = SqlEventLog(database)
    with log.read() as store:
        report = verify_log(store, checkpoint=before, verifier_key=VERIFIER)
        assert report.verified
        assert (report.size, report.opened, report.redacted) == (SIZE, 2 * SIZE, 0)
    with log.change() as store:
        store.record_block(sealed_block(*range(2000, 2300)))
        assert sequence(store, 9000) == 301
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    with log.read() as store:
        report = verify_log(store, checkpoint=before, verifier_key=VERIFIER)
        assert report.verified
        assert (report.size, report.opened) == (SIZE + 301, 2 * (SIZE + 301))
        assert find_mentions(store, ALICE, 2).numbers == [SIZE + 300, SIZE + 299]
        (row,) = store.leaves(SIZE, SIZE + 1)
        assert row.event_id == seal(request_answered(SIZE)).id
    assert _erase(log) == 2 * (SIZE + 301)
    with log.read() as store:
        report = verify_log(store, checkpoint=before, verifier_key=VERIFIER)
        assert report.verified
        assert report.redacted == 2 * (SIZE + 301)


def _erase(log: SqlEventLog) -> int:
    """Erase Alice's values, a part in each transaction; return how many there were."""
    erased = 0
    while True:
        with log.change() as store:
            found = store.erase_subject(TENANT, ALICE)
        if not found:
            return erased
        erased += found


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("DELETE FROM log_leaves WHERE number = 300", LogFaultCode.LEAF_MISSING),
        ("UPDATE log_nodes SET hash = :other WHERE level = 8 AND number = 1", LogFaultCode.NODE_ALTERED),
        ("UPDATE log_leaves SET hash = :other WHERE number = 5", LogFaultCode.LEAF_ALTERED),
    ],
)
def test_what_was_altered_before_is_found_after(
    database: Database, statement: str, wanted: LogFaultCode
) -> None:
    """A migration does not repair and does not hide: a fault of the old log is a fault of the new one."""
    _fill(database)
    with database.write() as connection:
        values = {"other": bytes(32)} if ":other" in statement else {}
        core_of(connection).execute(text(statement), values)
    migrate(database)
    with SqlEventLog(database).read() as store:
        assert wanted in [one.code for one in verify_log(store, verifier_key=VERIFIER).faults]


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("UPDATE log_segments SET leaves = :other", [LogFaultCode.LEAF_MISSING] * 3),
        ("DELETE FROM log_segments", [LogFaultCode.LEAF_MISSING] * 3),
        ("UPDATE log_tiles SET hashes = :tile WHERE level = 0", [LogFaultCode.LEAF_ALTERED] * 3),
        ("UPDATE log_block_openings SET content = :other", [LogFaultCode.PERSONAL_ALTERED]),
    ],
)
def test_what_is_altered_in_a_block_is_found(
    database: Database, statement: str, wanted: list[LogFaultCode]
) -> None:
    """Whatever of a block is rewritten in the database, verifying names it, and the rest is verified."""
    migrate(database)
    log = SqlEventLog(database)
    with log.change() as store:
        store.record_block(sealed_block(1, 2, 3))
        sequence(store, 99)
        sign_checkpoint(store, SIGNER, ORIGIN, NOON + timedelta(seconds=1))
    with database.write() as connection:
        values = {"other": b"x" * 40, "tile": bytes(96)}
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        core_of(connection).execute(text(statement), used)
    with log.read() as store:
        faults = [one.code for one in verify_log(store, verifier_key=VERIFIER).faults]
    assert [one for one in faults if one is not LogFaultCode.ROOT_MISMATCH] == wanted


@pytest.mark.parametrize("second", ["log_leaves", "log_segments"])
def test_a_leaf_that_is_stored_twice_is_found(database: Database, second: str) -> None:
    """A forged leaf in a block, and the true one beside it: readers would show the one, and verifying read the other."""
    migrate(database)
    log = SqlEventLog(database)
    with log.change() as store:
        store.record_block(sealed_block(1, 2, 3))
        sequence(store, 99)
        sign_checkpoint(store, SIGNER, ORIGIN, NOON)
    with log.read() as store:
        leaves = [one.leaf for one in store.leaves(0, 3)]
    forged = [leaves[0], leaves[1].replace(b"GET", b"PUT"), leaves[2]]
    values = {
        "of": TENANT,
        "event": seal(request_answered(2)).id,
        "true": leaves[1],
        "hash": leaf_hash(leaves[1]),
    }
    statement = (
        "INSERT INTO log_leaves (tenant, number, event_id, leaf, hash) VALUES (:of, 1, :event, :true, :hash)"
    )
    if second == "log_segments":
        values = {"of": TENANT, "true": pack_leaves(leaves[1:2])}
        statement = "INSERT INTO log_segments (tenant, first, events, leaves) VALUES (:of, 1, 1, :true)"
    with database.write() as connection:
        core = core_of(connection)
        core.execute(text("UPDATE log_segments SET leaves = :forged"), {"forged": pack_leaves(forged)})
        core.execute(text(statement), values)
    with log.read() as store:
        faults = verify_log(store, verifier_key=VERIFIER).faults
    assert [(one.code, one.number) for one in faults] == [(LogFaultCode.LEAF_ALTERED, 1)]


def test_openings_beyond_their_block_are_damage(database: Database) -> None:
    """Openings that name a place after the end of their block are not given to a leaf of another block."""
    migrate(database)
    log = SqlEventLog(database)
    with log.change() as store:
        store.record_block(sealed_block(1, 2, 3))
        store.record_block(sealed_block(4))
        sequence(store, 99)
    with database.write() as connection:
        core_of(connection).execute(text("UPDATE log_blocks SET events = 1"))
    with log.read() as store:
        assert [(number, one.field) for number, one in store.openings(0, 9)] == [
            (0, "openings"),
            (3, "path"),
            (3, "source"),
        ]
