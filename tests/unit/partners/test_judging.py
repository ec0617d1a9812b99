"""Judging a partner's certificate: all branches from the checker's verdict to the registration."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.access import deciding as access
from doorward.audit.events import EventType
from doorward.authority import issuing, revocation
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT, Outcome, PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.directory import inviting, nesting, removal
from doorward.directory import principals as directory
from doorward.partners.importing import remove_partner
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.verification.identity import SanSource
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import certify, crl_at, with_serial
from tests.support.partner_door import resigned
from tests.support.partner_site import PartnerSite, partner_site
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.support.world import OPERATOR, operator_claim

BOB = "bob@clinic.example"
NAME = f"clinic/{BOB}"


def revoke(
    site: PartnerSite, leaf: object, reason: RevocationReason = RevocationReason.KEY_COMPROMISE
) -> None:
    """Revoke a partner's certificate here."""
    record = site.row(leaf)  # type: ignore[arg-type]  # a node
    assert record is not None
    revocation.revoke(site.services, record.id, reason, actor=OPERATOR)


# let in


def test_everyone_adds_every_certified_principal(site: PartnerSite) -> None:
    """The first connection records certificate and principal, and is already admitted."""
    bob = site.leaf(BOB)
    decision = site.decide(bob)
    assert decision.verdict.outcome is Outcome.GOOD
    assert decision.principal is not None
    assert (decision.principal.name, decision.principal.groups) == (NAME, ("clinicians",))
    assert decision.partner_id == site.partner.id
    assert decision.certificate == site.row(bob)
    assert decision.event.data["partner"] == site.partner.id
    assert decision.event.data["principal"] == decision.principal.id
    assert decision.event.data["evidence"]
    head = site.head()
    again = site.decide(bob)
    assert again.principal == decision.principal
    assert site.head() == head


def test_groups_of_the_directory_and_of_the_partner(site: PartnerSite) -> None:
    """A principal is in its own groups and in its partner's, each once."""
    site.decide(site.leaf(BOB))
    for group in ("clinicians", "tellers"):
        directory.add_member(site.services, group, NAME, actor=OPERATOR)
    principal = site.decide(site.leaf(BOB)).principal
    assert principal is not None
    assert principal.groups == ("clinicians", "tellers")
    site.bring_in(replacing=True, groups=("tellers", "night"))
    site.publish()
    principal = site.decide(site.leaf(BOB)).principal
    assert principal is not None
    assert principal.groups == ("clinicians", "night", "tellers")


def test_a_partners_group_lies_in_other_groups(site: PartnerSite) -> None:
    """A group in the terms also gives the groups that contain it."""
    directory.create_group(site.services, "clinicians", actor=OPERATOR)
    nesting.nest(site.services, "hospital", "clinicians", actor=OPERATOR)
    principal = site.decide(site.leaf(BOB)).principal
    assert principal is not None
    assert (principal.groups, principal.inherited) == (("clinicians", "hospital"), ("hospital",))


def test_without_everyone_only_added_principals_are_admitted() -> None:
    """Without `everyone` only the certificate is recorded; an added principal is admitted."""
    site = partner_site()
    bob = site.leaf(BOB)
    assert site.reasons(bob)[-2:] == ["principal-unknown", "application-known"]
    record = site.row(bob)
    assert record is not None
    assert (record.profile, record.state, record.principal_id) == ("partner", CertificateState.VALID, "")
    added = directory.add_principal(site.services, PrincipalKind.PERSON, NAME, actor=OPERATOR).value
    assert site.decide(bob).principal == replace(added, groups=("clinicians",))
    record = site.row(bob)
    assert record is not None
    assert record.principal_id == added.id


def test_names_become_others_with_the_rule(site: PartnerSite) -> None:
    """Another identity rule gives other principals, without the access of the former ones."""
    bob = site.leaf(BOB, names=[x509.RFC822Name(BOB), x509.DNSName("bob.clinic.example")])
    former = site.decide(bob).principal
    site.bring_in(replacing=True, source=SanSource.DNS)
    site.publish()
    later = site.decide(bob).principal
    assert former is not None
    assert later is not None
    assert (former.name, later.name) == (NAME, "clinic/bob.clinic.example")
    assert former.id != later.id


