"""A partner's long CRL that was damaged in the database: fetching mends it, and nothing older takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.ports import FetchResponse
from doorward.partners.evidence import fetch_results, lease_due, list_evidence_health, process_fetch_result
from doorward.partners.evidence_cache import EvidenceCache
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores.crl_pieces import PIECE_BYTES
from doorward.stores.records import ChangeKind
from tests.support.certificates.status import HOUR, crl_of
from tests.support.partner_world import ROOT_CRL, PartnerWorld, partner_world
from tests.support.ports import NOON
from tests.support.sql_store import sql_work, sqlite_database

DAMAGES = [
    "UPDATE evidence_pieces SET content = x'00' WHERE number = 1",
    "DELETE FROM evidence_pieces WHERE number = 0",
]


@dataclass
class Scene:
    """A partner with a long CRL in a database."""

    west: PartnerWorld
    database: SqliteDatabase
    long: bytes

    def damage(self, how: str = DAMAGES[0]) -> None:
        """Damage the stored CRL; an hour passes."""
        with self.database.write() as connection:
            assert connection.execute(text(how)).rowcount == 1
        self.west.clock.turn(hours=1)
        assert self.west.row(ROOT_CRL).der == b""

    def fetch(self, body: bytes | DoorwardError | None) -> DoorwardError | None:
        """Lease the due fetch, and process this response to it; None is the status 304, and an error is that of the fetch."""
        (task,) = lease_due(self.west.services, self.west.slots)
        self.west.slots.release(task.evidence.partner_id, task.host, task.evidence.kind)
        if isinstance(body, DoorwardError):
            return process_fetch_result(self.west.services, task, body)
        if body is None:
            assert task.request.etag
        return process_fetch_result(
            self.west.services, task, FetchResponse(body=body, etag='"one"' if body else "")
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The CRL is valid for two days."""
    with closing(sqlite_database(tmp_path)) as database:
        west = partner_world(work=sql_work(database))
        made = Scene(west, database, long_crl(west))
        west.look()
        assert made.fetch(made.long) is None
        assert west.row(ROOT_CRL).der == made.long
        yield made


def long_crl(west: PartnerWorld, *, before: timedelta = HOUR, number: int = 5) -> bytes:
    """Return a CRL of several pieces, made so long before noon."""
    made = crl_of(
        west.root,
        *range(9, 15_009),
        this_update=NOON - before,
        next_update=NOON + timedelta(days=2),
        number=number,
    )
    assert len(made) > PIECE_BYTES
    return made


@pytest.mark.parametrize("how", DAMAGES)
def test_the_same_crl_is_stored_again(scene: Scene, how: str) -> None:
    """Gateways are told, so that the partner's people get in again, though the partner has nothing new."""
    scene.damage(how)
    with scene.west.work.read() as stores:
        head = stores.changes.head()
    cache = EvidenceCache(scene.west.work)
    cache.load(scene.west.partner.id)
    assert scene.fetch(scene.long) is None
    assert scene.west.row(ROOT_CRL).der == scene.long
    with scene.west.work.read() as stores:
        assert [one.kind for one in stores.changes.since(head)] == [ChangeKind.EVIDENCE]
    assert cache.load(scene.west.partner.id)


def test_after_304_the_whole_crl_is_asked_for(scene: Scene) -> None:
    """The server knows nothing of the damage: only a request without the ETag gets the bytes, and soon. Operators see why."""
    scene.damage()
    failure = scene.fetch(None)
    assert failure is not None
    assert failure.code == "evidence-damaged"
    row = scene.west.row(ROOT_CRL)
    assert (row.etag, row.failures) == ("", 1)
    assert row.problem.endswith("(evidence-damaged)")
    assert row.try_at <= scene.west.clock.now() + timedelta(seconds=30)
    scene.west.clock.turn(seconds=30)
    assert scene.fetch(scene.long) is None
    row = scene.west.row(ROOT_CRL)
    assert (row.der, row.failures, row.problem) == (scene.long, 0, "")


