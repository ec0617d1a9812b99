"""Issuing: every certificate is recorded, and every record follows the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from doorward.audit.events import EventType
from doorward.authority import issuing, revocation
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.directory import principals as directory
from doorward.directory import removal
from doorward.pki.csr import build_csr
from doorward.stores.records import AuthorityKind, CertificateFilter
from tests.support.interleaving import ProcessDiedError, before_change, die_at
from tests.support.ports import NOON, PlainKeys
from tests.support.refusals import refused
from tests.support.world import OPERATOR, empty_world, operator_claim


def load(record):
    """Return the parsed certificate of a record."""
    return x509.load_der_x509_certificate(record.der)


def renewal(record):
    """Return the claim to renew a certificate."""
    return issuing.RenewalClaim(actor=OPERATOR, certificate=record)


def intents(world):
    """Return the records in the state INTENDED."""
    with world.work.read() as stores:
        return stores.certificates.list(CertificateFilter(state=CertificateState.INTENDED))


def test_client_certificate_has_the_names_of_the_directory(world):
    """The names come from the directory, not from the request; only the key is the request's."""
    key = PlainKeys().generate(KeyKind.P256)
    csr = build_csr(key, "root", dns=["evil.example"])
    issued = issuing.issue(world.services, csr, world.claim("alice"))
    certificate = load(issued.record)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://corp.example/person/alice"]
    assert certificate.subject.rfc4514_string() == "CN=alice"
    assert certificate.public_key() == key.public_key()
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize(
    ("name", "profile", "days"),
    [("alice", "person", 90), ("sensor-1", "device", 365), ("ledger", "service", 90)],
)
def test_profile_follows_the_kind(world, name, profile, days):
    """Each kind of principal has its profile and lifetime."""
    record = world.issue(name).record
    assert record.profile == profile
    assert record.not_after == NOON + timedelta(days=days)


def test_certificate_has_the_addresses_of_its_status(world):
    """CRL, OCSP and issuer addresses are those of the issuing authority."""
    held = world.issue("alice")
    certificate = load(held.record)
    access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    urls = {one.access_method: one.access_location.value for one in access}
    authority = held.record.authority_id
    assert urls[AuthorityInformationAccessOID.OCSP] == "http://pki.corp.example/ocsp"
    assert urls[AuthorityInformationAccessOID.CA_ISSUERS] == f"http://pki.corp.example/ca/{authority}.cer"
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert points[0].full_name[0].value == f"http://pki.corp.example/crl/{authority}.crl"


def test_chain_verifies_up_to_the_root(world):
    """The chain is the leaf and the issuing authority, which the root signed."""
    held = world.issue("alice")
    leaf, issuer = map(x509.load_der_x509_certificate, held.chain_der)
    leaf.verify_directly_issued_by(issuer)
    with world.work.read() as stores:
        root = x509.load_der_x509_certificate(stores.authorities.current(AuthorityKind.ROOT).der)
    issuer.verify_directly_issued_by(root)


def test_record_events_change_and_answers(world):
    """An issued certificate is in the inventory, with two events, a change and its OCSP responses."""
    before = world.head()
    issued = issuing.issue(world.services, world.csr(), world.claim("alice"))
    record = issued.record
    with world.work.read() as stores:
        assert stores.certificates.by_sha256(record.sha256) == record
        assert all(stores.status.ocsp(record.id, name) for name in ("sha1", "sha256"))
    assert record.state is CertificateState.VALID
    assert issued.seq == world.head() == before + 1
    intended = world.events(EventType.CERTIFICATE_INTENDED)[-1]
    event = world.events(EventType.CERTIFICATE_ISSUED)[-1]
    assert intended.data["certificate"] == event.data["certificate"] == record.id
    assert event.data["sha256"] == record.sha256
    assert event.data["serial"] == f"{record.serial:x}"
    assert event.personal["san"] == "URI:spiffe://corp.example/person/alice"
    assert "sha256" not in intended.data


def test_death_before_the_intent_leaves_nothing(world):
    """If the first transaction fails, nothing was signed and nothing is stored."""
    principal, csr = world.principal("alice"), world.csr()
    die_at(world, 1)
    with pytest.raises(ProcessDiedError):
        issuing.issue(world.services, csr, operator_claim(principal))
    assert intents(world) == []
    assert world.events(EventType.CERTIFICATE_INTENDED) == []


def test_death_after_the_intent_leaves_an_intent_that_is_never_valid(world):
    """After a crash between the transactions only the intent is stored: its serial stays taken."""
    principal, csr = world.principal("alice"), world.csr()
    die_at(world, 2)
    with pytest.raises(ProcessDiedError):
        issuing.issue(world.services, csr, operator_claim(principal))
    (intent,) = intents(world)
    assert world.events(EventType.CERTIFICATE_ISSUED) == []
    with pytest.raises(ValueError):
        load(intent)  # what is kept is what would have been signed, not a certificate
    with refused(RequestRefused, "transition-refused"):
        revocation.revoke(world.services, intent.id, RevocationReason.UNSPECIFIED, OPERATOR)


