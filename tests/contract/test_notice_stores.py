"""The contract of `EndingStore`, `MailAddressStore` and `NoticeStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT, PrincipalKind, PrincipalState
from doorward.core.errors import NotFound
from doorward.stores.notice_protocols import Notice, NoticeChannel, NoticeKind, NoticeOutcome
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import certificate, digest, opaque, principal

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PEOPLE = {name: opaque("per", name) for name in ("alice", "carol", "guest")}
NOTICE = Notice(
    id="ntc_a",
    tenant=TENANT,
    kind=NoticeKind.CERTIFICATE_ENDS,
    channel=NoticeChannel.MAIL,
    mark="mail:crt_a:14",
    certificate_id="crt_a",
    days=14,
    created_at=NOON,
    try_at=NOON,
)


@pytest.fixture
def ending(work: UnitOfWork) -> UnitOfWork:
    """Certificates that end one day after another.

    1 and 2 of alice, where 2 was renewed by 3 and 3 by the intent 4; 5 of carol, who is suspended; 6 of a partner's guest;
    7 of a gateway; 8 of alice is revoked.
    """
    holders = {5: PEOPLE["carol"], 6: PEOPLE["guest"], 7: ""}
    renewed = {3: 2, 4: 3}
    with work.change() as stores:
        for name, words in (
            ("alice", {}),
            ("carol", {"state": PrincipalState.SUSPENDED}),
            ("guest", {"partner": "ptn_a"}),
        ):
            made = principal(name, PrincipalKind.PERSON, id=PEOPLE[name], **words)
            stores.directory.add(replace(made, state=PrincipalState.ACTIVE), NOON)
            if made.state is not PrincipalState.ACTIVE:
                stores.directory.set_state(made.id, made.state)
        for number in range(1, 9):
            one = certificate(
                number,
                principal_id=holders.get(number, PEOPLE["alice"]),
                not_after=NOON + number * DAY,
                replaces=certificate(renewed[number]).id if number in renewed else "",
            )
            stores.certificates.add_intended(one)
            if number != 4:
                stores.certificates.complete(replace(one, sha256=digest(one.id), der=b"signed"))
        stores.certificates.set_state(
            certificate(8).id, CertificateState.REVOKED, reason=None, revoked_at=NOON
        )
    return work


def test_the_newest_of_each_line_is_listed_by_its_end(ending: UnitOfWork) -> None:
    """Renewed, revoked and intended certificates, those of suspended people, partners and gateways are left out."""
    with ending.read() as stores:
        endings = stores.endings
        found = endings.list(NOON, NOON + 30 * DAY)
        assert [one.id for one in found] == [certificate(n).id for n in (1, 3)]
        assert found[0] == stores.certificates.get(certificate(1).id)
        every = endings.list(NOON, NOON + 30 * DAY, every=True)
        assert [one.id for one in every] == [certificate(n).id for n in (1, 2, 3, 5)]
        assert endings.count(NOON, NOON + 30 * DAY) == 2
        current = [n for n in range(1, 9) if endings.is_current(certificate(n).id)]
        assert (current, endings.is_current("crt_x")) == ([1, 3], False)


def test_the_range_excludes_its_begin_and_includes_its_end(ending: UnitOfWork) -> None:
    """A certificate that ends at `since` is left out, one that ends at `until` is not."""
    with ending.read() as stores:
        assert [one.id for one in stores.endings.list(NOON + DAY, NOON + 3 * DAY)] == [certificate(3).id]
        assert stores.endings.count(NOON + DAY, NOON + 3 * DAY - timedelta(microseconds=1)) == 0


def test_pages_follow_each_other(ending: UnitOfWork) -> None:
    """Each page begins after the last certificate of the one before; an unknown one is an error."""
    with ending.change() as stores:
        for number in (11, 12, 13):  # three with one end
            one = certificate(number, principal_id=PEOPLE["alice"], not_after=NOON + DAY)
            stores.certificates.add_intended(one)
            stores.certificates.complete(replace(one, sha256=digest(one.id), der=b"signed"))
    with ending.read() as stores:
        whole = [one.id for one in stores.endings.list(NOON, NOON + 30 * DAY)]
        paged, after = [], ""
        while page := stores.endings.list(NOON, NOON + 30 * DAY, after=after, limit=2):
            paged += [one.id for one in page]
            after = paged[-1]
        assert len(whole) == 5
        assert paged == whole
        with pytest.raises(NotFound):
            stores.endings.list(NOON, NOON + DAY, after="crt_x")


def test_an_address_is_kept_replaced_and_removed(work: UnitOfWork) -> None:
    """One for each principal; a change says so."""
    with work.change() as stores:
        addresses = stores.mail_addresses
        assert addresses.get("per_a") == ""
        assert [addresses.set("per_a", one) for one in ("a@x.example", "a@x.example", "b@x.example")] == [
            True,
            False,
            True,
        ]
        assert addresses.get("per_a") == "b@x.example"
        assert (addresses.set("per_a", ""), addresses.set("per_a", "")) == (True, False)
        assert addresses.get("per_a") == ""


def test_a_mark_is_used_once(work: UnitOfWork) -> None:
    """A second notice with the mark is not added, also after the first one is done."""
    with work.change() as stores:
        assert not stores.notices.has(NOTICE.mark)
        assert stores.notices.add(NOTICE)
        assert not stores.notices.add(replace(NOTICE, id="ntc_b"))
        stores.notices.save(replace(NOTICE, outcome=NoticeOutcome.SENT, done_at=NOON))
    with work.read() as stores:
        assert stores.notices.has(NOTICE.mark)
        assert not stores.notices.has("another")
    with work.change() as stores:
        assert not stores.notices.add(replace(NOTICE, id="ntc_c"))
        assert stores.notices.list() == [replace(NOTICE, outcome=NoticeOutcome.SENT, done_at=NOON)]


def test_due_notices_are_leased_by_one(work: UnitOfWork) -> None:
    """Of two processes one gets a notice; what is done is not due and not changed again."""
    later = replace(NOTICE, id="ntc_b", mark="b", try_at=NOON + HOUR)
    with work.change() as stores:
        for one in (NOTICE, later):
            assert stores.notices.add(one)
        assert stores.notices.due(NOON, 10) == [NOTICE]
        assert stores.notices.due(NOON + HOUR, 1) == [NOTICE]
        assert stores.notices.lease(NOTICE, NOON + HOUR)
        assert not stores.notices.lease(NOTICE, NOON + HOUR)
        assert stores.notices.due(NOON, 10) == []
        failed = replace(NOTICE, failures=2, problem="connection refused", try_at=NOON + DAY)
        stores.notices.save(failed)
        assert stores.notices.counts() == (2, 1)
        done = replace(failed, outcome=NoticeOutcome.GIVEN_UP, done_at=NOON + DAY)
        stores.notices.save(done)
        stores.notices.save(NOTICE)
        assert not stores.notices.lease(done, NOON + DAY)
        assert stores.notices.list(outcome=NoticeOutcome.GIVEN_UP) == [done]
        assert stores.notices.list(outcome=NoticeOutcome.WAITING) == [later]
        assert stores.notices.counts() == (1, 0)


def test_old_notices_are_forgotten(work: UnitOfWork) -> None:
    """Only those that are done, the oldest first, at most so many."""
    with work.change() as stores:
        for number in range(4):
            one = replace(NOTICE, id=f"ntc_{number}", mark=str(number))
            stores.notices.add(one)
            if number:
                at = NOON + number * DAY
                stores.notices.save(replace(one, outcome=NoticeOutcome.SENT, done_at=at))
        assert stores.notices.forget(NOON + 3 * DAY, limit=1) == 1
        assert {one.id for one in stores.notices.list()} == {"ntc_0", "ntc_2", "ntc_3"}
        assert stores.notices.forget(NOON + 3 * DAY) == 1
        assert {one.id for one in stores.notices.list()} == {"ntc_0", "ntc_3"}