def test_a_principal_of_another_kind_is_not_used(site: PartnerSite) -> None:
    """If the partner's principals became devices, a person with the name is not used."""
    bob = site.leaf(BOB)
    site.decide(bob)
    site.bring_in(replacing=True, kind=PrincipalKind.DEVICE)
    site.publish()
    assert site.reasons(bob)[-2:] == ["principal-unknown", "application-known"]


# how long


def test_no_longer_than_the_evidence(site: PartnerSite) -> None:
    """If evidence is required, the connection ends with it; otherwise with certificate or lifetime."""
    site.publish(lifetime=timedelta(hours=2))
    assert site.decide(site.leaf(BOB)).deadline == NOON + timedelta(hours=2)
    short = site.leaf(BOB, not_after=NOON + timedelta(hours=1))
    assert site.decide(short).deadline == NOON + timedelta(hours=1, seconds=1)
    brief = site.decider(site.evidence_cache, lifetime=timedelta(minutes=5))
    assert brief.decide(site.context(), short.der).deadline == NOON + timedelta(minutes=5)
    site.bring_in(replacing=True, revocation=RevocationMode.PREFER)
    assert site.decide(site.leaf(BOB)).deadline == NOON + timedelta(hours=12)


def test_no_longer_than_the_last_good_crl_with_unusable_evidence() -> None:
    """With `prefer` and unusable evidence, access ends with the last CRL."""
    site = partner_site(everyone=True, revocation=RevocationMode.PREFER)
    address = "http://crl.example/issuing"
    bob = site.leaf(BOB, extra=[crl_at(address)])
    site.publish(lifetime=timedelta(hours=2))
    long = site.decide(bob).deadline
    assert long > NOON + timedelta(hours=2)
    broken = EvidenceRecord(
        partner_id=site.partner.id,
        tenant=TENANT,
        kind=EvidenceKind.CRL,
        source=address,
        about="",
        try_at=NOON,
        unusable=True,
    )
    with site.work.change() as stores:
        stores.evidence.store(broken)
    site.evidence_cache.load(site.partner.id)
    assert site.decide(bob).deadline == NOON + timedelta(hours=2)
    site.clock.turn(hours=2, seconds=1)
    assert "revocation-status-undetermined" in site.reasons(bob)
    with site.work.change() as stores:
        stores.evidence.reschedule(replace(broken, unusable=False))
    site.evidence_cache.load(site.partner.id)
    assert "revocation-status-tolerated" in site.reasons(bob)


def test_a_serial_number_of_any_length_is_recorded(site: PartnerSite) -> None:
    """RFC 5280 section 4.1.2.2: a serial of 2,000 octets is refused and recorded as digest."""
    long = with_serial(site.leaf(BOB), site.issuing.key, b"\x01" * 2000)
    decision = site.decide(long)
    assert decision.verdict.outcome is Outcome.BAD
    digest = hashlib.sha256(("01" * 2000)[1:].encode()).hexdigest()
    assert str(decision.event.data["claimed_serial"]).endswith(f"~sha256:{digest}")


def test_no_longer_than_the_authority() -> None:
    """The connection ends when an authority of its path expires."""
    site = partner_site(everyone=True, revocation=RevocationMode.OFF)
    ending = certify("Ending", site.root, not_after=NOON + timedelta(hours=3))
    site.bring_in(replacing=True, intermediates=[ending])
    assert site.decide(site.leaf(BOB, issuer=ending)).deadline == NOON + timedelta(hours=3, seconds=1)


def test_evidence_that_is_newer_makes_a_decision_old(site: PartnerSite) -> None:
    """A decision is current as long as its evidence index is; ours depend on none."""
    decision = site.decide(site.leaf(BOB))
    assert site.judge.is_current(decision)
    site.publish(load=False)
    assert site.judge.is_current(decision)
    site.evidence_cache.load(site.partner.id)
    assert not site.judge.is_current(decision)
    alice = site.issue("alice")
    assert site.judge.is_current(site.judge.decide(site.context(), alice.der))


# refused


