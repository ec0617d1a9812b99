"""The contract of `DeltaStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import CrlBase, StatusChange
from tests.support.ports import NOON
from tests.support.records import certificate, crl, digest, opaque

ISSUER = opaque("aut", "issuing")
REASONS = {2: RevocationReason.CERTIFICATE_HOLD, 3: RevocationReason.KEY_COMPROMISE}
BASE = CrlBase(
    authority_id=ISSUER,
    tenant=TENANT,
    number=1,
    this_update=NOON,
    next_update=NOON + timedelta(days=1, microseconds=1),
    through_seq=5,
    entries=7,
)


def test_changes_say_what_a_certificate_is_now(work: UnitOfWork) -> None:
    """In the order of the sequence, each as often as it changed; another issuer's are not among them."""
    with work.change() as stores:
        for number in (1, 2, 3):
            stores.certificates.add_intended(certificate(number))
            stores.certificates.complete(certificate(number, sha256=digest(f"{number}"), der=b"x"))
        for number, reason in REASONS.items():
            state = CertificateState.ON_HOLD if number == 2 else CertificateState.REVOKED
            stores.certificates.set_state(f"crt_{number:020d}", state, reason=reason, revoked_at=NOON)
        for seq, number in ((4, 2), (6, 1), (9, 3), (10, 2)):
            stores.deltas.note(ISSUER, seq, certificate(number).serial)
        stores.deltas.note("aut_other", 7, certificate(3).serial)

    def change(seq: int, number: int) -> StatusChange:
        made = StatusChange(seq=seq, serial=certificate(number).serial, is_listed=number in REASONS)
        if number not in REASONS:
            return made
        end, at = int(certificate(number).not_after.timestamp()), int(NOON.timestamp())
        return made._replace(end=end, at=at, reason=REASONS[number])

    with work.read() as stores:
        every = stores.deltas.since(ISSUER, 0)
        assert every == [change(4, 2), change(6, 1), change(9, 3), change(10, 2)]
        assert stores.deltas.since(ISSUER, 6) == every[2:]
        assert stores.deltas.since(ISSUER, 10) == []
        assert [one.is_listed for one in stores.deltas.since("aut_other", 0)] == [False]


def test_changes_are_forgotten(work: UnitOfWork) -> None:
    """The oldest of one issuer, up to a number, that one included, and no more than asked for."""
    with work.change() as stores:
        for seq in (4, 5, 6):
            stores.deltas.note(ISSUER, seq, 1)
        stores.deltas.note("aut_other", 3, 1)
        stores.deltas.forget(ISSUER, 5, 1)
        assert [one.seq for one in stores.deltas.since(ISSUER, 0)] == [5, 6]
        stores.deltas.forget(ISSUER, 5, 9)
        assert [one.seq for one in stores.deltas.since(ISSUER, 0)] == [6]
        assert [one.seq for one in stores.deltas.since("aut_other", 0)] == [3]


def test_bases_are_kept_by_partition_and_number(work: UnitOfWork) -> None:
    """Every field comes back; those that are overtaken or have ended can be dropped, of one partition."""
    part = replace(BASE, partition="1-of-2")
    second, third = (replace(BASE, number=number, entries=number) for number in (2, 10))
    ended = replace(BASE, number=11, next_update=NOON)
    with work.change() as stores:
        for one in (third, part, ended, BASE, second, replace(BASE, authority_id="aut_other")):
            stores.deltas.add_base(one)
    with work.read() as stores:
        assert stores.deltas.bases(ISSUER) == [BASE, second, third, ended, part]
    with work.change() as stores:
        stores.deltas.drop_bases(ISSUER, "", before=2, now=NOON)
    with work.read() as stores:
        assert stores.deltas.bases(ISSUER) == [second, third, part]
        assert len(stores.deltas.bases("aut_other")) == 1


def test_a_delta_can_be_removed(work: UnitOfWork) -> None:
    """The other CRLs of the issuer stay."""
    with work.change() as stores:
        for name in ("", "delta", "1-of-2-delta"):
            stores.status.store_crl(crl(3, partition=name))
        stores.deltas.end(ISSUER, "delta")
        stores.deltas.end(ISSUER, "delta")
        assert [one.partition for one in stores.status.crl_heads(ISSUER)] == ["", "1-of-2-delta"]
