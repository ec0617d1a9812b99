"""Short-lived certificates: no revocation information, and the inventory withdraws them all the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from doorward.authority import issuing, revocation
from doorward.authority.status import crls, ocsp_refresh
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import Outcome
from doorward.pki.facts import has_revocation_information
from tests.support.ocsp_listener import answer_ocsp
from tests.support.world import OPERATOR, World, found_world

NO_REV_AVAIL = ObjectIdentifier("2.5.29.56")
HOUR, WEEK = timedelta(hours=1), timedelta(days=7)


@pytest.fixture
def world() -> World:
    """A founded authority."""
    return found_world()


def issue(world: World, name: str, **lifetimes: timedelta) -> x509.Certificate:
    """Issue a certificate under these settings."""
    services = replace(world.services, lifetimes=lifetimes)
    issued = issuing.issue(services, world.csr(), world.claim(name))
    return x509.load_der_x509_certificate(issued.record.der)


def extensions_of(certificate: x509.Certificate) -> set[ObjectIdentifier]:
    """Return the kinds of extensions."""
    return {one.oid for one in certificate.extensions}


@pytest.mark.parametrize("lifetime", [HOUR, WEEK])
def test_a_short_life_promises_no_revocation_information(world: World, lifetime: timedelta) -> None:
    """NoRevAvail is there, NULL and not critical; no CRL, no OCSP responder and no issuer is named."""
    made = issue(world, "sensor-1", device=lifetime)
    extension = made.extensions.get_extension_for_oid(NO_REV_AVAIL)
    assert (extension.critical, extension.value.value) == (False, b"\x05\x00")  # type: ignore[attr-defined]
    assert not extensions_of(made) & {
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
    }
    assert made.not_valid_after_utc == world.clock.now().replace(microsecond=0) + lifetime
    assert made.not_valid_after_utc - made.not_valid_before_utc == lifetime + timedelta(minutes=5)


def test_a_longer_life_has_revocation_information(world: World) -> None:
    """One second more than a week, and the profiles that the setting does not name, are as before."""
    for name, lifetimes in (
        ("sensor-1", {"device": WEEK + timedelta(seconds=1)}),
        ("alice", {"device": HOUR}),
    ):
        made = issue(world, name, **lifetimes)
        assert NO_REV_AVAIL not in extensions_of(made)
        assert ExtensionOID.CRL_DISTRIBUTION_POINTS in extensions_of(made)


def test_a_setting_may_give_a_longer_life_than_the_default(world: World) -> None:
    """The lifetime is the setting's, up to the longest of the profile."""
    made = issue(world, "sensor-1", device=timedelta(days=825))
    assert made.not_valid_after_utc - world.clock.now() == timedelta(days=825)


def test_nothing_is_signed_about_a_short_life(world: World) -> None:
    """No OCSP response is prepared, neither at its issue nor by the refresh job nor at its revocation."""
    services = replace(world.services, lifetimes={"device": HOUR})
    record = issuing.issue(services, world.csr(), world.claim("sensor-1")).record
    assert not has_revocation_information(record.der)
    assert ocsp_refresh.refresh_ocsp(services).looked_at == 0
    revocation.revoke(services, record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert ocsp_refresh.refresh_ocsp(services).looked_at == 0
    with world.work.read() as stores:
        assert stores.status.ocsp(record.id, "sha1") is None


def test_a_revoked_short_life_is_refused_and_listed(world: World) -> None:
    """The door asks the inventory; the full CRL names it too, for those who read the CRL anyway."""
    world.services = replace(world.services, lifetimes={"person": WEEK})
    held = world.issue("alice")
    assert world.decide(held.der, "payments").verdict.outcome is Outcome.GOOD
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    assert world.certificate(held).state is CertificateState.REVOKED
    assert world.decide(held.der, "payments").verdict.outcome is Outcome.BAD
    listed = x509.load_der_x509_crl(crls.publish_crls(world.services)[""].der)
    assert listed.get_revoked_certificate_by_serial_number(held.record.serial) is not None


def test_a_renewal_has_the_life_of_the_setting(world: World) -> None:
    """A long-lived certificate is followed by a short-lived one after the setting was changed."""
    record = issuing.issue(world.services, world.csr(), world.claim("ledger")).record
    services = replace(world.services, lifetimes={"service": HOUR})
    claim = issuing.RenewalClaim(actor=OPERATOR, certificate=record)
    assert not has_revocation_information(issuing.issue(services, world.csr(), claim).record.der)


def test_a_live_ocsp_answer_is_still_true(world: World) -> None:
    """A relying party that asks all the same hears of the revocation."""
    services = replace(world.services, lifetimes={"device": HOUR})
    issued = issuing.issue(services, world.csr(), world.claim("sensor-1"))
    revocation.revoke(services, issued.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    leaf, issuer = (x509.load_der_x509_certificate(one) for one in issued.chain_der)
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    answer = answer_ocsp(services, request.public_bytes(serialization.Encoding.DER))
    assert ocsp.load_der_ocsp_response(answer).certificate_status is ocsp.OCSPCertStatus.REVOKED
