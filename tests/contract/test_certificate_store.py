"""The contract of `CertificateStore`, `InvitationStore` and `StatusStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import IntegrityError, NotFound
from doorward.stores.partner_records import PARTNER_PROFILE
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import CertificateFilter
from tests.support.ports import NOON
from tests.support.records import (
    certificate,
    crl,
    digest,
    invitation,
    ocsp,
    opaque,
    partner_authority,
)
from tests.support.refusals import refused

ISSUER = opaque("aut", "issuing")
BIGGEST = 2**159 - 1
"""The largest serial number of 20 octets that is positive."""


@pytest.fixture
def stock(work: UnitOfWork) -> UnitOfWork:
    """Certificates 1 to 5: intended, valid, held, revoked, and revoked but expiring soon."""
    with work.change() as stores:
        for number in range(1, 6):
            changed = {"not_after": NOON + timedelta(days=1)} if number == 5 else {}
            stores.certificates.add_intended(certificate(number, **changed))
        for number in range(2, 6):
            stores.certificates.complete(certificate(number, sha256=digest(f"{number}"), der=b"%d" % number))
        for number, state, reason in (
            (3, CertificateState.ON_HOLD, RevocationReason.CERTIFICATE_HOLD),
            (4, CertificateState.REVOKED, RevocationReason.KEY_COMPROMISE),
            (5, CertificateState.REVOKED, RevocationReason.SUPERSEDED),
        ):
            stores.certificates.set_state(f"crt_{number:020d}", state, reason=reason, revoked_at=NOON)
    return work


def test_an_intent_comes_back_whole(work: UnitOfWork) -> None:
    """Every field is kept, and the state is always intended."""
    made = certificate(
        1,
        serial=BIGGEST,
        state=CertificateState.VALID,
        replaces="crt_other",
        not_after=NOON + timedelta(microseconds=1),
    )
    with work.change() as stores:
        stores.certificates.add_intended(made)
        expected = replace(made, state=CertificateState.INTENDED)
        assert stores.certificates.get(made.id) == expected
        assert stores.certificates.by_sha256(made.sha256) == expected
        assert stores.certificates.by_serial(ISSUER, BIGGEST) == expected


@pytest.mark.parametrize("serial", [0, -1])
def test_a_serial_that_is_not_positive_is_found(work: UnitOfWork, serial: int) -> None:
    """Issuers that are not ours have given such numbers (RFC 5280 section 4.1.2.2)."""
    seen = certificate(1, serial=serial, state=CertificateState.VALID)
    with work.change() as stores:
        assert stores.certificates.by_serial(ISSUER, serial) is None
        assert stores.certificates.add_seen(seen)
        assert stores.certificates.by_serial(ISSUER, serial) == seen


def test_unknown_certificates_are_none(stock: UnitOfWork) -> None:
    """A look-up that finds nothing says so; the empty digest finds nothing either."""
    with stock.read() as stores:
        assert stores.certificates.get("crt_nobody") is None
        assert stores.certificates.by_sha256(digest("nobody")) is None
        assert stores.certificates.by_sha256("") is None
        assert stores.certificates.by_serial(ISSUER, 1) is None
        assert stores.certificates.by_serial("aut_other", certificate(1).serial) is None


def test_several_intents_may_lack_a_digest(work: UnitOfWork) -> None:
    """The digest must be unique only if there is one."""
    with work.change() as stores:
        for number in (1, 2):
            stores.certificates.add_intended(certificate(number, sha256=""))
        found = stores.certificates.get(certificate(2).id)
        assert found is not None
        assert found.sha256 == ""
        assert stores.certificates.by_sha256("") is None


@pytest.mark.parametrize(
    "again",
    [
        certificate(9, serial=certificate(1).serial),
        certificate(9, sha256=certificate(1).sha256),
        certificate(9, id=certificate(1).id),
    ],
    ids=["serial", "sha256", "id"],
)
def test_no_certificate_is_recorded_twice(stock: UnitOfWork, again: object) -> None:
    """A serial number of the same issuer, a digest or an id that was used is an integrity error."""
    with pytest.raises(IntegrityError) as caught, stock.change() as stores:
        stores.certificates.add_intended(again)  # type: ignore[arg-type]
    assert caught.value.code == "certificate-duplicate"


def test_intents_are_recorded_together_or_not_at_all(stock: UnitOfWork) -> None:
    """If one of several was recorded before, none of them is."""
    with stock.change() as stores:
        stores.certificates.add_intended(certificate(6), certificate(7))
        assert stores.certificates.get(certificate(7).id) is not None
    with pytest.raises(IntegrityError) as caught, stock.change() as stores:
        stores.certificates.add_intended(certificate(8), certificate(1), certificate(9))
    assert caught.value.code == "certificate-duplicate"
    with stock.read() as stores:
        assert [stores.certificates.get(certificate(one).id) for one in (8, 9)] == [None, None]


def test_two_issuers_may_use_one_serial(stock: UnitOfWork) -> None:
    """A serial number is unique per issuer only (RFC 5280 section 4.1.2.2)."""
    twin = certificate(9, serial=certificate(1).serial, authority_id="aut_other")
    with stock.change() as stores:
        stores.certificates.add_intended(twin)
        assert stores.certificates.by_serial("aut_other", twin.serial) == twin


def test_an_intent_is_completed_once(stock: UnitOfWork) -> None:
    """Completing makes the certificate valid under its own digest; a second time is an error."""
    with stock.change() as stores:
        found = stores.certificates.by_sha256(digest("2"))
        assert found is not None
        assert (found.state, found.der) == (CertificateState.VALID, b"2")
        assert stores.certificates.by_sha256(certificate(2).sha256) is None
        with refused(IntegrityError, "certificate-not-intended"):
            stores.certificates.complete(certificate(2, sha256=digest("x"), der=b"x"))
        with pytest.raises(NotFound):
            stores.certificates.complete(certificate(9, sha256=digest("y"), der=b"y"))
    with refused(IntegrityError, "certificate-not-intended"), stock.change() as stores:
        stores.certificates.complete(certificate(1), certificate(2))
    with stock.change() as stores:
        intent = stores.certificates.get(certificate(1).id)
        assert intent is not None
        assert intent.state is CertificateState.INTENDED


def test_a_batch_is_completed_at_once(work: UnitOfWork) -> None:
    """Each gets its own digest and bytes; the rest of an intent is kept, whatever the given record has."""
    made = [certificate(number) for number in (1, 2, 3)]
    with work.change() as stores:
        stores.certificates.add_intended(*made)
    signed = [replace(one, sha256=digest(one.id), der=one.id.encode()) for one in made]
    with work.change() as stores:
        stores.certificates.complete(*(replace(one, subject_name="CN=mallory") for one in signed))
    with work.read() as stores:
        kept = [stores.certificates.get(one.id) for one in made]
    assert kept == [replace(one, state=CertificateState.VALID) for one in signed]


def test_a_state_carries_reason_and_date(stock: UnitOfWork) -> None:
    """Setting a state sets reason and date, also back to none."""
    with stock.change() as stores:
        held = stores.certificates.get(certificate(3).id)
        assert held is not None
        assert (held.state, held.reason, held.revoked_at) == (
            CertificateState.ON_HOLD,
            RevocationReason.CERTIFICATE_HOLD,
            NOON,
        )
        stores.certificates.set_state(held.id, CertificateState.VALID, reason=None, revoked_at=None)
        released = stores.certificates.get(held.id)
        assert released == replace(held, state=CertificateState.VALID, reason=None, revoked_at=None)
        with pytest.raises(NotFound):
            stores.certificates.set_state("crt_nobody", CertificateState.VALID, reason=None, revoked_at=None)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (CertificateFilter(), [1, 2, 3, 4, 5]),
        (CertificateFilter(limit=2), [1, 2]),
        (CertificateFilter(after_id=certificate(2).id, limit=2), [3, 4]),
        (CertificateFilter(after_id=certificate(5).id), []),
        (CertificateFilter(state=CertificateState.REVOKED), [4, 5]),
        (CertificateFilter(principal_id=opaque("per", "alice")), [1, 2, 3, 4, 5]),
        (CertificateFilter(principal_id=opaque("per", "alice"), state=CertificateState.REVOKED), [4, 5]),
        (CertificateFilter(of_partners=True), []),
        (CertificateFilter(principal_id=opaque("per", "bob")), []),
    ],
)
def test_the_list_is_filtered(stock: UnitOfWork, wanted: CertificateFilter, numbers: list[int]) -> None:
    """The list holds what matches every part of the filter, oldest first, page after page."""
    with stock.read() as stores:
        found = stores.certificates.list(wanted)
    assert [one.id for one in found] == [certificate(number).id for number in numbers]


def test_the_list_may_be_one_partners(work: UnitOfWork) -> None:
    """The list contains certificates by the partner's authorities, trusted or not, page after page, and no others."""
    old, new, foreign = (
        partner_authority(*names) for names in (("west", "old"), ("west", "new"), ("east", "root"))
    )
    with work.change() as stores:
        stores.partners.set_authorities(old.partner_id, [old])
        stores.partners.set_authorities(old.partner_id, [new])
        stores.partners.set_authorities(foreign.partner_id, [foreign])
        for number, issuer in enumerate((old.id, foreign.id, ISSUER, new.id, foreign.id, new.id), 1):
            profile = "person" if issuer == ISSUER else PARTNER_PROFILE
            assert stores.certificates.add_seen(certificate(number, authority_id=issuer, profile=profile))
    with work.read() as stores:
        every = stores.certificates.list(CertificateFilter(of_partners=True))
        assert [one.serial for one in every] == [certificate(number).serial for number in (1, 2, 4, 5, 6)]
        first = stores.certificates.list(CertificateFilter(partner_id=old.partner_id, limit=2))
        rest = CertificateFilter(partner_id=old.partner_id, after_id=first[-1].id)
        second = stores.certificates.list(rest)
        assert [one.serial for one in (*first, *second)] == [
            certificate(number).serial for number in (1, 4, 6)
        ]
        assert stores.certificates.list(CertificateFilter(partner_id=opaque("ptn", "nobody"))) == []


