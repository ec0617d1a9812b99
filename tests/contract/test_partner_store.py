"""The contract of `PartnerStore` and `EvidenceStore`, and of partners in the other stores."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.certificate import CertificateState
from doorward.core.entities import PrincipalState
from doorward.core.errors import NotFound, RequestRefused
from doorward.stores.partner_records import EvidenceKind
from doorward.stores.protocols import UnitOfWork
from doorward.verification.partner import RevocationMode
from tests.support.ports import NOON
from tests.support.records import (
    certificate,
    digest,
    evidence,
    opaque,
    partner,
    partner_authority,
    principal,
    seen,
)
from tests.support.refusals import refused


def test_a_partner_is_kept_as_it_is(work: UnitOfWork) -> None:
    """What was added comes back by id and name, and in the list, sorted."""
    west, east = partner("west"), partner("east", excluded=("dns:a.example", "ip:10.0.0.0/8"), groups=())
    with work.change() as stores:
        stores.partners.add(west)
        stores.partners.add(east)
    with work.read() as stores:
        assert stores.partners.get(west.id) == west
        assert stores.partners.by_name("east") == east
        assert stores.partners.list() == [east, west]
        assert stores.partners.get("ptn_none") is None
        assert stores.partners.by_name("none") is None


def test_a_name_is_taken_while_its_partner_is_trusted(work: UnitOfWork) -> None:
    """A second partner of the name is refused; after the first was removed it is another partner."""
    first, second = partner("west"), partner("west", id=opaque("ptn", "second"))
    with work.change() as stores:
        stores.partners.add(first)
        with refused(RequestRefused, "name-taken"):
            stores.partners.add(second)
        stores.partners.remove(first.id, NOON)
        stores.partners.add(second)
        assert stores.partners.by_name("west") == second
        assert stores.partners.get(first.id) == replace(first, removed_at=NOON)
        with pytest.raises(NotFound):
            stores.partners.remove(first.id, NOON)


def test_terms_are_replaced_and_the_name_stays(work: UnitOfWork) -> None:
    """Saving changes every term; a partner that is not trusted cannot be saved."""
    west = partner("west")
    changed = replace(
        west,
        revocation=RevocationMode.OFF,
        max_staleness=timedelta(minutes=5),
        everyone=True,
        allow_private=("10.0.0.0/8", "::1/128"),
        crl_urls=("http://pki.clinic.example/1.crl",),
        ocsp_urls=("http://pki.clinic.example/ocsp",),
        groups=("a", "b"),
    )
    with work.change() as stores:
        stores.partners.add(west)
        stores.partners.save(replace(changed, name="other", created_at=NOON + timedelta(days=1)))
        assert stores.partners.get(west.id) == changed
        stores.partners.remove(west.id, NOON)
        with pytest.raises(NotFound):
            stores.partners.save(changed)


def test_authorities_are_replaced_and_keep_their_ids(work: UnitOfWork) -> None:
    """An authority that is added again has its old id; one that is left out is no longer trusted, but found by id."""
    root, old = partner_authority("west", "root"), partner_authority("west", "old", anchor=False)
    new = partner_authority("west", "new", anchor=False)
    foreign = partner_authority("east", "root")
    with work.change() as stores:
        stores.partners.set_authorities(root.partner_id, [old, root])
        stores.partners.set_authorities(foreign.partner_id, [foreign])
        assert stores.partners.authorities(root.partner_id) == [root, old]
        stores.partners.set_authorities(root.partner_id, [replace(root, id="aut_other"), new])
        assert stores.partners.authorities(root.partner_id) == [root, new]
        assert stores.partners.authorities(foreign.partner_id) == [foreign]
        assert stores.partners.issuer(old.id) == root.partner_id
        every = sorted([root, old, new, foreign], key=lambda one: one.id)
        assert stores.partners.every_authority() == every
        assert stores.partners.issuer("aut_none") is None
        with pytest.raises(ValueError, match="another partner"):
            stores.partners.set_authorities(root.partner_id, [foreign])


def test_an_anchor_may_become_an_intermediate(work: UnitOfWork) -> None:
    """The role of a certificate is the last one that was set."""
    root = partner_authority("west", "root")
    with work.change() as stores:
        stores.partners.set_authorities(root.partner_id, [root])
        stores.partners.set_authorities(root.partner_id, [replace(root, anchor=False)])
        assert [one.anchor for one in stores.partners.authorities(root.partner_id)] == [False]


def test_evidence_is_kept_by_its_four_keys(work: UnitOfWork) -> None:
    """Partner, kind, source and certificate identify evidence; storing it again replaces it."""
    crl = evidence("west", "http://a.example/crl")
    about = evidence("west", "http://a.example/crl", kind=EvidenceKind.OCSP, about=digest("leaf"))
    other = evidence("east", "http://a.example/crl", der=b"", sha256="", this_update=None, next_update=None)
    with work.change() as stores:
        for one in (crl, about, other):
            stores.evidence.store(one)
        newer = replace(
            crl, der=b"newer", sha256=hashlib.sha256(b"newer").hexdigest(), failures=2, problem="slow"
        )
        newer = replace(newer, etag='"x"', fetched_at=None)
        stores.evidence.store(newer)
    with work.read() as stores:
        assert stores.evidence.get(crl.partner_id, EvidenceKind.CRL, crl.source, "") == newer
        assert stores.evidence.get(other.partner_id, EvidenceKind.CRL, other.source, "") == other
        assert stores.evidence.get(other.partner_id, EvidenceKind.OCSP, other.source, "") is None
        assert stores.evidence.list(crl.partner_id) == [replace(newer, der=b""), replace(about, der=b"")]
        assert stores.evidence.size(crl.partner_id, EvidenceKind.CRL) == len(newer.der)
        assert stores.evidence.size(other.partner_id, EvidenceKind.OCSP) == 0
    with work.change() as stores:
        stores.evidence.forget(crl.partner_id, EvidenceKind.CRL, crl.source, "")
        assert stores.evidence.list(crl.partner_id) == [replace(about, der=b"")]


def test_due_evidence_is_ordered(work: UnitOfWork) -> None:
    """The longest due come first, at most `limit`, and none before its time."""
    moments = {"c": 0, "a": 1, "b": 2, "d": 9}
    with work.change() as stores:
        for name, minutes in moments.items():
            stores.evidence.store(evidence("west", name, try_at=NOON + timedelta(minutes=minutes)))
    with work.read() as stores:
        by = NOON + timedelta(minutes=2)
        assert [one.source for one in stores.evidence.due(by, 10)] == ["c", "a", "b"]
        assert [one.source for one in stores.evidence.due(by, 2)] == ["c", "a"]
        assert stores.evidence.due(NOON - timedelta(minutes=1), 10) == []


def test_due_evidence_may_be_of_one_partner(work: UnitOfWork) -> None:
    """The evidence of one partner is listed without that of others."""
    with work.change() as stores:
        for name in ("west", "east"):
            stores.evidence.store(evidence(name, "http://a.example/crl"))
    with work.read() as stores:
        found = stores.evidence.due(NOON, 10, evidence("west", "").partner_id)
        assert [one.partner_id for one in found] == [evidence("west", "").partner_id]
        assert len(stores.evidence.due(NOON, 10)) == 2


def test_due_evidence_may_be_of_one_kind(work: UnitOfWork) -> None:
    """One kind of one partner is listed, also if the other kind has been due for longer."""
    answer = evidence("west", "http://a.example/", kind=EvidenceKind.OCSP, about=digest("leaf"))
    crls = [evidence(name, "http://a.example/crl", try_at=NOON) for name in ("west", "east")]
    with work.change() as stores:
        for one in (answer, *crls):
            stores.evidence.store(one)
    with work.read() as stores:
        found = [stores.evidence.due(NOON, 1, answer.partner_id, kind) for kind in EvidenceKind]
        assert found == [[replace(crls[0], der=b"")], [replace(answer, der=b"")]]
        assert len(stores.evidence.due(NOON, 10, kind=EvidenceKind.CRL)) == 2


def test_due_evidence_may_leave_out_hosts(work: UnitOfWork) -> None:
    """Every source of a host is left out, however it is written, but none of a host with a similar name."""
    left_out = ("http://a_b.example/x", "HTTP://A_b.Example/y", "http://a_b.example", "https://c.example:81/")
    kept = ("http://a-b.example/", "http://a_b.example.org/", "http://a_b.example:81/", "https://c.example/")
    with work.change() as stores:
        for source in (*left_out, *kept):
            stores.evidence.store(evidence("west", source, try_at=NOON))
    with work.read() as stores:
        found = stores.evidence.due(NOON, 10, without=("http://a_b.example/", "https://c.example:81/"))
        assert [one.source for one in found] == sorted(kept)
        assert len(stores.evidence.due(NOON, 10)) == len(left_out) + len(kept)


def test_due_evidence_is_claimed_once(work: UnitOfWork) -> None:
    """The first lease succeeds; the evidence is due again when the lease ends, and stored results stay."""
    crl, later = evidence("west", "http://a.example/crl"), NOON + timedelta(minutes=2)
    with work.change() as stores:
        stores.evidence.store(crl)
        assert stores.evidence.lease(crl, later)
        assert not stores.evidence.lease(crl, later + timedelta(minutes=2))
        assert not stores.evidence.lease(replace(crl, source="http://other.example/"), later)
        assert stores.evidence.get(crl.partner_id, crl.kind, crl.source, "") == replace(crl, try_at=later)


def test_the_result_of_a_fetch_is_stored_separately(work: UnitOfWork) -> None:
    """Rescheduling changes no evidence and does not restore a removed row."""
    crl, later = evidence("west", "http://a.example/crl"), NOON + timedelta(minutes=2)
    course = {
        "try_at": later,
        "failures": 3,
        "problem": "slow",
        "unusable": True,
        "etag": '"2"',
        "fetched_at": NOON,
    }
    with work.change() as stores:
        stores.evidence.store(crl)
        stores.evidence.reschedule(
            replace(crl, der=b"", sha256="", this_update=None, next_update=None, **course)
        )
        stores.evidence.reschedule(replace(crl, source="http://other.example/", **course))
        assert stores.evidence.get(crl.partner_id, crl.kind, crl.source, "") == replace(crl, **course)
        assert len(stores.evidence.list(crl.partner_id)) == 1


def test_revocations_that_were_seen_are_kept(work: UnitOfWork) -> None:
    """By partner, issuer and serial number of any size; a later one replaces an earlier one; a hold is released."""
    west, east = opaque("ptn", "west"), opaque("ptn", "east")
    one = seen("aa", (1 << 159) + 1, digest("a"))
    held = seen("bb", 7, digest("b"), held=True, reason="certificate-hold")
    with work.change() as stores:
        stores.evidence.record_revocation(west, held)
        stores.evidence.record_revocation(west, one)
        stores.evidence.record_revocation(east, held)
        final = replace(held, held=False, reason="", this_update=NOON + timedelta(hours=1))
        stores.evidence.record_revocation(west, final)
    with work.read() as stores:
        assert stores.evidence.recorded_revocations(west) == [one, final]
        assert stores.evidence.recorded_revocations(east) == [held]
    with work.change() as stores:
        stores.evidence.forget_revocation(east, held)
        assert (
            stores.evidence.recorded_revocations(east),
            len(stores.evidence.recorded_revocations(west)),
        ) == ([], 2)


def test_a_partners_certificate_is_added_as_it_is(work: UnitOfWork) -> None:
    """It is in the inventory with its state; if its digest or serial is taken, nothing changes."""
    seen = certificate(1, state=CertificateState.VALID, profile="partner")
    with work.change() as stores:
        assert stores.certificates.add_seen(seen)
        assert not stores.certificates.add_seen(seen)
        assert not stores.certificates.add_seen(replace(seen, id=f"crt_{2:020d}", serial=2))
        assert not stores.certificates.add_seen(replace(seen, id=f"crt_{3:020d}", sha256=digest("3")))
        assert stores.certificates.by_sha256(seen.sha256) == seen
        assert stores.certificates.get(f"crt_{2:020d}") is None
        owned = {"principal_id": opaque("per", "bob"), "authority_id": opaque("aut", "renewed")}
        stores.certificates.assign(seen.id, **owned)
        assert stores.certificates.get(seen.id) == replace(seen, **owned)
        with pytest.raises(NotFound):
            stores.certificates.assign(f"crt_{2:020d}", **owned)


def test_the_principals_of_a_partner_are_removed_with_it(work: UnitOfWork) -> None:
    """Removing a partner's principals leaves all others."""
    west = opaque("ptn", "west")
    mine, theirs = principal("bob"), principal("west/bob", partner=west)
    gone = principal("west/eve", partner=west, state=PrincipalState.REMOVED)
    with work.change() as stores:
        for one in (mine, theirs, gone):
            stores.directory.add(one, NOON)
        assert stores.directory.get(theirs.id) == theirs
        assert stores.directory.by_name("west/bob") == theirs
        assert stores.directory.list() == [mine, theirs]
        assert not stores.directory.knows_removed("west/bob", west)
        assert stores.directory.remove_partner(west) == 1
        assert stores.directory.knows_removed("west/bob", west)
        assert not stores.directory.knows_removed("west/bob", opaque("ptn", "another"))
        assert not stores.directory.knows_removed("bob", "")
        assert stores.directory.list() == [mine]
        assert stores.directory.remove_partner(west) == 0
