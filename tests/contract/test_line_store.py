"""The contract of `LineStore` and `SuspectedCloneStore`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.certificate import CertificateState
from doorward.core.entities import TENANT
from doorward.stores.line_protocols import SuspectedClone
from doorward.stores.protocols import UnitOfWork
from tests.support.ports import NOON
from tests.support.records import certificate, digest, opaque

ALICE, BOB = opaque("per", "alice"), opaque("per", "bob")


@pytest.fixture
def line(work: UnitOfWork) -> UnitOfWork:
    """Certificate 1, renewed by 2 and by 3; 4 renews 3 and is an intent; 5 is a certificate of bob."""
    made = [
        certificate(1, spki_sha256=digest("first")),
        certificate(2, spki_sha256=digest("second"), replaces=certificate(1).id),
        certificate(3, spki_sha256=digest("third"), replaces=certificate(1).id),
        certificate(4, spki_sha256=digest("fourth"), replaces=certificate(3).id),
        certificate(5, spki_sha256=digest("fifth"), principal_id=BOB),
    ]
    with work.change() as stores:
        for one in made:
            stores.certificates.add_intended(one)
        for one in (made[0], made[1], made[2], made[4]):
            stores.certificates.complete(replace(one, sha256=digest(one.id), der=b"signed"))
    return work


def test_successors_are_found_oldest_first(line: UnitOfWork) -> None:
    """Those that renew a certificate, intents included; a certificate that renews none is no successor."""
    with line.read() as stores:
        found = [[one.id for one in stores.certificates.successors(certificate(n).id)] for n in (1, 2, 3)]
        assert found == [[certificate(2).id, certificate(3).id], [], [certificate(4).id]]
        assert stores.certificates.successors("") == []
        kept = stores.certificates.get(certificate(2).id)
    assert kept is not None
    assert kept.spki_sha256 == digest("second")


def test_a_key_that_was_certified_is_known(line: UnitOfWork) -> None:
    """The key of an intent was never certified; the empty digest is no key."""
    with line.change() as stores:
        stores.certificates.add_seen(
            certificate(6, spki_sha256=digest("theirs"), state=CertificateState.VALID)
        )
        stores.certificates.add_seen(certificate(7, state=CertificateState.VALID))
        known = {
            name: stores.certificates.has_key(digest(name)) for name in ("first", "fourth", "theirs", "no")
        }
        assert known == {"first": True, "fourth": False, "theirs": True, "no": False}
        assert not stores.certificates.has_key("")


def test_the_key_of_a_revoked_certificate_is_known(line: UnitOfWork) -> None:
    """Of several certificates with the key, one that is revoked is enough; on hold is not revoked."""
    with line.change() as stores:
        for number, state in ((6, CertificateState.VALID), (7, CertificateState.REVOKED)):
            stores.certificates.add_seen(certificate(number, spki_sha256=digest("shared"), state=state))
        stores.certificates.add_seen(
            certificate(8, spki_sha256=digest("held"), state=CertificateState.ON_HOLD)
        )
        names = ("shared", "held", "first", "no", *(f"other {number}" for number in range(70)))
        keys = [*map(digest, names), ""]
        revoked = stores.certificates.revoked_keys
        assert revoked(keys) == revoked(keys[::-1]) == revoked(keys[:1]) == {digest("shared")}
        assert revoked(keys[1:]) == revoked([""]) == revoked([]) == frozenset()


def test_renewals_are_counted_by_holder_and_time(line: UnitOfWork) -> None:
    """Renewals of one holder since a moment, intents included; other certificates do not count."""
    with line.read() as stores:
        renewed = stores.certificates.renewed_since
        assert renewed(ALICE, NOON) == [NOON + timedelta(seconds=n) for n in (2, 3, 4)]
        assert renewed(ALICE, NOON + timedelta(seconds=3)) == [NOON + timedelta(seconds=n) for n in (3, 4)]
        assert renewed(BOB, NOON) == []


def test_a_suspicion_is_kept_replaced_and_removed(work: UnitOfWork) -> None:
    """One for each newest certificate of a line, listed by the last time."""
    first = SuspectedClone(
        certificate_id="crt_b",
        tenant=TENANT,
        shown_id="crt_a",
        first_at=NOON,
        last_at=NOON,
        told_at=NOON,
    )
    later = replace(first, last_at=NOON + timedelta(hours=2), number=3, untold=2, shown_id="crt_0")
    other = replace(first, certificate_id="crt_c", last_at=NOON + timedelta(hours=1))
    with work.change() as stores:
        stores.suspected_clones.save(first)
        stores.suspected_clones.save(other)
        stores.suspected_clones.save(later)
    with work.change() as stores:
        clones = stores.suspected_clones
        assert (clones.get("crt_b"), clones.get("crt_x")) == (later, None)
        assert (clones.list(), clones.list(1), clones.count()) == ([later, other], [later], 2)
        assert (clones.remove("crt_b"), clones.remove("crt_b")) == (True, False)
        assert clones.list() == [other]
    with pytest.raises(ValueError, match="another tenant"), work.change() as stores:
        stores.suspected_clones.save(replace(first, tenant="ten_other"))
