"""The contract of `AcmeStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.entities import TENANT
from doorward.stores.acme_protocols import (
    AcmeAccountRecord,
    AcmeChallengeRecord,
    AcmeOrderRecord,
    AcmePauseRecord,
)
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import opaque

FIRST, SECOND = sorted((opaque("ord", "a"), opaque("ord", "b")))
MINUTE = timedelta(minutes=1)


def order(order_id: str = FIRST) -> AcmeOrderRecord:
    """Return an open order."""
    return AcmeOrderRecord(order_id=order_id, tenant=TENANT, directory="", next_try_at=NOON)


def challenge(token: str, order_id: str = FIRST) -> AcmeChallengeRecord:
    """Return a challenge."""
    return AcmeChallengeRecord(
        token=token,
        tenant=TENANT,
        order_id=order_id,
        host="a.corp.example",
        kind="http-01",
        authorization=f"{token}.x",
        ends_at=NOON,
    )


def test_an_account_is_kept_and_replaced(work: UnitOfWork) -> None:
    """The last record of an account is returned."""
    first = AcmeAccountRecord(
        id="one",
        tenant=TENANT,
        directory="https://acme.example/d",
        url="https://acme.example/1",
        contact="",
        key_name="acme-one",
        created_at=NOON,
    )
    with work.change() as stores:
        stores.acme.save_account(first)
        stores.acme.save_account(replace(first, contact="it@corp.example"))
    with work.read() as stores:
        assert stores.acme.account("one") == replace(first, contact="it@corp.example")
        assert stores.acme.account("two") is None


def test_an_order_is_replaced_by_one(work: UnitOfWork) -> None:
    """Of two processes that read the same version, one replaces it."""
    done = replace(
        order(),
        url="https://acme.example/1",
        failures=2,
        next_try_at=None,
        leased_until=NOON,
        lease="word",
        failing_since=NOON,
        problem_code="acme-refused",
        problem="no",
        chain=b"pem",
        ends_at=NOON,
        renew_at=NOON,
        ask_again_at=NOON,
    )
    with work.change() as stores:
        stores.acme.add_order(order())
        assert stores.acme.replace_order(done)
        assert not stores.acme.replace_order(done)
        assert not stores.acme.replace_order(order(SECOND))
    with work.read() as stores:
        assert stores.acme.orders([FIRST, SECOND]) == {FIRST: replace(done, version=1)}


def test_what_is_due_is_found(work: UnitOfWork) -> None:
    """An order is due for a try, or for a question about its renewal."""
    with work.change() as stores:
        stores.acme.add_order(order(SECOND))
        stores.acme.add_order(replace(order(), next_try_at=None, ask_again_at=NOON + MINUTE))
        assert [one.order_id for one in stores.acme.due(NOON)] == [SECOND]
        assert [one.order_id for one in stores.acme.due(NOON + MINUTE)] == [FIRST, SECOND]
        assert stores.acme.due(NOON - MINUTE) == []
        assert [one.order_id for one in stores.acme.every_order()] == [FIRST, SECOND]
        stores.acme.remove_order(SECOND)
        assert [one.order_id for one in stores.acme.every_order()] == [FIRST]


def test_challenges_end_with_their_order(work: UnitOfWork) -> None:
    """A challenge is found by its token, until its order or all of its challenges are removed."""
    with work.change() as stores:
        for token in ("b", "a"):
            stores.acme.save_challenge(challenge(token))
        stores.acme.save_challenge(replace(challenge("c", SECOND), host="b.corp.example"))
        assert [one.token for one in stores.acme.challenges()] == ["a", "b", "c"]
        assert stores.acme.challenge("a") == challenge("a")
        assert stores.acme.remove_challenges(FIRST) == 2
        stores.acme.remove_order(SECOND)
        assert stores.acme.challenges() == []
        assert stores.acme.challenge("a") is None


def test_the_next_time_is_the_earliest_to_come(work: UnitOfWork) -> None:
    """A time that is over does not count, nor an order without one."""
    with work.change() as stores:
        assert stores.acme.next_due(NOON) is None
        stores.acme.add_order(replace(order(SECOND), next_try_at=NOON + 2 * MINUTE))
        stores.acme.add_order(replace(order(), ask_again_at=NOON + MINUTE))
        assert stores.acme.next_due(NOON - MINUTE) == NOON
        assert stores.acme.next_due(NOON) == NOON + MINUTE
        assert stores.acme.next_due(NOON + MINUTE) == NOON + 2 * MINUTE
        assert stores.acme.next_due(NOON + 2 * MINUTE) is None


def test_tries_are_counted_by_gateway_host_and_day(work: UnitOfWork) -> None:
    """Earlier days are forgotten."""
    with work.change() as stores:
        stores.acme.count_try("g", "a", "2026-11-22")
        for gateway in ("g", "g", "h"):
            stores.acme.count_try(gateway, "a", "2026-11-23")
        assert stores.acme.tries("a", "2026-11-23") == {"g": 2, "h": 1}
        assert stores.acme.tries("b", "2026-11-23") == {}
        assert stores.acme.tries("a", "2026-11-22") == {}


def test_a_pause_is_kept_until_it_is_removed(work: UnitOfWork) -> None:
    """One for each directory; the last one counts."""
    first, second = (
        AcmePauseRecord(directory=one, tenant=TENANT, failures=1, until=NOON)
        for one in ("https://a.example/d", "https://b.example/d")
    )
    with work.change() as stores:
        for one in (second, first, replace(first, failures=2, until=NOON + MINUTE)):
            stores.acme.save_pause(one)
        assert stores.acme.pauses() == [replace(first, failures=2, until=NOON + MINUTE), second]
        stores.acme.remove_pause(first.directory)
        assert stores.acme.pauses() == [second]


def test_records_of_another_tenant_are_refused(work: UnitOfWork) -> None:
    """A store of one tenant writes for no other."""
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.acme.add_order(replace(order(), tenant="tnt_other"))