def test_a_page_goes_on_from_a_known_certificate(stock: UnitOfWork) -> None:
    """A page after an unknown id is refused instead of returning the first page."""
    with stock.read() as stores, pytest.raises(NotFound):
        stores.certificates.list(CertificateFilter(after_id="crt_nobody"))


def test_the_list_is_in_the_order_of_creation(work: UnitOfWork) -> None:
    """Ids are random, so creation time comes first and the id only parts equals."""
    late = certificate(1, created_at=NOON + timedelta(hours=1))
    with work.change() as stores:
        for made in (late, certificate(3, created_at=NOON), certificate(2, created_at=NOON)):
            stores.certificates.add_intended(made)
        found = stores.certificates.list(CertificateFilter())
        assert [one.id[-1] for one in found] == ["2", "3", "1"]
        rest = stores.certificates.list(CertificateFilter(after_id=found[1].id))
        assert rest == [late]


def test_a_prefix_finds_by_id_serial_and_digest(stock: UnitOfWork) -> None:
    """Six characters of id, serial or SHA-256, in any case, find one; a common prefix finds two, no more."""
    known = certificate(2)
    with stock.read() as stores:
        for prefix in (
            known.id,
            f"{known.serial:x}",
            f"{known.serial:X}",
            f"0{known.serial:x}",
            digest("2")[:6],
            digest("2").upper(),
        ):
            assert [one.id for one in stores.certificates.find(prefix)] == [known.id]
        assert [one.id for one in stores.certificates.find("crt_00")] == [
            certificate(1).id,
            certificate(2).id,
        ]
        for prefix in ("crt_zzzzzz", "%_____", "öäüöäü", "000000", "\x7f" * 6):
            assert stores.certificates.find(prefix) == []


