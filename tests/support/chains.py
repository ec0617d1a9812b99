"""Chains of certificates from a description, right by default, with faults put in by name.

A `Chain` is what hypothesis draws and shrinks: how many authorities, which fault where, which
authorities have a second certificate. `build` makes the certificates; nothing of the product's is used.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from tests.support.ports import NOON

NOW = NOON
P1, P2, ANY_POLICY = "1.3.6.1.4.1.55555.1", "1.3.6.1.4.1.55555.2", "2.5.29.32.0"
_SERIALS = itertools.count(0x2000_0000_0000_0001)
_PRIVATE = ObjectIdentifier("1.3.6.1.4.1.55555.9")


@functools.cache
def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _dn(*parts: str) -> x509.Name:
    """A name of an organization, and below it units and a common name."""
    kinds = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME)
    return x509.Name([x509.NameAttribute(kind, part) for kind, part in zip(kinds, parts, strict=False)])


@dataclass
class Draft:
    """One certificate before it is signed; faults change it."""

    subject: x509.Name
    issuer: x509.Name
    key: int
    signer: int
    not_before: datetime = NOW - timedelta(days=30)
    not_after: datetime = NOW + timedelta(days=30)
    basic: tuple[bool, int | None] | None = (True, None)
    basic_critical: bool = True
    usage: bool | None = True
    purposes: tuple[ObjectIdentifier, ...] | None = None
    names: list[x509.GeneralName] = field(default_factory=list)
    permitted: list[x509.GeneralName] = field(default_factory=list)
    excluded: list[x509.GeneralName] = field(default_factory=list)
    policies: tuple[str, ...] = ()
    mappings: tuple[tuple[str, str], ...] = ()
    explicit: int | None = None
    inhibit_mapping: int | None = None
    inhibit_any: int | None = None
    unknown: bool | None = None
    key_ids: bool = True
    leaf: bool = False

    def sign(self) -> x509.Certificate:
        """The certificate."""
        builder = x509.CertificateBuilder(
            self.issuer,
            self.subject,
            _key(self.key).public_key(),
            next(_SERIALS),
            self.not_before,
            self.not_after,
        )
        for extension, critical in self._extensions():
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(_key(self.signer), hashes.SHA256())

    def _extensions(self) -> list[tuple[x509.ExtensionType, bool]]:
        """Its extensions, each with its criticality."""
        own, issuer = _key(self.key).public_key(), _key(self.signer).public_key()
        mapped = self.mappings and x509.UnrecognizedExtension(
            ExtensionOID.POLICY_MAPPINGS, _mappings(self.mappings)
        )
        limits = (self.explicit, self.inhibit_mapping)
        named = [x509.PolicyInformation(ObjectIdentifier(one), None) for one in self.policies]
        trees = (self.permitted or None, self.excluded or None)
        found = (
            (self.key_ids and x509.SubjectKeyIdentifier.from_public_key(own), False),
            (self.key_ids and x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
            (self.basic and x509.BasicConstraints(*self.basic), self.basic_critical),
            (
                self.usage is not None
                and _usage(signs=self.leaf, certifies=bool(self.usage) and not self.leaf),
                True,
            ),
            (self.purposes and x509.ExtendedKeyUsage(self.purposes), False),
            (self.names and x509.SubjectAlternativeName(self.names), False),
            (any(trees) and x509.NameConstraints(*trees), True),
            (named and x509.CertificatePolicies(named), False),
            (mapped, True),
            (limits != (None, None) and x509.PolicyConstraints(*limits), True),
            (self.inhibit_any is not None and x509.InhibitAnyPolicy(self.inhibit_any or 0), True),
            (
                self.unknown is not None and x509.UnrecognizedExtension(_PRIVATE, b"\x05\x00"),
                bool(self.unknown),
            ),
        )
        return [
            (extension, critical)
            for extension, critical in found
            if isinstance(extension, x509.ExtensionType)
        ]


def _usage(*, signs: bool, certifies: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certifies,
        crl_sign=not signs,
        encipher_only=False,
        decipher_only=False,
    )


def _mappings(pairs: Sequence[tuple[str, str]]) -> bytes:
    """PolicyMappings in DER; the library has no class for it."""

    def sequence(content: bytes) -> bytes:
        return bytes((0x30, len(content))) + content

    def oid(dotted: str) -> bytes:
        policy = x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier(dotted), None)])
        return policy.public_bytes()[4:]

    return sequence(b"".join(sequence(oid(one) + oid(other)) for one, other in pairs))


Fault = Callable[[Draft], None]


def _set(**values: object) -> Fault:
    def apply(draft: Draft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return apply


def _add(where: str, *names: x509.GeneralName) -> Fault:
    def apply(draft: Draft) -> None:
        getattr(draft, where).extend(names)

    return apply


def _path_length(limit: int) -> Fault:
    def apply(draft: Draft) -> None:
        draft.basic = (True, limit)

    return apply


def _dns(text: str) -> x509.DNSName:
    return x509.DNSName(text)


def _ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))


_uri, _email = x509.UniformResourceIdentifier, x509.RFC822Name
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH

_TREES: dict[str, x509.GeneralName] = {
    "dns": _dns("example.com"),
    "dns-below": _dns("a.example.com"),
    "dns-other": _dns("example.net"),
    "email-host": _email("example.com"),
    "email-domain": _email(".example.com"),
    "email-box": _email("ann@example.com"),
    "uri-host": _uri("a.example.com"),
    "uri-domain": _uri(".example.com"),
    "ip": _ip("192.0.2.0/24"),
    "ip-other": _ip("198.51.100.0/24"),
    "ip6": _ip("2001:db8::/32"),
    "dn": x509.DirectoryName(_dn("Partner")),
    "dn-unit": x509.DirectoryName(_dn("Partner", "Staff")),
    "dn-other": x509.DirectoryName(_dn("Elsewhere")),
}

_NAMES: dict[str, x509.GeneralName] = {
    "dns": _dns("a.example.com"),
    "dns-apex": _dns("EXAMPLE.com"),
    "dns-suffix": _dns("badexample.com"),
    "dns-wild": _dns("*.example.com"),
    "email": _email("ann@example.com"),
    "email-below": _email("ann@mail.example.com"),
    "email-suffix": _email("ann@badexample.com"),
    "email-other": _email("bob@example.com"),
    "uri": _uri("https://a.example.com/x"),
    "uri-apex": _uri("https://example.com"),
    "uri-port": _uri("https://a.example.com:8443/x"),
    "ip": _ip("192.0.2.7"),
    "ip6": _ip("2001:db8::7"),
    "dn": x509.DirectoryName(_dn("Elsewhere", "Staff")),
}

FAULTS: dict[str, Fault] = {
    "expired": _set(not_after=NOW - timedelta(seconds=1)),
    "ends-now": _set(not_after=NOW),
    "future": _set(not_before=NOW + timedelta(seconds=1)),
    "begins-now": _set(not_before=NOW),
    "not-ca": _set(basic=(False, None)),
    "no-basic-constraints": _set(basic=None),
    "basic-uncritical": _set(basic_critical=False),
    "cannot-certify": _set(usage=False),
    "no-usage": _set(usage=None),
    "path-length-0": _path_length(0),
    "path-length-1": _path_length(1),
    "purpose-server": _set(purposes=(SERVER,)),
    "purpose-client": _set(purposes=(CLIENT,)),
    "purpose-any": _set(purposes=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)),
    "no-purpose": _set(purposes=None),
    "wrong-signature": _set(signer=90),
    "other-issuer": _set(issuer=_dn("Nobody")),
    "unknown-critical": _set(unknown=True),
    "unknown-uncritical": _set(unknown=False),
    "no-key-ids": _set(key_ids=False),
    "policy-1": _set(policies=(P1,)),
    "policy-2": _set(policies=(P2,)),
    "policy-both": _set(policies=(P1, P2)),
    "policy-any": _set(policies=(ANY_POLICY,)),
    "map-1-2": _set(mappings=((P1, P2),)),
    "map-swap": _set(mappings=((P1, P2), (P2, P1))),
    "map-any": _set(mappings=((ANY_POLICY, P1),)),
    "explicit-0": _set(explicit=0),
    "explicit-1": _set(explicit=1),
    "inhibit-mapping-0": _set(inhibit_mapping=0),
    "inhibit-any-0": _set(inhibit_any=0),
    **{f"permit-{name}": _add("permitted", tree) for name, tree in _TREES.items()},
    **{f"exclude-{name}": _add("excluded", tree) for name, tree in _TREES.items()},
    **{f"name-{name}": _add("names", value) for name, value in _NAMES.items()},
}
"""What may be done to a certificate; not all of it makes a path bad."""

HARMLESS = "unknown-uncritical"


@dataclass(frozen=True)
class Chain:
    """A description: `self_issued` and `crossed` are sets of authorities by number, 1 nearest to the leaf.

    Args:
        authorities: between leaf and anchor.
        faults: (number of the certificate, fault); 0 is the leaf, `authorities + 1` the anchor.
        self_issued: authorities that have the subject of the one above, and a key of their own.
        crossed: authorities that have a second certificate by an authority that nobody knows.
        twins: (number of an authority, fault): a second certificate of it, otherwise the same.
        with_policies: whether all certificates bear policy 1.
    """

    authorities: int = 1
    faults: tuple[tuple[int, str], ...] = ()
    self_issued: frozenset[int] = frozenset()
    crossed: frozenset[int] = frozenset()
    twins: tuple[tuple[int, str], ...] = ()
    with_policies: bool = False

    @property
    def named(self) -> frozenset[str]:
        """All faults, wherever they are."""
        return frozenset(name for _, name in (*self.faults, *self.twins))

    def without(self, faults: frozenset[str]) -> Chain:
        """The same chain with some kinds of fault taken out; a twin stays, with a harmless mark."""
        return replace(
            self,
            faults=tuple((where, name) for where, name in self.faults if name not in faults),
            twins=tuple((where, HARMLESS if name in faults else name) for where, name in self.twins),
        )


@dataclass(frozen=True)
class Built:
    """The certificates of a chain: `others` in no meaningful order."""

    leaf: x509.Certificate
    others: tuple[x509.Certificate, ...]
    anchor: x509.Certificate


def build(chain: Chain) -> Built:
    """Make the certificates of a chain."""
    drafts = _drafts(chain)
    for number, fault in chain.faults:
        FAULTS[fault](drafts[number])
    others = [draft.sign() for draft in drafts[1:-1]]
    for number in sorted(chain.crossed):
        stranger = _drafts(chain)[number]
        stranger.issuer, stranger.signer = _dn("Stranger"), 91
        others.insert(0, stranger.sign())
    for number, fault in chain.twins:
        twin = _drafts(chain)[number]
        FAULTS[fault](twin)
        others.insert(0, twin.sign())
    return Built(drafts[0].sign(), tuple(others), drafts[-1].sign())


def _drafts(chain: Chain) -> list[Draft]:
    """The certificates without faults, leaf first."""
    top = chain.authorities + 1
    subjects = {top: _dn("Partner", "Root")}
    for number in range(chain.authorities, 0, -1):
        own = _dn("Partner", f"Authority {number}")
        subjects[number] = subjects[number + 1] if number in chain.self_issued else own
    subjects[0] = _dn("Partner", "Staff", "ann")
    drafts = [
        Draft(
            subject=subjects[number],
            issuer=subjects[min(number + 1, top)],
            key=number,
            signer=min(number + 1, top),
        )
        for number in range(top + 1)
    ]
    drafts[0].leaf, drafts[0].basic, drafts[0].purposes = True, (False, None), (CLIENT,)
    for draft in drafts if chain.with_policies else ():
        draft.policies = (P1,)
    return drafts


def pem_bundle(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates one after the other in PEM."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