@pytest.mark.parametrize(
    ("state", "code"), [(directory.suspend, "principal-suspended"), (removal.remove, "principal-removed")]
)
def test_inactive_principal_gets_no_certificate(world, state, code):
    """A suspended or removed principal gets no certificate, and the refusal is an event."""
    principal = world.principal("alice")
    state(world.services, "alice", actor=OPERATOR)
    with refused(RequestRefused, code):
        issuing.issue(world.services, world.csr(), operator_claim(principal))
    event = world.events(EventType.CERTIFICATE_REFUSED)[-1]
    assert event.data["reasons"] == (code,)
    assert event.data["principal"] == principal.id


def test_unknown_principal_gets_no_certificate(world):
    """A principal that is not in the directory gets no certificate."""
    stranger = replace(world.principal("alice"), id="per_" + "z" * 20)
    with refused(NotFound, "principal-unknown"):
        issuing.issue(world.services, world.csr(), operator_claim(stranger))


def test_principal_removed_while_signing_gets_no_certificate(world):
    """If the principal is removed between the two transactions, the certificate never becomes valid."""
    principal, csr = world.principal("alice"), world.csr()
    before_change(world, 2, lambda: removal.remove(world.services, "alice", actor=OPERATOR))
    with refused(RequestRefused, "principal-removed"):
        issuing.issue(world.services, csr, operator_claim(principal))
    assert len(intents(world)) == 1
    assert world.events(EventType.CERTIFICATE_ISSUED) == []


@pytest.mark.parametrize("csr", [b"", b"nonsense", b"x" * 20_000])
def test_malformed_request_is_refused_as_an_event(world, csr):
    """A malformed request gives our error and an event."""
    with pytest.raises(MalformedInput):
        issuing.issue(world.services, csr, world.claim("alice"))
    assert world.events(EventType.CERTIFICATE_REFUSED)[-1].data["reasons"][0].startswith("csr-")


def test_no_certificate_without_keys(world):
    """A process without the key store issues nothing and says what is missing."""
    services = replace(world.services, keys=None)
    with refused(Unavailable, "keys-unavailable"):
        issuing.issue(services, world.csr(), world.claim("alice"))
    assert intents(world) == []


def test_no_certificate_before_the_founding(world):
    """No certificate is issued before the founding."""
    stranger = world.principal("alice")
    with pytest.raises(NotFound) as refusal:
        issuing.issue(empty_world().services, world.csr(), operator_claim(stranger))
    assert refusal.value.code in ("not-founded", "principal-unknown")


def test_renewal_leaves_both_valid(world):
    """The new certificate names the old one, which stays valid until it is revoked."""
    old = world.issue("alice")
    world.clock.turn(days=60)
    issued = issuing.issue(world.services, world.csr(), renewal(old.record))
    assert issued.record.replaces == old.record.id
    assert issued.record.principal_id == old.record.principal_id
    assert issued.record.not_after == NOON + timedelta(days=150)
    assert world.certificate(old).state is CertificateState.VALID
    event = world.events(EventType.CERTIFICATE_RENEWED)[-1]
    assert (event.data["certificate"], event.data["replaces"]) == (issued.record.id, old.record.id)
    assert len(world.events(EventType.CERTIFICATE_ISSUED)) == 2


def test_revoked_held_and_expired_certificates_are_not_renewed(world):
    """Each refusal is an event."""
    revoked, held, expired = world.issue("alice"), world.issue("alice"), world.issue("alice")
    revocation.revoke(world.services, revoked.record.id, RevocationReason.SUPERSEDED, OPERATOR)
    revocation.hold(world.services, held.record.id, OPERATOR)
    world.clock.turn(days=91)
    for one in (revoked, held, expired):
        with refused(RequestRefused, "certificate-not-renewable") as refusal:
            issuing.issue(world.services, world.csr(), renewal(one.record))
        assert "doorward invite alice" in refusal.value.hint
    assert len(world.events(EventType.CERTIFICATE_REFUSED)) == 3
    with pytest.raises(NotFound):
        issuing.issue(world.services, world.csr(), renewal(replace(revoked.record, id="crt_nothing")))


def test_certificate_revoked_while_renewing_has_no_successor(world):
    """If the certificate is revoked before the intent is recorded, it is not renewed."""
    old, csr = world.issue("alice"), world.csr()
    before_change(
        world,
        1,
        lambda: revocation.revoke(world.services, old.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR),
    )
    with refused(RequestRefused, "certificate-not-renewable"):
        issuing.issue(world.services, csr, renewal(old.record))
    assert intents(world) == []


@pytest.mark.parametrize(
    "withdraw",
    [
        lambda world, one: revocation.revoke(
            world.services, one.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR
        ),
        lambda world, one: revocation.hold(world.services, one.record.id, OPERATOR),
        lambda world, one: world.clock.turn(days=91),
    ],
    ids=["revoked", "held", "ended"],
)
def test_certificate_withdrawn_during_its_renewal_is_not_renewed(world, withdraw):
    """If it is revoked, held or expires after the intent, the new one never becomes valid."""
    old, csr = world.issue("alice"), world.csr()
    before_change(world, 2, lambda: withdraw(world, old))
    with refused(RequestRefused, "certificate-not-renewable"):
        issuing.issue(world.services, csr, renewal(old.record))
    assert [one.replaces for one in intents(world)] == [old.record.id]
    assert len(world.events(EventType.CERTIFICATE_ISSUED)) == 1
    assert world.events(EventType.CERTIFICATE_RENEWED) == []
    assert world.events(EventType.CERTIFICATE_REFUSED)[-1].data["reasons"] == ("certificate-not-renewable",)
