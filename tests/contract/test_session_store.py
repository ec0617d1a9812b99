"""The contract of `SessionStore`, `StepUpStore`, `SessionCodeStore`, `EpochStore` and `SessionKeyStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.errors import IntegrityError
from doorward.core.factor_kinds import FactorKind
from doorward.stores.factor_protocols import MAX_STEP_UPS
from doorward.stores.protocols import UnitOfWork
from tests.support.factor_records import ALICE, BANK, LAPTOP, session, session_code, session_key, step_up
from tests.support.ports import NOON
from tests.support.records import digest, opaque, principal
from tests.support.refusals import refused

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
BOB = opaque("per", "bob")
CLINIC = opaque("ptn", "clinic")
NAMES = ["one", "two", "three"]


def test_sessions_are_kept_as_they_are(work: UnitOfWork) -> None:
    """A session comes back with every value, by id and, for the portal's, by token; each is opened once."""
    bank, portal = session("bank"), session("portal", token_sha256=digest("token"), ended_at=NOON)
    with work.change() as stores:
        for one in (bank, portal, session("other")):
            stores.sessions.add(one)
        assert stores.sessions.get(bank.id) == bank
        assert stores.sessions.get("ses_nobody") is None
        assert stores.sessions.by_token(digest("token")) == portal
        assert stores.sessions.by_token("") is None
        for again in (bank, session("again", token_sha256=digest("token"))):
            with refused(IntegrityError, "session-duplicate"):
                stores.sessions.add(again)


def test_open_sessions_are_listed(work: UnitOfWork) -> None:
    """Ended and expired sessions are not among the open ones; oldest first."""
    second = session("second", created_at=NOON + SECOND)
    with work.change() as stores:
        for one in (
            second,
            session("first"),
            session("of bob", principal_id=BOB, created_at=NOON - SECOND),
            session("ended", ended_at=NOON),
            session("over", ends_at=NOON + HOUR),
        ):
            stores.sessions.add(one)
        assert stores.sessions.open_at(NOON + HOUR, ALICE) == [session("first"), second]
        assert [one.principal_id for one in stores.sessions.open_at(NOON + HOUR)] == [BOB, ALICE, ALICE]


def test_sessions_that_began_since_are_listed(work: UnitOfWork) -> None:
    """Ended ones too, newest first and at most so many; neither older ones nor those of another person."""
    second = session("second", created_at=NOON + SECOND, ended_at=NOON + HOUR)
    with work.change() as stores:
        for one in (
            second,
            session("first"),
            session("of bob", principal_id=BOB),
            session("older", created_at=NOON - SECOND),
        ):
            stores.sessions.add(one)
        assert stores.sessions.begun_since(ALICE, NOON, most=9) == [second, session("first")]
        assert stores.sessions.begun_since(ALICE, NOON, most=1) == [second]


def test_a_session_is_touched_until_it_is_ended(work: UnitOfWork) -> None:
    """The new factors replace the old ones; an ended session does not change."""
    shown = {FactorKind.WEBAUTHN: NOON + HOUR, FactorKind.PASSWORD: NOON}
    with work.change() as stores:
        stores.sessions.add(session("one"))
        assert stores.sessions.touch(session("one").id, seen_at=NOON + HOUR, factors=shown)
        changed = replace(session("one"), seen_at=NOON + HOUR, factors=shown)
        assert stores.sessions.get(changed.id) == changed
        assert stores.sessions.end(changed.id, NOON + HOUR)
        assert not stores.sessions.touch(changed.id, seen_at=NOON + 2 * HOUR, factors={})
        assert stores.sessions.get(changed.id) == replace(changed, ended_at=NOON + HOUR)
        assert not stores.sessions.touch("ses_nobody", seen_at=NOON, factors={})


def test_a_session_is_ended_once(work: UnitOfWork) -> None:
    """One caller ends a session; an expired session is ended by no caller."""
    with work.change() as stores:
        stores.sessions.add(session("one"))
        stores.sessions.add(session("over", ends_at=NOON + SECOND))
        assert stores.sessions.end(session("one").id, NOON + SECOND)
        assert not stores.sessions.end(session("one").id, NOON + HOUR)
        assert not stores.sessions.end(session("over").id, NOON + SECOND)
        assert not stores.sessions.end("ses_nobody", NOON)


