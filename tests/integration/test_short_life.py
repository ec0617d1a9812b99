"""Short-lived certificates at a real door: ours is cut at once, a partner's is admitted only by its terms."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from tests.support.certificates.status import crl_of
from tests.support.doorway import ACTOR, Doorway, Identity, eventually, open_doorway
from tests.support.partner_door import DAY, Clinic
from tests.support.watching import LiveRequests, LiveStream, watching

NO_REV_AVAIL = ObjectIdentifier("2.5.29.56")
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """A door with people who have certificates of one hour."""
    with open_doorway(settings={"person_lifetime": "1h"}) as opened:
        yield opened


def is_refused(door: Doorway, identity: Identity) -> bool:
    """Return whether a new connection gets nothing of the application."""
    try:
        return door.get(identity, "/x").status != http.client.OK
    except (OSError, http.client.HTTPException):
        return True


def test_a_revoked_short_lived_certificate_is_cut(door: Doorway) -> None:
    """A live request and a stream end although no CRL and no OCSP response is about the certificate."""
    door.apply()
    alice = door.person("alice", "staff")
    leaf = x509.load_pem_x509_certificate(alice.chain.read_bytes())
    kinds = {one.oid for one in leaf.extensions}
    assert NO_REV_AVAIL in kinds
    assert not kinds & {ExtensionOID.CRL_DISTRIBUTION_POINTS, ExtensionOID.AUTHORITY_INFORMATION_ACCESS}
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == HOUR + timedelta(minutes=5)
    requests, stream = LiveRequests(door, alice), LiveStream(door, alice)
    with watching(requests, stream):
        door.settle(
            revoke(door.services, door.certificate_of("alice"), RevocationReason.KEY_COMPROMISE, ACTOR)
        )
        assert eventually(lambda: bool(requests.ended and stream.ended))
    assert is_refused(door, alice)
    shown = door.command("cert", "show", door.certificate_of("alice")).output
    assert "no revocation information (short-lived)" in shown


def test_a_partners_short_life_needs_the_permission(door: Doorway) -> None:
    """The same certificate is refused without `--short-lived`, and admitted with it; cut here, it is out."""
    extra = [(x509.UnrecognizedExtension(NO_REV_AVAIL, b"\x05\x00"), False)]
    now = datetime.now(UTC).replace(microsecond=0)
    for name, terms in (("strict", {}), ("mild", {"short_lived": HOUR})):
        clinic = Clinic(door, name, **terms)
        clinic.trust()
        proof = crl_of(clinic.root, number=1, this_update=now - HOUR, next_update=now + DAY)
        door.settle(clinic.store(proof, clinic.sources[0]))  # of the issuing authority, and of no leaf
        bob = clinic.identity("bob@clinic.example", extra=extra, not_before=now, not_after=now + HOUR)
        if not terms:
            assert is_refused(door, bob)
            sha256 = clinic.leaves["bob@clinic.example"].parsed.sha256
            assert "revocation-status-undetermined" in door.refusal(claimed_sha256=sha256)
            continue
        assert door.get(bob, "/x").status == http.client.OK
        with door.services.work.read() as stores:
            record = stores.certificates.by_sha256(clinic.leaves["bob@clinic.example"].parsed.sha256)
        assert record is not None
        door.settle(revoke(door.services, record.id, RevocationReason.KEY_COMPROMISE, ACTOR))
        assert is_refused(door, bob)
