"""People with certificates that differ in all that rules may ask of a certificate, and selectors that ask for it.

What rules see is written down here by hand, and not read from the certificates: so a judge that is told something
else differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from doorward.core.certificate import CertificateContent, VerifiedCertificate
from doorward.core.entities import PrincipalKind
from doorward.policy.subject import Subject
from doorward.stores.partner_records import in_partners_groups
from doorward.stores.records import AuthorityKind
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import ANY_POLICY
from tests.support.doorway import DOMAIN, Doorway, Identity
from tests.support.partner_door import Clinic

OID, OTHER_OID = "1.3.6.1.4.1.99999.1", "1.3.6.1.4.1.99999.2"

WORDS = (
    "{{certificate: {{issuer: [{own}, {theirs}]}}}}",
    "{{certificate: {{key: [ec-p256, ec-p384, rsa-2048+]}}}}",
    "{{kind: [person, device], certificate: {{issuer: [{own}, {theirs}], key: [ec-p256, ec-p384]}}}}",
    "{{certificate: {{issuer: [{own}]}}}}",
    "{{certificate: {{issuer: [{theirs}]}}}}",
    "{{certificate: {{issuer: [{own}, {theirs}], key: [ec-p256]}}}}",
    "{{certificate: {{profile: [device, service]}}}}",
    "{{certificate: {{profile: [person]}}, groups: [red, blue]}}",
    '{{certificate: {{issuer: [{theirs}], san-dns: ["*.ward.example"]}}}}',
    '{{certificate: {{issuer: [{theirs}], san-dns: [b.lab.example, "*.a.ward.example"]}}}}',
    '{{certificate: {{issuer: [{own}, {theirs}], san-email: ["@clinic.example"]}}}}',
    '{{certificate: {{issuer: [{theirs}], san-email: ["W1@clinic.example", "w2@clinic.example"]}}}}',
    '{{certificate: {{issuer: [{own}, {theirs}], san-uri: ["spiffe://{domain}/person/**", "spiffe://ns.example/web/**"]}}}}',
    '{{kind: person, certificate: {{issuer: [{own}], san-uri: ["spiffe://{domain}/person/ann"]}}}}',
    f"{{{{certificate: {{{{issuer: [{{own}}, {{theirs}}], policy-oid: [{OID}]}}}}}}}}",
    f"{{{{kind: person, certificate: {{{{issuer: [{{theirs}}], policy-oid: [{OTHER_OID}, {OID}]}}}}}}}}",
    "{{certificate: {{key: [rsa-2048+]}}}}",
    "{{certificate: {{key: [rsa-3072+, ec-p384]}}}}",
    "{{groups: [clinicians], certificate: {{key: [ec-p256, ec-p384]}}}}",
)
"""Selectors; `{own}` and `{theirs}` are ids of issuing authorities."""

ALONE = (
    '{{certificate: {{san-uri: ["spiffe://{domain}/person/**"]}}}}',
    '{{certificate: {{san-uri: ["spiffe://{domain}/device/dev-1", "spiffe://{domain}/service/**"]}}}}',
    '{{certificate: {{san-dns: ["*.ward.example"]}}}}',
    '{{kind: person, certificate: {{san-email: ["@clinic.example"]}}}}',
    f"{{{{certificate: {{{{policy-oid: [{OID}]}}}}}}}}",
)
"""Those with names or policies and without an issuer, for an application that trusts one authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedCaller:
    """Somebody with a certificate, and what rules see of it."""

    subject: Subject
    identity: Identity


class Hospital:
    """A partner at a door, and the callers of both authorities, each of whom has been there once."""

    def __init__(self, door: Doorway) -> None:
        self.door = door
        self._clinic = Clinic(door, revocation=RevocationMode.OFF)
        self._clinic.trust("- {allow: {kind: [person, device, service]}}")
        with door.services.work.read() as stores:
            every = stores.authorities.list()
            self.own = next(one.id for one in every if one.kind is AuthorityKind.ISSUING and one.current)
            issuing = self._clinic.issuing.parsed.sha256
            self.theirs = next(
                one.id for one in stores.partners.authorities(self._clinic.id) if one.sha256 == issuing
            )

    def selectors(self, *, alone: bool) -> list[str]:
        """The selectors for an application that trusts our own authority alone, or the partner too."""
        words = (*WORDS, *ALONE) if alone else WORDS
        return [one.format(own=self.own, theirs=self.theirs, domain=DOMAIN) for one in words]

    def employ(self, name: str, kind: PrincipalKind, groups: tuple[str, ...]) -> CertifiedCaller:
        """Somebody of our own."""
        identity = self.door.person(name, *groups, kind=kind)
        with self.door.services.work.read() as stores:
            principal = stores.directory.by_name(name)
        assert principal is not None
        content = CertificateContent(
            dns=(),
            mailboxes=(),
            uris=(f"spiffe://{DOMAIN}/{kind.value}/{name}",),
            policies=frozenset(),
            key="ec-p256",
        )
        certificate = VerifiedCertificate(issuers=frozenset({self.own}), profile=kind.value, content=content)
        return CertifiedCaller(
            subject=Subject(principal=principal, certificate=certificate), identity=identity
        )

    def visitors(self) -> list[CertifiedCaller]:
        """People of the partner, all different; some of their facts cannot be determined."""
        dns, uri = x509.DNSName, x509.UniformResourceIdentifier
        rsa_key, p384 = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())
        return [
            self._visitor(
                "w1",
                dns("X.Ward.Example"),
                valid=(OID,),
                seen={"dns": ("x.ward.example",), "policies": {OID}},
            ),
            self._visitor(
                "w2",
                dns("y.a.ward.example"),
                dns("b.lab.example"),
                key=p384,
                valid=(OID, OTHER_OID),
                seen={
                    "dns": ("y.a.ward.example", "b.lab.example"),
                    "policies": {OID, OTHER_OID},
                    "key": "ec-p384",
                },
            ),
            self._visitor(
                "w3", dns("*.ward.example"), valid=(ANY_POLICY,), seen={"dns": None, "policies": None}
            ),
            self._visitor(
                "w4",
                uri("SPIFFE://ns.example/web/a"),
                key=rsa_key,
                seen={"uris": ("spiffe://ns.example/web/a",), "key": "rsa-2048"},
            ),
            self._visitor("w5", uri("spiffe://ns.example/web/../a"), seen={"uris": None}),
        ]

    def _visitor(
        self,
        name: str,
        *names: x509.GeneralName,
        seen: dict[str, Any],
        valid: tuple[str, ...] = (),
        key: Any = None,
    ) -> CertifiedCaller:
        mailbox = f"{name}@clinic.example"
        identity = self._clinic.identity(
            mailbox,
            names=[x509.RFC822Name(mailbox), *names],
            key=key,
            policy={"valid": valid} if valid else None,
        )
        self.door.get(identity, "/")  # whatever the answer is: it is known from then on
        with self.door.services.work.read() as stores:
            principal = stores.directory.by_name(f"clinic/{mailbox}")
            partner = stores.partners.get(self._clinic.id)
            assert principal is not None
            assert partner is not None
            principal = in_partners_groups(stores.directory, principal, partner.groups)
        plain = {"dns": (), "mailboxes": (mailbox,), "uris": (), "policies": frozenset(), "key": "ec-p256"}
        content = CertificateContent(**{**plain, **seen})
        certificate = VerifiedCertificate(issuers=frozenset({self.theirs}), profile="", content=content)
        return CertifiedCaller(
            subject=Subject(principal=principal, certificate=certificate), identity=identity
        )
