"""The contract of `AuthorityStore` and `RolloverStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.authority_protocols import RolloverRecord, RolloverState
from doorward.stores.protocols import UnitOfWork
from doorward.stores.records import AuthorityKind
from tests.support.ports import NOON
from tests.support.records import YEAR, authority, certificate, digest, opaque
from tests.support.refusals import refused

ROOT = authority("root", AuthorityKind.ROOT)
OLD = authority("old", issuer_id=ROOT.id)
NEW = authority("new", current=False, created_at=NOON + YEAR, issuer_id=ROOT.id)


def responder(name, issuing, **changed):
    """Return a responder of an issuing authority."""
    return authority(name, AuthorityKind.OCSP_RESPONDER, issuer_id=issuing.id, **changed)


def rollover(name="one", **changed):
    """Return a prepared rollover from OLD to NEW."""
    made = RolloverRecord(
        id=opaque("rol", name),
        tenant=TENANT,
        state=RolloverState.PREPARED,
        old_id=OLD.id,
        new_id=NEW.id,
        key_name="issuing-2",
        request=b"request",
        began_at=NOON,
        moved_at=NOON,
        seq=7,
        window=timedelta(hours=24),
    )
    return replace(made, **changed)


def test_an_authority_is_current_if_it_says_so(work: UnitOfWork) -> None:
    """A current one takes the place of the current one of its kind, and of no other; the others are kept."""
    with work.change() as stores:
        assert stores.authorities.current(AuthorityKind.ISSUING) is None
        for made in (ROOT, OLD, NEW):
            stores.authorities.add(made)
        assert stores.authorities.current(AuthorityKind.ISSUING) == OLD
        stores.authorities.make_current(NEW.id)
    with work.read() as stores:
        assert stores.authorities.current(AuthorityKind.ROOT) == ROOT
        assert stores.authorities.current(AuthorityKind.ISSUING) == replace(NEW, current=True)
        assert stores.authorities.get(OLD.id) == replace(OLD, current=False)
        assert stores.authorities.get("aut_nobody") is None
        assert stores.authorities.list()[0].id == NEW.id
        assert {one.id for one in stores.authorities.list()} == {ROOT.id, OLD.id, NEW.id}


def test_each_issuing_authority_has_its_responder(work: UnitOfWork) -> None:
    """A responder takes the place of the one of the same authority only."""
    first, other, second = responder("r1", OLD), responder("r2", NEW), responder("r3", OLD)
    with work.change() as stores:
        for made in (ROOT, OLD, NEW, first, other, second):
            stores.authorities.add(made)
        assert stores.authorities.responder(OLD.id) == second
        assert stores.authorities.responder(NEW.id) == other
        assert stores.authorities.current(AuthorityKind.OCSP_RESPONDER) == second
        stores.authorities.make_current(NEW.id)
        assert stores.authorities.current(AuthorityKind.OCSP_RESPONDER) == other
        assert stores.authorities.responder(ROOT.id) is None


def test_an_authority_is_retired(work: UnitOfWork) -> None:
    """The moment and the reason are kept; an unknown authority can neither be retired nor made current."""
    with work.change() as stores:
        stores.authorities.add(OLD)
        stores.authorities.retire(OLD.id, NOON + YEAR, RevocationReason.CA_COMPROMISE)
        assert stores.authorities.get(OLD.id) == replace(
            OLD, retired_at=NOON + YEAR, retired_reason=RevocationReason.CA_COMPROMISE
        )
        with refused(NotFound, "authority-unknown"):
            stores.authorities.retire("aut_nobody", NOON, RevocationReason.SUPERSEDED)
        with refused(NotFound, "authority-unknown"):
            stores.authorities.make_current("aut_nobody")


def test_one_rollover_is_open(work: UnitOfWork) -> None:
    """A second one is refused until the first is over; all are listed, newest first."""
    one, two = rollover(), rollover("two", began_at=NOON + YEAR)
    with work.change() as stores:
        assert stores.rollovers.open() is None
        stores.rollovers.add(one)
    with refused(RequestRefused, "rollover-open"), work.change() as stores:
        stores.rollovers.add(two)
    with work.change() as stores:
        assert stores.rollovers.open() == one
        over = replace(one, state=RolloverState.WITHDRAWN)
        assert stores.rollovers.move(over, one)
        assert stores.rollovers.open() is None
        stores.rollovers.add(two)
        assert stores.rollovers.list() == [two, over]


def test_a_step_is_made_once(work: UnitOfWork) -> None:
    """A rollover moves only from the state and the change that the caller has seen."""
    one = rollover()
    active = replace(one, state=RolloverState.ACTIVE, seq=9, moved_at=NOON + YEAR, window=timedelta(hours=1))
    with work.change() as stores:
        stores.rollovers.add(one)
    with work.change() as stores:
        assert stores.rollovers.move(active, replace(one, seq=6)) is False
        assert stores.rollovers.move(active, one) is True
        assert stores.rollovers.move(active, one) is False
        assert stores.rollovers.open() == active
        assert stores.rollovers.move(rollover("unknown"), one) is False


def test_a_rollover_of_another_tenant_is_refused(work: UnitOfWork) -> None:
    """A store of one tenant writes for no other."""
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.rollovers.add(rollover(tenant="tnt_other"))


def test_certificates_that_have_not_ended(work: UnitOfWork) -> None:
    """They come by id, page after page; ended and intended ones are left out."""
    every = [
        certificate(number, principal_id=opaque("per", "alice"), replaces="crt_x") for number in range(4)
    ]
    ended = certificate(7, not_after=NOON)
    with work.change() as stores:
        for one in (*every, ended):
            stores.certificates.add_intended(one)
        for one in (*every[:3], ended):
            stores.certificates.complete(replace(one, sha256=digest(one.id), der=one.id.encode()))
    with work.read() as stores:
        first = stores.authorities.unended(NOON, "", 2)
        rest = stores.authorities.unended(NOON, first[-1].id, 2)
    assert [one.id for one in (*first, *rest)] == [one.id for one in every[:3]]
    assert first[0].state is CertificateState.VALID
    assert (first[0].authority_id, first[0].replaces, first[0].principal_id, first[0].not_after) == (
        every[0].authority_id, "crt_x", opaque("per", "alice"), every[0].not_after,
    )  # fmt: skip