def test_a_short_prefix_finds_two_at_most(stock: UnitOfWork) -> None:
    """The use case sets the least length of a prefix; the store never reads the whole table for it."""
    with stock.read() as stores:
        assert [one.id for one in stores.certificates.find("crt_")] == [certificate(1).id, certificate(2).id]


def test_the_revoked_are_listed_for_the_crl(stock: UnitOfWork) -> None:
    """Revoked and held certificates that have not expired come by serial number, those of one issuer only."""
    with stock.read() as stores:
        listed = [stores.certificates.get(certificate(number).id) for number in (3, 4)]
        assert list(stores.certificates.revoked(ISSUER, NOON + timedelta(days=1))) == [
            (one.serial, int(one.not_after.timestamp()), int(one.revoked_at.timestamp()), one.reason)
            for one in listed
            if one is not None and one.revoked_at is not None
        ]
        assert {one.reason for one in listed if one is not None} == {
            RevocationReason.CERTIFICATE_HOLD,
            RevocationReason.KEY_COMPROMISE,
        }
        assert len(list(stores.certificates.revoked(ISSUER, NOON))) == 3
        assert list(stores.certificates.revoked("aut_other", NOON)) == []


def test_certificates_are_counted_by_state(stock: UnitOfWork) -> None:
    """Every state has a count, also zero."""
    with stock.read() as stores:
        assert stores.certificates.counts() == {"intended": 1, "valid": 1, "on-hold": 1, "revoked": 2}


def test_counts_of_nothing_are_zero(work: UnitOfWork) -> None:
    """An empty inventory counts zero in every state."""
    with work.read() as stores:
        assert stores.certificates.counts() == dict.fromkeys(("intended", "valid", "on-hold", "revoked"), 0)


