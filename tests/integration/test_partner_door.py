"""A partner's people at a real door: in by the partner's own certificates, and out at once by its own word."""

from __future__ import annotations

import hashlib
import http.client
import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal, suspend
from doorward.partners.importing import remove_partner
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import certify
from tests.support.doorway import ACTOR, Doorway, Identity, eventually, open_doorway
from tests.support.partner_door import Clinic, resigned
from tests.support.watching import LiveRequests, LiveStream, watching

BOB = "bob@clinic.example"
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door for the file; each test has a partner of its own."""
    with open_doorway() as opened:
        yield opened


@pytest.fixture
def clinic(door: Doorway) -> Iterator[Clinic]:
    """A partner with loaded evidence, trusted by the application; removed afterwards."""
    made = Clinic(door, f"clinic-{next(NUMBERS)}")
    made.trust()
    made.publish()
    yield made
    with door.services.work.read() as stores:
        here = stores.partners.by_name(made.name)
    if here is not None:
        door.settle(remove_partner(door.services, made.name, actor=ACTOR).seq)


def is_refused(door: Doorway, identity: Identity) -> bool:
    """Whether a request on a new connection gets nothing of the application."""
    try:
        door.get(identity, "/x")
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_in_by_the_partners_own_certificate(door: Doorway, clinic: Clinic) -> None:
    """Without enrolment the application gets the partner's name for the person; a certificate of no partner is refused."""
    bob = clinic.identity(BOB)
    answer = door.get(bob, "/x")
    assert answer.status == 200
    assert answer.upstream_headers()["doorward-principal"].startswith(f"person/{clinic.name}/bob")
    assert door.get(bob, "/x").status == 200  # the second time it is in the inventory
    stranger = certify("Stranger", **clinic.dates)
    assert is_refused(door, clinic.write("eve", clinic.leaf(BOB, issuer=stranger), stranger))


def test_revoked_by_the_partner_live_connections_end(door: Doorway, clinic: Clinic) -> None:
    """Once newer evidence is at hand the live request and the stream end, new ones are refused, and others go on."""
    bob, eve = clinic.identity(BOB), clinic.identity("eve@clinic.example")
    requests, stream = LiveRequests(door, bob), LiveStream(door, bob)
    others = (LiveRequests(door, eve), LiveStream(door, eve))
    with watching(requests, stream, *others):
        clinic.publish(BOB)
        assert eventually(lambda: bool(requests.ended and stream.ended))
        assert is_refused(door, bob)
        assert not any(one.ended for one in others)
        counts = [len(one.good) for one in others]
        assert eventually(lambda: all(len(one.good) > n for one, n in zip(others, counts, strict=True)))
    assert "certificate-revoked" in door.refusal(claimed_sha256=clinic.leaves[BOB].parsed.sha256)


def test_without_evidence_no_connection_is_admitted(door: Doorway, clinic: Clinic) -> None:
    """If evidence is required and there is none, the connection is refused; if it is only preferred, admitted."""
    strict = Clinic(door, f"{clinic.name}-strict")
    mild = Clinic(door, f"{clinic.name}-mild", revocation=RevocationMode.PREFER)
    people = {one.name: one.identity(BOB) for one in (strict, mild)}
    strict.trust()
    assert is_refused(door, people[strict.name])
    assert door.refusal(claimed_sha256=strict.leaves[BOB].parsed.sha256)[-2:] == [
        "revocation-status-undetermined",
        "application-known",
    ]
    mild.trust()
    assert door.get(people[mild.name], "/x").status == 200
    assert is_refused(door, people[strict.name])  # the application hears it no more