def test_without_evidence_or_after_it() -> None:
    """With `require` missing or expired evidence refuses; with `prefer` and `off` it does not."""
    site = partner_site(everyone=True, publish=False)
    bob = site.leaf(BOB)
    assert site.reasons(bob)[-2:] == ["revocation-status-undetermined", "application-known"]
    assert site.row(bob) is not None  # so that its evidence may be looked for
    assert site.decide(bob).principal is None
    site.publish(lifetime=timedelta(hours=1))
    assert site.decide(bob).verdict.outcome is Outcome.GOOD
    site.clock.turn(seconds=3601)
    assert "revocation-status-undetermined" in site.reasons(bob)
    for mode in (RevocationMode.PREFER, RevocationMode.OFF):
        site.bring_in(replacing=True, revocation=mode)
        assert site.decide(bob).verdict.outcome is Outcome.GOOD


def test_revoked_by_its_issuer(site: PartnerSite) -> None:
    """A revoked certificate is refused; others of the same issuer are not."""
    bob, eve = site.leaf(BOB), site.leaf("eve@clinic.example")
    site.publish(bob)
    assert "certificate-revoked" in site.reasons(bob)
    assert site.decide(eve).verdict.outcome is Outcome.GOOD


def test_revoked_or_held_here(site: PartnerSite) -> None:
    """A revocation here holds, also if the issuer says good; a hold ends with its release."""
    bob, eve = site.leaf(BOB), site.leaf("eve@clinic.example")
    for one in (bob, eve):
        site.decide(one)
    revoke(site, bob)
    decision = site.decide(bob)
    assert decision.verdict.outcome is Outcome.BAD
    assert "certificate-revoked" in [one.value for one in decision.verdict.reasons]
    assert decision.principal is None
    record = site.row(eve)
    assert record is not None
    revocation.hold(site.services, record.id, actor=OPERATOR)
    assert "certificate-on-hold" in site.reasons(eve)
    revocation.release(site.services, record.id, actor=OPERATOR)
    assert site.decide(eve).verdict.outcome is Outcome.GOOD


def test_a_signature_in_another_form_is_another_file(site: PartnerSite) -> None:
    """A revoked certificate with a re-encoded signature is refused."""
    bob = site.leaf(BOB)
    site.decide(bob)
    revoke(site, bob)
    disguised = resigned(bob)
    assert "serial-not-unique" in site.reasons(disguised)
    assert site.row(disguised) is None


def test_a_revocation_holds_after_its_issuer_was_renewed(site: PartnerSite) -> None:
    """A renewed authority is the same issuer: its serial numbers stay used."""
    bob = site.leaf(BOB)
    site.decide(bob)
    revoke(site, bob)
    renewed = certify("clinic Issuing", site.root, key=site.issuing.key, serial=99)
    site.bring_in(replacing=True, intermediates=[renewed])
    site.publish()
    assert "serial-not-unique" in site.reasons(resigned(bob))
    assert "certificate-revoked" in site.reasons(bob)


def test_a_revocation_holds_after_a_new_import(site: PartnerSite) -> None:
    """A revocation here holds also after the partner was imported again."""
    bob = site.leaf(BOB)
    site.decide(bob)
    revoke(site, bob)
    remove_partner(site.services, "clinic", actor=OPERATOR)
    site.bring_in()
    site.publish()
    assert "serial-not-unique" in site.reasons(resigned(bob))
    assert "certificate-revoked" in site.reasons(bob)


def test_another_authority_of_the_name_has_numbers_of_its_own(site: PartnerSite) -> None:
    """The same name with another key is another issuer with other serial numbers."""
    site.decide(site.leaf(BOB, serial=5))
    other = certify("clinic Issuing", site.root)
    site.bring_in(replacing=True, intermediates=[site.issuing, other], revocation=RevocationMode.OFF)
    assert (
        site.decide(site.leaf("eve@clinic.example", issuer=other, serial=5)).verdict.outcome is Outcome.GOOD
    )