def test_after_an_outage_it_is_asked_for_as_soon(scene: Scene) -> None:
    """The server answers again: the pause that its failures had made long is over."""
    scene.damage()
    for _ in range(9):
        scene.west.clock.turn(hours=1)
        failure = scene.fetch(Unavailable("fetch-unreachable", "no server answers"))
        assert failure is not None
    scene.west.clock.turn(hours=1)
    failure = scene.fetch(None)
    assert failure is not None
    assert failure.code == "evidence-damaged"
    assert scene.west.row(ROOT_CRL).try_at <= scene.west.clock.now() + timedelta(seconds=15)


@pytest.mark.parametrize("how", ["x'3000'", "zeroblob(length(der))"])
def test_a_short_crl_is_mended_too(tmp_path: Path, how: str) -> None:
    """It lies in its row: what was not fetched is not handed out, and the next fetch stores the CRL again."""
    with closing(sqlite_database(tmp_path)) as database:
        west = partner_world(work=sql_work(database))
        short = crl_of(west.root, 9, this_update=NOON - HOUR, next_update=NOON + timedelta(days=2))
        scene = Scene(west, database, short)
        west.look()
        assert scene.fetch(short) is None
        scene.damage(f"UPDATE evidence SET der = {how} WHERE source = '{ROOT_CRL}'")
        assert scene.fetch(short) is None
        assert west.row(ROOT_CRL).der == short


def test_status_tells_of_it_until_it_is_mended(scene: Scene) -> None:
    """Also if the fetch after it fails for another reason."""

    def damaged() -> int:
        (told,) = list_evidence_health(scene.west.services, scene.west.clock.now())
        return told.damaged

    assert damaged() == 0
    scene.damage()
    assert scene.fetch(None) is not None
    assert damaged() == 1
    scene.west.clock.turn(minutes=1)
    assert scene.fetch(Unavailable("fetch-unreachable", "no server answers")) is not None
    assert damaged() == 1
    scene.west.clock.turn(minutes=1)
    assert scene.fetch(scene.long) is None
    assert damaged() == 0


def test_nothing_older_takes_its_place(scene: Scene) -> None:
    """An old CRL that is replayed after the damage would let a revoked certificate in."""
    scene.damage()
    older = long_crl(scene.west, before=2 * HOUR, number=4)
    failure = scene.fetch(older)
    assert failure is not None
    assert failure.code == "evidence-replayed"
    assert scene.west.row(ROOT_CRL).der == b""
    scene.west.clock.turn(minutes=5)
    newer = long_crl(scene.west, before=timedelta(), number=6)
    assert scene.fetch(newer) is None
    assert scene.west.row(ROOT_CRL).der == newer


def test_after_its_end_it_excludes_nothing(scene: Scene) -> None:
    """As a CRL that is whole: otherwise one that was stored by mistake would exclude the right one for ever."""
    scene.damage()
    scene.west.clock.turn(days=30)
    now = scene.west.clock.now()
    older = crl_of(scene.west.root, this_update=NOON - 2 * HOUR, next_update=now + HOUR)
    assert scene.fetch(older) is None
    assert scene.west.row(ROOT_CRL).der == older


@pytest.mark.parametrize("is_newer", [False, True])
def test_the_limit_of_all_lists_does_not_keep_it_damaged(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, is_newer: bool
) -> None:
    """The same CRL or a newer one replaces a damaged one also at the limit."""
    scene.damage()
    monkeypatch.setattr(fetch_results, "LISTS_BYTES", len(scene.long))
    sent = long_crl(scene.west, before=timedelta(), number=6) if is_newer else scene.long
    assert scene.fetch(sent) is None
    assert scene.west.row(ROOT_CRL).der == sent


def test_a_fetch_is_good_though_the_former_pieces_cannot_be_removed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan removes them later; the source must not count as failing."""

    def busy(*_: object) -> None:
        raise Unavailable("store-busy", "another process writes")

    monkeypatch.setattr(fetch_results, "forget_pieces", busy)
    scene.west.clock.turn(hours=1)
    newer = long_crl(scene.west, before=timedelta(), number=6)
    assert scene.fetch(newer) is None
    assert scene.west.row(ROOT_CRL).der == newer
