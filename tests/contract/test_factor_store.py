"""The contract of `FactorStore`, `EnrolmentTicketStore` and `ThrottleStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from doorward.core.errors import IntegrityError, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.stores.protocols import UnitOfWork
from tests.support.factor_records import ALICE, enrolment_ticket, factor, throttle
from tests.support.ports import NOON
from tests.support.records import digest, opaque, principal
from tests.support.refusals import refused

SECOND = timedelta(seconds=1)
BOB = opaque("per", "bob")
CLINIC = opaque("ptn", "clinic")


def test_factors_are_kept_as_they_are(work: UnitOfWork) -> None:
    """A factor of each kind comes back with every value, oldest first, and others' are not among them."""
    made = [
        factor(kind.value, kind, created_at=NOON + number * SECOND, last_used_at=NOON + SECOND)
        for number, kind in enumerate(FactorKind)
    ]
    with work.change() as stores:
        for one in [*reversed(made), factor("of bob", principal_id=BOB)]:
            stores.factors.add(one)
    with work.read() as stores:
        assert stores.factors.of_principal(ALICE) == made
        assert stores.factors.get(made[0].id) == made[0]
        assert stores.factors.get("fct_nobody") is None


def test_a_passkey_is_found_by_its_credential_and_enrolled_once(work: UnitOfWork) -> None:
    """A credential id is unique, also between persons; those without one are found by none."""
    key, password = factor("key"), factor("password", FactorKind.PASSWORD)
    with work.change() as stores:
        stores.factors.add(key)
        stores.factors.add(password)
        stores.factors.add(factor("other password", FactorKind.PASSWORD, principal_id=BOB))
        with refused(RequestRefused, "factor-duplicate"):
            stores.factors.add(factor("again", principal_id=BOB, credential_id=key.credential_id))
        assert stores.factors.by_credential(key.credential_id) == key
        assert stores.factors.by_credential("") is None
        assert stores.factors.by_credential("unknown") is None


def test_passkeys_of_another_portal_are_counted(work: UnitOfWork) -> None:
    """Passkeys of this relying party and other kinds of factors are not."""
    with work.change() as stores:
        stores.factors.add(factor("old", rp_id="old.corp.example"))
        stores.factors.add(factor("new", rp_id="portal.corp.example"))
        stores.factors.add(factor("password", FactorKind.PASSWORD, rp_id=""))
        assert stores.factors.count_foreign("portal.corp.example") == 1
        assert stores.factors.count_foreign("old.corp.example") == 1
        assert stores.factors.count_foreign("third.corp.example") == 2


def test_a_counter_moves_from_where_it_was(work: UnitOfWork) -> None:
    """Two uses that saw the same counter: the first wins, the second changes nothing."""
    key = factor("key", counter=7)
    with work.change() as stores:
        stores.factors.add(key)
        assert stores.factors.use(key.id, expected=7, counter=9, at=NOON + SECOND)
        assert not stores.factors.use(key.id, expected=7, counter=8, at=NOON + 2 * SECOND)
        assert not stores.factors.use("fct_nobody", expected=0, counter=1, at=NOON)
        assert stores.factors.get(key.id) == replace(key, counter=9, last_used_at=NOON + SECOND)


def test_factors_are_renamed_and_removed(work: UnitOfWork) -> None:
    """A factor has another name from then on; it is removed once, or with all of its person."""
    key, code, other = factor("key"), factor("code", FactorKind.RECOVERY), factor("other", principal_id=BOB)
    with work.change() as stores:
        for one in (key, code, other):
            stores.factors.add(one)
        assert stores.factors.rename(key.id, "blue key")
        assert stores.factors.get(key.id) == replace(key, name="blue key")
        assert not stores.factors.rename("fct_nobody", "blue key")
        assert stores.factors.remove(code.id)
        assert not stores.factors.remove(code.id)
        assert stores.factors.remove_all(ALICE) == 1
        assert stores.factors.remove_all(ALICE) == 0
        assert stores.factors.of_principal(BOB) == [other]


def test_data_of_a_partners_principals_are_removed_with_the_partner(work: UnitOfWork) -> None:
    """Factors and tickets of a partner's principals go, removed principals too; those of our own stay."""
    eve = principal("clinic/eve", partner=CLINIC)
    theirs, ours = factor("theirs", principal_id=eve.id), factor("ours")
    ticket = enrolment_ticket("theirs", principal_id=eve.id)
    with work.change() as stores:
        stores.directory.add(principal("alice"), NOON)
        stores.directory.add(eve, NOON)
        stores.directory.remove_partner(CLINIC)
        for one in (theirs, ours):
            stores.factors.add(one)
        stores.enrolment_tickets.add(ticket)
        stores.enrolment_tickets.add(enrolment_ticket("ours"))
        assert stores.factors.remove_partner(CLINIC) == 1
        assert stores.factors.of_principal(eve.id) == []
        assert stores.factors.of_principal(ALICE) == [ours]
        assert stores.enrolment_tickets.void_partner(CLINIC, NOON) == 1
        assert stores.enrolment_tickets.open_for(eve.id, NOON) == []
        assert stores.enrolment_tickets.open_for(ALICE, NOON) == [enrolment_ticket("ours")]


