"""`policy explain`: the certificate that rules see, and the notes if there is none."""

from __future__ import annotations

import pytest
from cryptography import x509

from doorward.access.explanation import Explanation, explain
from doorward.access.policies import apply_document, check_document
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Outcome, PrincipalKind, Reason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import NOTHING_SHOWN
from doorward.directory.principals import add_principal
from doorward.policy.requirement_text import parse_shown
from doorward.stores.records import AuthorityKind
from tests.support import factor_records
from tests.support.certificates.issuing import certify
from tests.support.partner_site import PartnerSite
from tests.support.refusals import refused
from tests.support.world import OPERATOR, TRUST_DOMAIN, World, found_world

PERSON = "spiffe://corp.example/person/**"


def put(world: World, rule: str, trust: str = "[own]") -> None:
    """Put a document with one application and this rule into force."""
    apply_document(world.services, document(rule, trust), file="test.yaml", actor=OPERATOR)


def document(rule: str, trust: str = "[own]") -> str:
    """One application with this rule."""
    return (
        f"trust_domain: {TRUST_DOMAIN}\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        f"    upstream: http://127.0.0.1:9000\n    trust: {trust}\n    rules:\n      - {rule}\n"
    )


def ask(world: World, name: str = "alice", certificate: str = "") -> Explanation:
    """Explain a plain request."""
    words = {"principal": name, "app": "payments", "method": "GET", "path": "/"}
    return explain(world.services, **words, certificate=certificate)  # type: ignore[arg-type]  # texts


def test_a_tcp_connection_is_explained_without_a_request(world: World) -> None:
    """A TCP application has no method and no path; the error says which arguments an application needs."""
    text = document("{allow: {groups: [tellers]}}").replace("http:", "tcp:")
    apply_document(world.services, text, file="test.yaml", actor=OPERATOR)
    for name, outcome in (("alice", Outcome.GOOD), ("carol", Outcome.BAD), (None, Outcome.BAD)):
        decision = explain(world.services, principal=name, app="payments").decision
        assert decision.outcome is outcome
        assert len(decision.findings) == 1
    with refused(MalformedInput, "request-unwanted"):
        ask(world)
    put(world, "{allow: {groups: [tellers]}}")
    with refused(MalformedInput, "request-missing"):
        explain(world.services, principal="alice", app="payments")


TRANSFER = "{allow: {groups: [tellers]}, require: {factor: webauthn, within: 5m}}"


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        ("", "it needs webauthn within 5 min; not shown"),
        ("webauthn=12m,totp=1h", "it needs webauthn within 5 min; shown 12 min ago"),
        ("webauthn=2m", "alice is selected, GET / is within the rule"),
    ],
)
def test_a_missing_factor_is_explained(world: World, shown: str, why: str) -> None:
    """With its age; and whether the person has such a factor at all."""
    put(world, TRANSFER)
    factors = parse_shown(shown, world.clock.now()) if shown else NOTHING_SHOWN
    request = {"principal": "alice", "app": "payments", "method": "GET", "path": "/", "shown": factors}
    found = explain(world.services, **request)  # type: ignore[arg-type]  # texts
    assert [one.why for one in found.decision.findings] == [why]
    is_missing = why.startswith("it needs")
    assert (Reason.FACTOR_MISSING in found.decision.reasons) is is_missing
    note = "alice has enrolled no factor that meets webauthn within 5 min; invite with: doorward factor invite alice"
    assert found.notes == ((note,) if is_missing else ())
    enrol(world, "alice", FactorKind.WEBAUTHN)
    assert explain(world.services, **request).notes == ()  # type: ignore[arg-type]  # texts


def test_what_has_no_second_factor_is_invited_to_none(world: World) -> None:
    """A service gets no hint to a command that refuses it."""
    add_principal(world.services, PrincipalKind.SERVICE, "billing", groups=("tellers",), actor=OPERATOR)
    put(world, TRANSFER)
    (note,) = ask(world, "billing").notes
    assert note == "billing is a service, and only people have second factors"


def enrol(world: World, name: str, kind: FactorKind) -> None:
    """Give somebody a factor."""
    with world.work.change() as stores:
        stores.factors.add(factor_records.factor("one", principal_id=world.principal(name).id, kind=kind))


def test_a_connection_of_tcp_shows_no_factor(world: World) -> None:
    """It has no session."""
    text = document("{allow: {groups: [tellers]}}").replace("http:", "tcp:")
    apply_document(world.services, text, file="test.yaml", actor=OPERATOR)
    with refused(MalformedInput, "request-unwanted"):
        explain(
            world.services, principal="alice", app="payments", shown=parse_shown("totp=1h", world.clock.now())
        )