def test_all_sessions_of_a_principal_are_ended(work: UnitOfWork) -> None:
    """At one application or everywhere; those of other principals stay."""
    with work.change() as stores:
        stores.sessions.add(session("bank"))
        stores.sessions.add(session("mail", application_id="app_mail"))
        stores.sessions.add(session("of bob", principal_id=BOB))
        assert stores.sessions.end_all(ALICE, NOON, "app_mail") == 1
        assert stores.sessions.open_at(NOON, ALICE) == [session("bank")]
        assert stores.sessions.end_all(ALICE, NOON) == 1
        assert stores.sessions.end_all(ALICE, NOON) == 0
        assert stores.sessions.open_at(NOON) == [session("of bob", principal_id=BOB)]
        assert stores.sessions.end_every(NOON) == 1
        assert stores.sessions.open_at(NOON) == []


def test_sessions_of_a_certificate_are_ended(work: UnitOfWork) -> None:
    """Those at every application; those of another certificate stay."""
    other = session("other", certificate_id="crt_other")
    with work.change() as stores:
        for one in (session("bank"), session("mail", application_id="app_mail"), other):
            stores.sessions.add(one)
        assert stores.sessions.end_certificate(LAPTOP, NOON) == 2
        assert stores.sessions.open_at(NOON) == [other]


def test_sessions_of_a_partner_are_ended(work: UnitOfWork) -> None:
    """The sessions of a partner's principals end; those of our own stay."""
    eve = principal("clinic/eve", partner=CLINIC)
    with work.change() as stores:
        stores.directory.add(eve, NOON)
        stores.directory.add(principal("alice"), NOON)
        stores.sessions.add(session("theirs", principal_id=eve.id))
        stores.sessions.add(session("ours"))
        assert stores.sessions.end_partner(CLINIC, NOON) == 1
        assert stores.sessions.open_at(NOON) == [session("ours")]


def test_the_latest_end_of_a_certificates_sessions(work: UnitOfWork) -> None:
    """It is that of the open sessions of this certificate at this application."""
    with work.change() as stores:
        assert stores.sessions.latest_end(LAPTOP, BANK, NOON) is None
        for name, values in {
            "short": {"ends_at": NOON + HOUR},
            "long": {"ends_at": NOON + 2 * HOUR},
            "ended": {"ends_at": NOON + 3 * HOUR, "ended_at": NOON},
            "other certificate": {"ends_at": NOON + 3 * HOUR, "certificate_id": "crt_other"},
            "other application": {"ends_at": NOON + 3 * HOUR, "application_id": "app_mail"},
        }.items():
            stores.sessions.add(replace(session(name), **values))  # type: ignore[arg-type]
        assert stores.sessions.latest_end(LAPTOP, BANK, NOON) == NOON + 2 * HOUR
        assert stores.sessions.latest_end(LAPTOP, BANK, NOON + 2 * HOUR) is None


def test_old_sessions_are_pruned(work: UnitOfWork) -> None:
    """A session goes after its end, and not before."""
    with work.change() as stores:
        stores.sessions.add(session("old", ends_at=NOON))
        stores.sessions.add(session("new", ends_at=NOON + SECOND))
        assert stores.sessions.prune(NOON + SECOND) == 1
        assert stores.sessions.get(session("old").id) is None
        assert stores.sessions.get(session("new").id) is not None


def test_step_ups_are_kept_and_removed(work: UnitOfWork) -> None:
    """A step-up comes back as it is, and is removed once, with its principal, or after its time."""
    one, two, three = (
        step_up("one"),
        step_up("two", expires_at=NOON),
        step_up("three", principal_id=BOB),
    )
    with work.change() as stores:
        for made in (one, two, three):
            stores.step_ups.add(made)
        assert stores.step_ups.get(one.id) == one
        assert stores.step_ups.prune(NOON + SECOND) == 1
        assert stores.step_ups.get(two.id) is None
        assert stores.step_ups.remove_all(BOB) == 1
        assert stores.step_ups.remove(one.id)
        assert not stores.step_ups.remove(one.id)