def test_a_right_is_used_once_and_in_time(work: UnitOfWork) -> None:
    """One use succeeds; an expired, a voided and an unknown ticket fail."""
    first = enrolment_ticket("first", certificate_id="crt_one")
    late = enrolment_ticket("late", created_at=NOON + SECOND, expires_at=NOON + SECOND)
    with work.change() as stores:
        for one in (late, first, enrolment_ticket("of bob", principal_id=BOB)):
            stores.enrolment_tickets.add(one)
        assert stores.enrolment_tickets.open_for(ALICE, NOON) == [first, late]
        assert stores.enrolment_tickets.open_for(ALICE, NOON + SECOND) == [first]
        assert stores.enrolment_tickets.use(first.id, NOON + SECOND)
        assert not stores.enrolment_tickets.use(first.id, NOON + SECOND)
        assert not stores.enrolment_tickets.use(late.id, NOON + SECOND)
        assert not stores.enrolment_tickets.use("enr_nobody", NOON)
        assert stores.enrolment_tickets.open_for(ALICE, NOON) == [late]
        assert stores.enrolment_tickets.void_all(ALICE, NOON) == 1
        assert stores.enrolment_tickets.void_all(ALICE, NOON) == 0
        assert not stores.enrolment_tickets.use(late.id, NOON)
        assert stores.enrolment_tickets.void_every(NOON) == 1
        assert stores.enrolment_tickets.open_for(BOB, NOON) == []


def test_a_right_is_found_by_its_token(work: UnitOfWork) -> None:
    """A token leads to its ticket, used or not, and is handed out once; no token leads to none."""
    ticket = enrolment_ticket("invited", token_sha256=digest("token"))
    with work.change() as stores:
        stores.enrolment_tickets.add(ticket)
        stores.enrolment_tickets.add(enrolment_ticket("open"))
        stores.enrolment_tickets.add(enrolment_ticket("open too"))
        assert stores.enrolment_tickets.use(ticket.id, NOON)
        assert stores.enrolment_tickets.by_token(digest("token")) == replace(ticket, used_at=NOON)
        assert stores.enrolment_tickets.by_token("") is None
        with refused(IntegrityError, "enrolment-right-duplicate"):
            stores.enrolment_tickets.add(enrolment_ticket("again", token_sha256=digest("token")))


def test_old_rights_are_pruned(work: UnitOfWork) -> None:
    """Only records that expired before the given time are removed."""
    with work.change() as stores:
        stores.enrolment_tickets.add(enrolment_ticket("old", expires_at=NOON))
        stores.enrolment_tickets.add(enrolment_ticket("new", expires_at=NOON + SECOND))
        assert stores.enrolment_tickets.prune(NOON + SECOND) == 1
        assert [one.id for one in stores.enrolment_tickets.open_for(ALICE, NOON - SECOND)] == [
            enrolment_ticket("new").id
        ]


def test_throttles_are_kept_by_key(work: UnitOfWork) -> None:
    """Several keys are read at once; saving replaces; a forgotten key has nothing."""
    account, address = throttle("account"), throttle("address", blocked_until=NOON + SECOND)
    with work.change() as stores:
        stores.throttles.save(account)
        stores.throttles.save(address)
        assert stores.throttles.get(["address", "account", "unknown"]) == {
            "account": account,
            "address": address,
        }
        stores.throttles.save(replace(account, failures=4, last_at=NOON + SECOND))
        assert stores.throttles.get(["account"])["account"].failures == 4
        stores.throttles.forget("account")
        stores.throttles.forget("account")
        assert stores.throttles.get(["account"]) == {}


def test_throttles_are_pruned_once_they_block_no_more(work: UnitOfWork) -> None:
    """An old try goes, unless it blocks still."""
    with work.change() as stores:
        stores.throttles.save(throttle("old"))
        stores.throttles.save(throttle("over", blocked_until=NOON + SECOND))
        stores.throttles.save(throttle("blocks", blocked_until=NOON + 3 * SECOND))
        stores.throttles.save(throttle("new", last_at=NOON + 2 * SECOND))
        assert stores.throttles.prune(NOON + 2 * SECOND) == 2
        assert sorted(stores.throttles.get(["old", "over", "blocks", "new"])) == ["blocks", "new"]