def test_the_newest_valid_certificate_is_told_of(world: World) -> None:
    """A revoked certificate is not used, and no certificate is looked up if no rule needs one."""
    put(world, f'{{allow: {{certificate: {{san-uri: "{PERSON}"}}}}}}')
    first, second, third = (world.issue("alice").record for _ in range(3))
    revoke(world.services, third.id, RevocationReason.SUPERSEDED, actor=OPERATOR)
    found = ask(world)
    assert found.decision.outcome is Outcome.GOOD
    assert found.certificate in {first.id, second.id}
    assert found.notes == ()
    assert ask(world, certificate=third.id).certificate == third.id
    put(world, "{allow: {kind: person}}")
    assert ask(world).certificate == ""


def test_the_fact_that_failed_is_named(world: World) -> None:
    """The explanation has the value and the wanted value."""
    put(world, '{allow: {certificate: {san-uri: "spiffe://corp.example/device/**"}}}')
    world.issue("alice")
    (finding,) = ask(world).decision.findings
    assert finding.why == (
        "certificate.san-uri: has spiffe://corp.example/person/alice, the rule needs spiffe://corp.example/device/**"
    )


def test_without_a_certificate_nothing_can_be_determined(world: World) -> None:
    """It is said, and a deny rule denies."""
    put(world, "{allow: {certificate: {key: ec-p256}}}")
    found = ask(world)
    assert found.decision.outcome is Outcome.BAD
    assert found.notes == (
        "alice has no valid certificate, so rules about the certificate cannot be determined",
    )
    assert found.decision.findings[0].why == "certificate.key: cannot be determined, the rule needs ec-p256"


def test_a_certificate_of_somebody_else(world: World) -> None:
    """A certificate of another principal, and an unknown one, are refused."""
    put(world, "{allow: {kind: person}}")
    other = world.issue("bob").record
    with refused(RequestRefused, "certificate-of-another"):
        ask(world, certificate=other.id)
    with pytest.raises(NotFound):
        ask(world, certificate="crt_" + "z" * 20)


def test_a_partners_certificate(site: PartnerSite) -> None:
    """Rules see the facts of a partner's path, also without evidence of revocation; without a path they see nothing."""
    bob = site.leaf(
        "bob@clinic.example", names=[x509.RFC822Name("bob@clinic.example"), x509.DNSName("w.clinic.example")]
    )
    site.decide(bob)
    row = site.row(bob)
    assert row is not None
    rule = f'{{allow: {{certificate: {{issuer: {row.authority_id}, san-dns: "*.clinic.example"}}}}}}'
    put(site, rule, trust="[own, clinic]")
    name = "clinic/bob@clinic.example"
    assert ask(site, name).decision.outcome is Outcome.GOOD
    site.bring_in(
        anchors=[root := certify("other Root")], intermediates=[certify("other", root)], replacing=True
    )
    found = ask(site, name)
    assert found.decision.outcome is Outcome.BAD
    assert found.notes == (
        f"{row.id} has no good path now, so rules about the certificate cannot be determined",
    )


def test_issuers_that_no_certificate_can_come_from(site: PartnerSite) -> None:
    """An id that is unknown, or of an authority that the application does not trust, is pointed at."""
    issuing = site.issue("alice").record.authority_id
    with site.work.read() as stores:
        root = next(one.id for one in stores.authorities.list() if one.kind is AuthorityKind.ROOT)
        clinic = next(one.id for one in stores.partners.authorities(site.partner.id) if not one.anchor)
    text = document(f"{{allow: {{certificate: {{issuer: [{issuing}, {clinic}, {root}, aut_nobody]}}}}}}")
    found = [(one.code, one.message) for one in check_document(site.services, text, file="test.yaml")]
    unknown = "no authority that issues client certificates has the id"
    assert sorted(found) == sorted(
        [
            (
                "issuer-not-trusted",
                f"{clinic} is an authority of clinic, which the application does not trust",
            ),
            ("issuer-unknown", f"{unknown} {root}"),
            ("issuer-unknown", f"{unknown} aut_nobody"),
        ]
    )


def test_the_portal_is_explained_like_an_application() -> None:
    """By its own policy, which no document has."""
    world = found_world()
    found = explain(world.services, principal="carol", app="portal", method="GET", path="/")
    assert found.decision.outcome is Outcome.GOOD