def test_a_certificate_follows_its_renewed_issuer(site: PartnerSite) -> None:
    """The record gets the id of the renewed issuer, because evidence is found by it."""
    bob = site.leaf(BOB)
    site.decide(bob)
    before = site.row(bob)
    renewed = certify("clinic Issuing", site.root, key=site.issuing.key, serial=99)
    site.bring_in(replacing=True, intermediates=[renewed])
    site.publish()
    assert site.decide(bob).verdict.outcome is Outcome.GOOD
    after = site.row(bob)
    assert before is not None
    assert after is not None
    with site.work.read() as stores:
        ids = {one.sha256: one.id for one in stores.partners.authorities(site.partner.id)}
    assert after == replace(before, authority_id=ids[renewed.parsed.sha256])


def test_certificates_not_for_clients_are_not_recorded(site: PartnerSite) -> None:
    """A server certificate and one with a bad path are not recorded."""
    server = site.leaf(BOB, purposes=[x509.ExtendedKeyUsageOID.SERVER_AUTH])
    stranger = site.leaf(BOB, issuer=certify("clinic Issuing"))  # the right name, another key
    for one in (server, stranger):
        assert site.decide(one).verdict.outcome is Outcome.BAD
        assert site.row(one) is None
    assert "path-invalid" in site.reasons(stranger)
    detail = site.decide(stranger).event.data["detail"]
    assert isinstance(detail, str)
    assert "5280" in detail
    assert ": " not in detail


def test_no_name_no_principal(site: PartnerSite) -> None:
    """A certificate without a fitting name, or with one outside of the domain, has no principal."""
    nameless = site.leaf(BOB, names=[x509.DNSName("bob.clinic.example")])
    assert "name-mismatch" in site.reasons(nameless)
    site.bring_in(replacing=True, domain="clinic.example")
    site.publish()
    assert "name-mismatch" in site.reasons(site.leaf("bob@other.example"))
    assert site.decide(site.leaf(BOB)).verdict.outcome is Outcome.GOOD


def test_a_suspended_principal(site: PartnerSite) -> None:
    """A suspended principal with a good certificate is refused."""
    bob = site.leaf(BOB)
    site.decide(bob)
    directory.suspend(site.services, NAME, actor=OPERATOR)
    assert "principal-suspended" in site.reasons(bob)
    directory.resume(site.services, NAME, actor=OPERATOR)
    assert site.decide(bob).verdict.outcome is Outcome.GOOD


def test_names_longer_than_a_name_may_be_are_refused_not_an_error(site: PartnerSite) -> None:
    """A too long identity is refused with a reason, without an exception."""
    for name in ("a" * 190 + "@clinic.example", 'a"b@clinic.example', "a b@clinic.example", "ä"):
        try:
            leaf = site.leaf("x", names=[x509.RFC822Name(name)])
        except ValueError:  # what the library does not write
            continue
        assert site.decide(leaf).verdict.outcome is not Outcome.GOOD


def test_none_of_our_certificates_for_a_partners_principal(site: PartnerSite) -> None:
    """Every way to issue our certificate for a partner's principal is refused."""
    bob = site.leaf(BOB)
    principal = site.decide(bob).principal
    assert principal is not None
    with refused(RequestRefused, "principal-of-a-partner"):
        issuing.issue(site.services, site.csr(), operator_claim(principal))
    record = site.row(bob)
    assert record is not None
    claim = issuing.RenewalClaim(actor=OPERATOR, certificate=record)
    with refused(RequestRefused, "certificate-not-renewable") as renewed:
        issuing.issue(site.services, site.csr(), claim)
    assert "doorward invite" not in renewed.value.hint
    with refused(RequestRefused, "principal-of-a-partner"):
        inviting.invite(site.services, NAME, actor=OPERATOR)


# which authority is heard where


def test_an_application_that_does_not_trust_the_partner(site: PartnerSite) -> None:
    """The issuer is unknown there, and nothing is recorded."""
    bob = site.leaf(BOB)
    assert site.reasons(bob, "sensors")[:2] == ["certificate-well-formed", "issuer-unknown"]
    assert site.row(bob) is None
    (known, *_) = [site.decide(bob)]
    assert known.verdict.outcome is Outcome.GOOD
    assert site.decide(bob, "sensors").verdict.outcome is Outcome.BAD


