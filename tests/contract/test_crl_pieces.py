"""The contract of `StatusStore` about long CRLs, which are stored in pieces before they become the newest."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from doorward.core.errors import IntegrityError
from doorward.stores.crl_pieces import PIECE_BYTES, count_pieces, split_crl
from doorward.stores.protocols import UnitOfWork
from tests.contract.conftest import POSTGRESQL, open_empty
from tests.support.ports import CountingNotifier
from tests.support.records import crl, opaque
from tests.support.refusals import refused
from tests.support.sql_store import sql_work

ISSUER = opaque("aut", "issuing")
LONG = bytes(range(256)) * (2 * PIECE_BYTES // 256) + b"and the rest"
LONGER = b"another" + LONG


def forget_all(work: UnitOfWork) -> int:
    """Remove every piece that belongs to no CRL, each in a transaction; return how many there were."""
    for count in range(100):
        with work.change() as stores:
            if not stores.status.forget_crl_pieces(1):
                return count
    raise AssertionError("there is no end of pieces")


def test_a_long_crl_comes_back_whole(work: UnitOfWork) -> None:
    """Its pieces are stored with it if they were not added before."""
    for number, der in ((1, LONG), (2, b"short"), (3, LONGER), (4, b"")):
        with work.change() as stores:
            stores.status.store_crl(crl(number, der=der))
        with work.read() as stores:
            assert stores.status.crl(ISSUER) == crl(number, der=der)


def test_pieces_that_were_added_before_are_used(work: UnitOfWork) -> None:
    """They are added in transactions of their own, in any order, also twice; the former CRL stays the newest meanwhile."""
    with work.change() as stores:
        stores.status.store_crl(crl(1, der=LONG))
    pieces = split_crl(LONGER)
    assert len(pieces) == 3
    for one in (*reversed(pieces), pieces[1]):
        with work.change() as stores:
            stores.status.add_crl_pieces([one])
        with work.read() as stores:
            assert stores.status.crl(ISSUER) == crl(1, der=LONG)
    with work.change() as stores:
        stores.status.store_crl(crl(2, der=LONGER))
        assert stores.status.crl(ISSUER) == crl(2, der=LONGER)
    assert forget_all(work) == 2  # the first piece of the former one went with it


def test_only_pieces_without_a_crl_are_forgotten(work: UnitOfWork) -> None:
    """What is stored stays, also that of another authority; pieces of a CRL that was never stored go."""
    with work.change() as stores:
        stores.status.store_crl(crl(1, der=LONG))
        stores.status.store_crl(crl(1, der=LONGER, authority_id="aut_other"))
        stores.status.store_crl(crl(1, der=b"short", partition="1-of-2"))
        stores.status.add_crl_pieces(split_crl(LONG + LONG))
    assert forget_all(work) == len(split_crl(LONG + LONG))
    with work.read() as stores:
        assert stores.status.crl(ISSUER) == crl(1, der=LONG)
        assert stores.status.crl("aut_other") == crl(1, der=LONGER, authority_id="aut_other")
        assert stores.status.crl(ISSUER, "1-of-2") == crl(1, der=b"short", partition="1-of-2")


def test_pieces_that_were_forgotten_before_the_crl_is_stored_are_stored_with_it(work: UnitOfWork) -> None:
    """Another process may take them for leftovers."""
    pieces = split_crl(LONG)
    with work.change() as stores:
        stores.status.add_crl_pieces(pieces)
        assert stores.status.forget_crl_pieces(2) == 2
        stores.status.store_crl(crl(1, der=LONG))
        assert stores.status.crl(ISSUER) == crl(1, der=LONG)


def test_a_short_crl_leaves_nothing(work: UnitOfWork) -> None:
    """It is replaced in one transaction."""
    for number in range(1, 4):
        with work.change() as stores:
            stores.status.store_crl(crl(number))
    assert forget_all(work) == 0


def test_a_number_that_does_not_grow_changes_no_piece(work: UnitOfWork) -> None:
    """The CRL with that number stays whole."""
    with work.change() as stores:
        stores.status.store_crl(crl(5, der=LONG))
    with work.change() as stores, refused(IntegrityError, "crl-number"):
        stores.status.store_crl(crl(5, der=LONGER))
    with work.read() as stores:
        assert stores.status.crl(ISSUER) == crl(5, der=LONG)
    assert forget_all(work) == 0


def test_a_crl_is_checked_without_loading_it(work: UnitOfWork) -> None:
    """A whole one passes, with one piece and with several; one that does not exist has no fault."""
    with work.change() as stores:
        stores.status.check_crl(ISSUER)
        stores.status.store_crl(crl(1, der=LONG))
        stores.status.store_crl(crl(1, der=b"short", partition="1-of-2"))
        stores.status.store_crl(crl(1, der=b"", partition="2-of-2"))
        for partition in ("", "1-of-2", "2-of-2"):
            stores.status.check_crl(ISSUER, partition)


@pytest.mark.parametrize("kind", ["sqlite", "one-shot", *POSTGRESQL])
@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM crl_pieces",
        "DELETE FROM crl_pieces WHERE number = 1",
        "UPDATE crl_pieces SET content = x'00' WHERE number = 2",
        "UPDATE crl_pieces SET number = 7 WHERE number = 0",
        "INSERT INTO crl_pieces (tenant, sha256, number, content) SELECT tenant, sha256, 9, content FROM crl_pieces WHERE number = 2",
        "UPDATE crl_heads SET sha256 = 'another'",
    ],
)
def test_a_damaged_crl_is_not_handed_out(
    kind: str, damage: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A list without some entries would un-revoke certificates."""
    request.param = kind
    with closing(open_empty(request, tmp_path)) as database:
        work = sql_work(database, notifier=CountingNotifier())
        with work.change() as stores:
            stores.status.store_crl(crl(1, der=LONG))
        with database.write() as connection:
            core = getattr(connection, "core", connection)
            core.execute(
                text(damage.replace("x'00'", "decode('00', 'hex')") if "postgresql" in kind else damage)
            )
        with work.read() as stores:
            with refused(IntegrityError, "crl-damaged"):
                stores.status.crl(ISSUER)
            with refused(IntegrityError, "crl-damaged"):
                stores.status.check_crl(ISSUER)


@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_pieces_are_counted_as_they_are_split(length: int) -> None:
    """An empty CRL has one piece."""
    assert count_pieces(bytes(length)) == len(split_crl(bytes(length)))
