"""The key of a revoked certificate: neither a one-time token nor an operator's request gets it certified again."""

from __future__ import annotations

import pytest

from doorward.authority import issuing, revocation
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import RequestRefused
from doorward.directory.inviting import InvitationClaim, invite
from doorward.pki.csr import build_csr
from tests.support.interleaving import before_change
from tests.support.refusals import refused
from tests.support.world import OPERATOR, Held, World


def revoke(world: World, held: Held) -> None:
    """Revoke a certificate, because its key was stolen."""
    revocation.revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)


def by_token(world: World, name: str) -> issuing.Claim:
    """Return the claim of a one-time token."""
    return InvitationClaim(invitation=invite(world.services, name, actor=OPERATOR).record, name=name)


@pytest.mark.parametrize("name", ["sensor-1", "ledger"])
def test_a_token_certifies_no_revoked_key(world: World, name: str) -> None:
    """For the same device and for another; the token is not used up, and is good for another key."""
    held = world.issue("sensor-1")
    revoke(world, held)
    claim = by_token(world, name)
    with refused(RequestRefused, "key-used-before"):
        issuing.issue(world.services, build_csr(held.key, name), claim)
    assert issuing.issue(world.services, world.csr(), claim).record.state is CertificateState.VALID


@pytest.mark.parametrize("name", ["sensor-1", "ledger"])
def test_an_operator_certifies_no_revoked_key(world: World, name: str) -> None:
    """For the same device and for another; one revoked certificate is enough among several with the key."""
    held = world.issue("sensor-1")
    issuing.issue(world.services, build_csr(held.key, "x"), world.claim("sensor-1"))
    revoke(world, held)
    with refused(RequestRefused, "key-used-before"):
        issuing.issue(world.services, build_csr(held.key, name), world.claim(name))


def test_a_key_that_is_not_revoked_may_be_used_again(world: World) -> None:
    """At a first enrolment, also if its certificate is on hold: that may end."""
    held = world.issue("sensor-1")
    revocation.hold(world.services, held.record.id, OPERATOR)
    for claim in (world.claim("sensor-1"), by_token(world, "sensor-1")):
        issued = issuing.issue(world.services, build_csr(held.key, "x"), claim)
        assert issued.record.spki_sha256 == held.record.spki_sha256


def test_a_key_that_is_revoked_meanwhile_is_refused(world: World) -> None:
    """After the intent and before the certificate is valid: it never becomes valid."""
    held = world.issue("sensor-1")
    claim = world.claim("sensor-1")
    before_change(world, 2, lambda: revoke(world, held))
    with refused(RequestRefused, "key-used-before"):
        issuing.issue(world.services, build_csr(held.key, "x"), claim)