def test_an_invitation_is_redeemed_once(work: UnitOfWork) -> None:
    """The first caller wins, and its certificate is remembered; the second and an unknown one lose."""
    made = invitation("one")
    with work.change() as stores:
        stores.invitations.add(made)
        assert stores.invitations.by_token(made.token_sha256) == made
        assert stores.invitations.by_token(digest("other")) is None
        assert stores.invitations.redeem(made.id, "crt_one", NOON)
        assert not stores.invitations.redeem(made.id, "crt_two", NOON + timedelta(minutes=1))
        assert not stores.invitations.redeem("inv_nobody", "crt_two", NOON)
        assert stores.invitations.by_token(made.token_sha256) == replace(
            made, used_at=NOON, certificate_id="crt_one"
        )


def test_an_expired_invitation_is_not_redeemed(work: UnitOfWork) -> None:
    """The statement that redeems looks at the end as well: no moment lies between look and use."""
    made = invitation("one")
    with work.change() as stores:
        stores.invitations.add(made)
        assert not stores.invitations.redeem(made.id, "crt_one", made.expires_at)
        assert stores.invitations.redeem(made.id, "crt_one", made.expires_at - timedelta(microseconds=1))


def test_a_redemption_that_is_undone_leaves_it_open(work: UnitOfWork) -> None:
    """A redemption lives and dies with its transaction."""
    made = invitation("one")
    with work.change() as stores:
        stores.invitations.add(made)
    with pytest.raises(KeyError), work.change() as stores:  # noqa: PT012  # the block is the point
        assert stores.invitations.redeem(made.id, "crt_one", NOON)
        raise KeyError
    with work.change() as stores:
        assert stores.invitations.redeem(made.id, "crt_one", NOON)


def test_an_invitation_is_voided_once(work: UnitOfWork) -> None:
    """Used and voided exclude each other: whichever came first stays."""
    voided, used = invitation("one"), invitation("two")
    with work.change() as stores:
        stores.invitations.add(voided)
        stores.invitations.add(used)
        assert stores.invitations.redeem(used.id, "crt_one", NOON)
        assert not stores.invitations.void(used.id, NOON)
        assert stores.invitations.void(voided.id, NOON)
        assert not stores.invitations.void(voided.id, NOON + timedelta(hours=1))
        assert not stores.invitations.redeem(voided.id, "crt_one", NOON)
        assert not stores.invitations.void("inv_nobody", NOON)
        assert stores.invitations.get("inv_nobody") is None
        assert stores.invitations.get(voided.id) == replace(voided, voided_at=NOON)
        assert stores.invitations.get(used.id) == replace(used, used_at=NOON, certificate_id="crt_one")


def test_open_invitations_are_listed(work: UnitOfWork) -> None:
    """Used, voided and expired invitations are not open; the others are listed oldest first, of one principal or all."""
    made = [invitation(str(number), created_at=NOON + timedelta(seconds=9 - number)) for number in range(5)]
    other = invitation("other", principal_id=opaque("per", "bob"))
    ended = invitation("ended", expires_at=NOON + timedelta(minutes=30))
    with work.change() as stores:
        for one in (*made, other, ended):
            stores.invitations.add(one)
        stores.invitations.redeem(made[0].id, "crt_one", NOON)
        stores.invitations.void(made[1].id, NOON)
        now = ended.expires_at
        assert stores.invitations.open_at(now, made[0].principal_id) == [made[4], made[3], made[2]]
        assert stores.invitations.open_at(now) == [other, made[4], made[3], made[2]]
        assert ended in stores.invitations.open_at(now - timedelta(microseconds=1))
        assert stores.invitations.open_at(NOON, "per_nobody") == []
        since = NOON + timedelta(seconds=6)
        voided = replace(made[1], voided_at=NOON)
        assert stores.invitations.unused_since(made[0].principal_id, since) == [made[3], made[2], voided]
        assert stores.invitations.unused_since("per_nobody", NOON) == []


def test_invitations_are_distinguished(work: UnitOfWork) -> None:
    """A token is handed out once."""
    with work.change() as stores:
        stores.invitations.add(invitation("one"))
        with refused(IntegrityError, "invitation-duplicate"):
            stores.invitations.add(invitation("two", token_sha256=digest("one")))