def test_a_connection_does_not_outlive_its_evidence(door: Doorway, clinic: Clinic) -> None:
    """The connection ends with the evidence; if newer evidence comes in time, the connection goes on."""
    bob = clinic.identity(BOB)
    clinic.publish(lifetime=timedelta(seconds=40))
    requests = LiveRequests(door, bob)
    with watching(requests):
        clinic.publish(lifetime=timedelta(seconds=4))  # newer, and ends sooner
        assert eventually(lambda: bool(requests.ended), 30)
    kept = LiveRequests(door, clinic.identity("eve@clinic.example"))
    clinic.publish(lifetime=timedelta(seconds=8))  # time enough to be let in
    with watching(kept):
        clinic.publish()
        assert not eventually(lambda: bool(kept.ended), 9)


def test_what_is_blocked_here_stays_blocked(door: Doorway, clinic: Clinic) -> None:
    """A partner's certificate is revoked here, or its principal suspended, though the partner vouches for both."""
    bob, eve = clinic.identity(BOB), clinic.identity("eve@clinic.example")
    for one in (bob, eve):
        assert door.get(one, "/x").status == 200
    sha256 = hashlib.sha256(clinic.leaves[BOB].der).hexdigest()
    with door.services.work.read() as stores:
        record = stores.certificates.by_sha256(sha256)
    assert record is not None
    door.settle(revoke(door.services, record.id, RevocationReason.KEY_COMPROMISE, ACTOR))
    door.settle(suspend(door.services, f"{clinic.name}/eve@clinic.example", actor=ACTOR).seq)
    assert is_refused(door, bob)
    assert is_refused(door, eve)
    # the same certificate with its signature written the other way is another file, and no way around it
    assert is_refused(door, clinic.write("bob", resigned(clinic.leaves[BOB])))
    assert "serial-not-unique" in door.refusal(claimed_sha256=resigned(clinic.leaves[BOB]).parsed.sha256)


def test_only_who_was_added(door: Doorway, clinic: Clinic) -> None:
    """Unless everyone is let in, a principal must be in the directory, under the partner's name."""
    careful = Clinic(door, f"{clinic.name}-careful", everyone=False, revocation=RevocationMode.OFF)
    careful.trust()
    bob = careful.identity(BOB)
    assert is_refused(door, bob)
    assert door.refusal(claimed_sha256=careful.leaves[BOB].parsed.sha256)[-3:-1] == [
        "name-matches",
        "principal-unknown",
    ]
    name = f"{careful.name}/{BOB}"
    door.settle(add_principal(door.services, PrincipalKind.PERSON, name, actor=ACTOR).seq)
    assert door.get(bob, "/x").status == 200


def test_the_same_name_under_two_authorities_is_two_people(door: Doorway, clinic: Clinic) -> None:
    """A rule about one of them says nothing of the other, nor of our own."""
    other = Clinic(door, f"{clinic.name}-b", revocation=RevocationMode.OFF)
    door.apply(f"- {{allow: {{persons: [{other.name}/{BOB}]}}}}", trust=f"[{clinic.name}, {other.name}]")
    assert door.get(other.identity(BOB), "/x").status == 200
    assert is_refused(door, clinic.identity(BOB))
    own = door.person(f"own-{clinic.name}", "staff")
    assert is_refused(door, own)


def test_a_removed_partner_is_out_at_once(door: Doorway, clinic: Clinic) -> None:
    """Its live connections end, and its name may be another's afterwards without giving anything to its people."""
    bob = clinic.identity(BOB)
    requests = LiveRequests(door, bob)
    with watching(requests):
        door.settle(remove_partner(door.services, clinic.name, actor=ACTOR).seq)
        assert eventually(lambda: bool(requests.ended))
        assert is_refused(door, bob)


def test_trust_taken_away_ends_what_is_open(door: Doorway, clinic: Clinic) -> None:
    """Taking the partner's name out of the document ends its connections to that application."""
    requests = LiveRequests(door, clinic.identity(BOB))
    with watching(requests):
        door.apply("- {allow: {groups: [clinicians, staff]}}")
        assert eventually(lambda: bool(requests.ended))
    assert is_refused(door, clinic.identity(BOB))
