"""The contract of `EvidenceStore` about long CRLs, which are stored in pieces before a row has them."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from doorward.stores.crl_pieces import PIECE_BYTES, split_crl
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.stores.protocols import UnitOfWork
from tests.contract.conftest import POSTGRESQL, open_empty
from tests.support.ports import NOON, CountingNotifier
from tests.support.records import evidence
from tests.support.sql_store import sql_work

URL, OTHER = "http://a.example/crl", "http://b.example/crl"
LONG = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"and the rest"
LONGER = b"another" + LONG


def of(der: bytes, source: str = URL) -> EvidenceRecord:
    """Return a row with a CRL."""
    return evidence("west", source, der=der, sha256=hashlib.sha256(der).hexdigest())


def find(work: UnitOfWork, source: str = URL) -> EvidenceRecord | None:
    """Return the row of a source."""
    with work.read() as stores:
        return stores.evidence.get(of(b"").partner_id, EvidenceKind.CRL, source, "")


def forget_all(work: UnitOfWork) -> int:
    """Remove every piece that no row has; return how many there were."""
    with work.change() as stores:
        return sum(stores.evidence.forget_pieces(one, 100) for one in stores.evidence.unused_pieces())


@pytest.mark.parametrize("der", [b"short", b"x" * PIECE_BYTES, b"x" * (PIECE_BYTES + 1), LONG])
def test_evidence_comes_back_whole(work: UnitOfWork, der: bytes) -> None:
    """Of any length, with its size; its pieces are stored with it if they were not added before."""
    for one in (of(der), of(LONGER), of(der)):
        with work.change() as stores:
            stores.evidence.store(one)
            stores.evidence.store(of(b"other", OTHER))
        assert find(work) == one
        with work.read() as stores:
            assert stores.evidence.size(one.partner_id, EvidenceKind.CRL) == len(one.der) + len(b"other")
            assert stores.evidence.list(one.partner_id) == [
                replace(one, der=b""),
                replace(of(b"other", OTHER), der=b""),
            ]
            assert stores.evidence.digest(one.partner_id, EvidenceKind.CRL, URL, "") == one.sha256
            assert stores.evidence.digest(one.partner_id, EvidenceKind.CRL, "http://c.example/", "") is None


def test_pieces_that_were_added_before_are_used(work: UnitOfWork) -> None:
    """They are added in any order, also twice; the row has the former CRL meanwhile."""
    with work.change() as stores:
        stores.evidence.store(of(LONG))
    pieces = split_crl(LONGER)
    for one in (*reversed(pieces), pieces[1]):
        with work.change() as stores:
            stores.evidence.add_pieces([one])
        assert find(work) == of(LONG)
    with work.change() as stores:
        stores.evidence.store(of(LONGER))
    assert find(work) == of(LONGER)


def test_only_pieces_without_a_row_are_forgotten(work: UnitOfWork) -> None:
    """A few in each transaction; a CRL that two rows have stays until neither has it."""
    with work.change() as stores:
        stores.evidence.store(of(LONG))
        stores.evidence.store(of(LONG, OTHER))
        stores.evidence.add_pieces(split_crl(LONGER))
        assert stores.evidence.forget_pieces(of(LONG).sha256, 9) == 0
        assert stores.evidence.forget_pieces(of(LONGER).sha256, 2) == 2
        assert stores.evidence.unused_pieces() == [of(LONGER).sha256]
        assert stores.evidence.forget_pieces(of(LONGER).sha256, 2) == 1
        stores.evidence.forget(of(b"").partner_id, EvidenceKind.CRL, URL, "")
    assert forget_all(work) == 0
    assert find(work, OTHER) == of(LONG, OTHER)
    with work.change() as stores:
        stores.evidence.store(of(b"short", OTHER))
    assert forget_all(work) == len(split_crl(LONG))


def test_pieces_that_were_forgotten_before_the_row_is_stored_are_stored_with_it(work: UnitOfWork) -> None:
    """Another process may take them for leftovers."""
    with work.change() as stores:
        stores.evidence.add_pieces(split_crl(LONG))
        assert stores.evidence.forget_pieces(of(LONG).sha256, 2) == 2
        stores.evidence.store(of(LONG))
    assert find(work) == of(LONG)


def test_a_fetch_without_news_changes_no_piece(work: UnitOfWork) -> None:
    """Neither the lease nor the new time."""
    with work.change() as stores:
        stores.evidence.store(of(LONG))
        assert stores.evidence.lease(of(LONG), NOON.replace(hour=13))
        stores.evidence.reschedule(replace(of(LONG), try_at=NOON.replace(hour=14)))
    assert find(work) == replace(of(LONG), try_at=NOON.replace(hour=14))


@pytest.mark.parametrize("kind", ["sqlite", "one-shot", *POSTGRESQL])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM evidence_pieces WHERE number = 2",
        "UPDATE evidence_pieces SET content = x'00' WHERE number = 1",
    ],
)
def test_a_part_of_a_crl_is_never_returned(
    kind: str, damage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A list without some entries would let a revoked certificate in: the row has no bytes then."""
    request.param = kind
    with closing(open_empty(request, tmp_path)) as database:
        work = sql_work(database, notifier=CountingNotifier())
        with work.change() as stores:
            stores.evidence.store(of(LONG))
        with database.write() as connection:
            core = getattr(connection, "core", connection)
            core.execute(
                text(damage.replace("x'00'", "decode('00', 'hex')") if "postgresql" in kind else damage)
            )
        assert find(work) == replace(of(LONG), der=b"")