def test_a_certificate_has_a_limited_number_of_step_ups(work: UnitOfWork) -> None:
    """Beyond the limit the oldest make room; those of another certificate stay."""
    made = [
        step_up(f"step {number}", created_at=NOON + number * SECOND) for number in range(MAX_STEP_UPS + 2)
    ]
    other = step_up("other", certificate_sha256=digest("phone"), created_at=NOON - HOUR)
    with work.change() as stores:
        stores.step_ups.add(other)
        for one in made:
            stores.step_ups.add(one)
        kept = [stores.step_ups.get(one.id) for one in made]
        assert kept == [None, None, *made[2:]]
        assert stores.step_ups.get(other.id) == other


def test_a_code_is_taken_once(work: UnitOfWork) -> None:
    """The first caller gets everything that the code is bound to; the second gets nothing."""
    code = session_code("code")
    with work.change() as stores:
        stores.session_codes.add(code)
        with refused(IntegrityError, "session-code-duplicate"):
            stores.session_codes.add(code)
    with work.read() as stores, pytest.raises(RuntimeError):
        stores.session_codes.take(code.code_sha256)
    with work.change() as stores:
        assert stores.session_codes.take(digest("unknown")) is None
        assert stores.session_codes.take(code.code_sha256) == code
        assert stores.session_codes.take(code.code_sha256) is None


def test_codes_are_removed_with_their_principal_and_after_expiry(work: UnitOfWork) -> None:
    """The codes of a removed principal are invalid, and expired codes are removed."""
    with work.change() as stores:
        for name, values in zip(NAMES, ({}, {"principal_id": BOB}, {"expires_at": NOON}), strict=True):
            stores.session_codes.add(replace(session_code(name), **values))  # type: ignore[arg-type]
        assert stores.session_codes.prune(NOON + SECOND) == 1
        assert stores.session_codes.remove_all(BOB) == 1
        assert [stores.session_codes.take(digest(name)) for name in NAMES] == [
            session_code("one"),
            None,
            None,
        ]


def test_epochs_are_three_counters(work: UnitOfWork) -> None:
    """Raising an epoch changes the text only for the principals and applications concerned."""
    with work.change() as stores:
        assert stores.epochs.of(ALICE, BANK) == "0.0.0"
        stores.epochs.raise_for(ALICE)
        stores.epochs.raise_for(ALICE, BANK)
        stores.epochs.raise_for(ALICE, BANK)
        assert stores.epochs.of(ALICE, BANK) == "0.1.2"
        assert stores.epochs.of(ALICE, "app_mail") == "0.1.0"
        assert stores.epochs.of(BOB, BANK) == "0.0.0"
        stores.epochs.raise_for()
        assert stores.epochs.of(BOB, BANK) == "1.0.0"
        with pytest.raises(ValueError, match="each principal"):
            stores.epochs.raise_for("", BANK)


def test_the_epoch_of_all_exceeds_every_used_number(work: UnitOfWork) -> None:
    """After a restore the epoch is a number that was not used before, and it never falls."""
    micros = int(NOON.timestamp() * 1_000_000)
    with work.change() as stores:
        stores.epochs.raise_all(NOON)
        assert stores.epochs.of(ALICE, BANK) == f"{micros}.0.0"
        stores.epochs.raise_all(NOON - HOUR)
        assert stores.epochs.of(ALICE, BANK) == f"{micros + 1}.0.0"
        stores.epochs.raise_all(NOON + HOUR)
        assert stores.epochs.of(ALICE, BANK) == f"{micros + 3_600_000_000}.0.0"


def test_session_keys_are_listed_and_retired(work: UnitOfWork) -> None:
    """Keys come newest first; one is retired once, and removed."""
    old, new = session_key("old"), session_key("new", created_at=NOON + SECOND)
    with work.change() as stores:
        stores.session_keys.add(old)
        stores.session_keys.add(new)
        with refused(IntegrityError, "session-key-duplicate"):
            stores.session_keys.add(new)
        assert stores.session_keys.list() == [new, old]
        assert stores.session_keys.retire(old.id, NOON + SECOND)
        assert not stores.session_keys.retire(old.id, NOON + HOUR)
        assert stores.session_keys.list() == [new, replace(old, retired_at=NOON + SECOND)]
        assert stores.session_keys.remove(old.id)
        assert not stores.session_keys.remove(old.id)
        assert stores.session_keys.list() == [new]