def test_the_number_of_a_crl_grows(work: UnitOfWork) -> None:
    """The newest CRL replaces the last; the same or a smaller number is an integrity error."""
    with work.change() as stores:
        assert stores.status.crl(ISSUER) is None
        assert stores.status.crl_number(ISSUER) is None
        for number in (1, 5):
            stores.status.store_crl(crl(number))
            assert stores.status.crl(ISSUER) == crl(number)
            assert stores.status.crl_number(ISSUER) == number
        for number in (5, 4):
            with refused(IntegrityError, "crl-number"):
                stores.status.store_crl(crl(number, der=b"other"))
        stores.status.store_crl(crl(2, authority_id="aut_other"))
        assert stores.status.crl(ISSUER) == crl(5)


def test_each_partition_has_a_crl_of_its_own(work: UnitOfWork) -> None:
    """Numbers grow for each partition alone; the heads are all of an authority's, sorted, without the bytes."""
    with work.change() as stores:
        assert stores.status.crl_heads(ISSUER) == []
        for number, partition in ((3, ""), (2, "2-of-2"), (1, "1-of-2"), (3, "2-of-2")):
            stores.status.store_crl(crl(number, partition=partition))
        stores.status.store_crl(crl(9, authority_id="aut_other"))
        with pytest.raises(IntegrityError):
            stores.status.store_crl(crl(1, partition="1-of-2"))
        assert stores.status.crl(ISSUER, "1-of-2") == crl(1, partition="1-of-2")
        assert stores.status.crl(ISSUER, "2-of-2") == crl(3, partition="2-of-2")
        assert stores.status.crl(ISSUER) == crl(3)
        assert stores.status.crl_heads(ISSUER) == [
            crl(number, partition=partition, der=b"")
            for number, partition in ((3, ""), (1, "1-of-2"), (3, "2-of-2"))
        ]
        assert stores.status.crl_number(ISSUER, "1-of-2") == 1
        assert stores.status.crl_number(ISSUER) == 3
        assert stores.status.crl_number(ISSUER, "1-of-4") is None
        assert stores.status.crl_number("aut_other", "1-of-2") is None


def test_ocsp_answers_are_replaced_and_forgotten(work: UnitOfWork) -> None:
    """There is one answer per certificate and hash; forgetting drops those of one certificate."""
    with work.change() as stores:
        for answer in (ocsp(1), ocsp(1, "sha1"), ocsp(2), ocsp(1, der=b"revoked")):
            stores.status.store_ocsp(answer)
        assert stores.status.ocsp(ocsp(1).certificate_id, "sha256") == ocsp(1, der=b"revoked")
        stores.status.forget_ocsp(ocsp(1).certificate_id)
        assert stores.status.ocsp(ocsp(1).certificate_id, "sha256") is None
        assert stores.status.ocsp(ocsp(1).certificate_id, "sha1") is None
        assert stores.status.ocsp(ocsp(2).certificate_id, "sha256") == ocsp(2)


def test_ocsp_answers_are_due_when_they_end(work: UnitOfWork) -> None:
    """Answers that end by a time are listed, each certificate once, the longest due first, in pages."""
    with work.change() as stores:
        for number, hours in ((1, 3), (2, 1), (3, 2), (4, 4)):
            for name in ("sha1", "sha256"):
                end = NOON + timedelta(hours=hours)
                stores.status.store_ocsp(ocsp(number, name, next_update=end))
        ids = [ocsp(number).certificate_id for number in (2, 3, 1)]
        until = NOON + timedelta(hours=3)
        assert stores.status.due_ocsp(until, 10) == ids
        assert stores.status.due_ocsp(until, 2) == ids[:2]
        assert stores.status.due_ocsp(NOON, 10) == []
        stores.status.forget_ocsp(ids[0])
        assert stores.status.due_ocsp(until, 10) == ids[1:]


def test_awaited_ocsp_answers_are_due_until_they_are_there(work: UnitOfWork) -> None:
    """A certificate that awaits its answers has none, is due, and is due no more once it has them."""
    awaiting = ocsp(1).certificate_id
    with work.change() as stores:
        for name in ("sha1", "sha256"):
            stores.status.store_ocsp(ocsp(1, name))
        stores.status.await_ocsp(awaiting, NOON)
        assert stores.status.due_ocsp(NOON, 10) == [awaiting]
        assert [stores.status.ocsp(awaiting, name) for name in ("sha1", "sha256")] == [None, None]
        stores.status.await_ocsp(awaiting, NOON + timedelta(hours=1))
        assert stores.status.due_ocsp(NOON, 10) == []
        stores.status.forget_ocsp(awaiting)
        assert stores.status.due_ocsp(NOON + timedelta(hours=1), 10) == []