def test_our_own_certificates_are_judged_as_ever(site: PartnerSite) -> None:
    """At an application with partners our own certificates need no evidence."""
    alice = site.issue("alice")
    decision = site.judge.decide(site.context(), alice.der)
    assert decision.verdict.outcome is Outcome.GOOD
    assert (decision.partner_id, decision.evidence_index) == ("", None)
    revocation.revoke(site.services, alice.record.id, RevocationReason.UNSPECIFIED, actor=OPERATOR)
    decision = site.judge.decide(site.context(), alice.der)
    assert "certificate-revoked" in [one.value for one in decision.verdict.reasons]


def test_our_own_certificates_if_only_a_partner_is_trusted(site: PartnerSite) -> None:
    """Our own certificates are refused, and the reason says that we are not trusted."""
    alice = site.issue("alice")
    site.hear("clinic")
    decision = site.judge.decide(site.context(), alice.der)
    assert decision.verdict.outcome is Outcome.BAD
    assert decision.grants == ()
    assert "authority-not-trusted" in [one.value for one in decision.verdict.reasons]
    assert site.decide(site.leaf(BOB)).verdict.outcome is Outcome.GOOD


def test_an_issuer_called_like_our_own(site: PartnerSite) -> None:
    """An authority of a partner with our name is the partner's; our principals are not affected."""
    with site.work.read() as stores:
        ours = next(one for one in stores.authorities.list() if one.kind.value == "issuing")
    name = x509.load_der_x509_certificate(ours.der).subject
    twin = certify(name, site.root)
    site.bring_in(replacing=True, intermediates=[twin], revocation=RevocationMode.OFF)
    guest = site.leaf(BOB, issuer=twin)
    decision = site.decide(guest)
    assert decision.principal is not None
    assert decision.principal.name == NAME
    alice = site.issue("alice")
    own = site.judge.decide(site.context(), alice.der)
    assert (own.verdict.outcome, own.partner_id) == (Outcome.GOOD, "")
    assert site.decide(guest, "sensors").verdict.outcome is Outcome.BAD
    stranger = site.leaf("eve@clinic.example", issuer=certify(name))
    assert site.decide(stranger).verdict.outcome is Outcome.BAD


def test_two_partners_of_one_application(site: PartnerSite) -> None:
    """The same name under two partners is two principals."""
    other = replace(
        site,
        root=(root := certify("east Root")),
        issuing=certify("east Issuing", root),
        name="east",
    )
    other.evidence_cache, other.judge = site.evidence_cache, site.judge
    other.bring_in()
    other.publish()
    site.hear("own", "clinic", "east")
    first, second = site.decide(site.leaf(BOB)), other.decide(other.leaf(BOB))
    assert first.principal is not None
    assert second.principal is not None
    assert [first.principal.name, second.principal.name] == [NAME, f"east/{BOB}"]
    assert [first.partner_id, second.partner_id] == [site.partner.id, other.partner.id]


def test_of_two_partners_with_one_authority_the_first_by_the_alphabet_decides(site: PartnerSite) -> None:
    """The order in the document does not matter."""
    other = replace(site, name="annex")
    other.evidence_cache, other.judge = site.evidence_cache, site.judge
    other.bring_in()
    other.publish()
    for names in (("own", "clinic", "annex"), ("annex", "clinic", "own")):
        site.hear(*names)
        assert site.decide(site.leaf(BOB)).partner_id == other.partner.id


def test_no_certificate_is_refused(site: PartnerSite) -> None:
    """No certificate, and malformed bytes, are refused."""
    for der in (None, b"nothing"):
        decision = site.judge.decide(site.context(), der)
        assert decision.verdict.outcome is Outcome.BAD
    assert site.events(EventType.CERTIFICATE_SEEN) == []


def test_connections_of_a_removed_person_cost_no_write(
    site: PartnerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removed person's connections cause no write, also with `everyone`."""
    site.decide(site.leaf(BOB))
    removal.remove(site.services, NAME, actor=OPERATOR)
    again = site.leaf(BOB)
    site.decide(again)  # the certificate is written down, and belongs to no principal
    changes = []
    monkeypatch.setattr(access, "register", lambda *given: changes.append(given))
    assert site.reasons(again)[-2:] == ["principal-unknown", "application-known"]
    assert changes == []
