"""Chains of certificates from a description, right by default, with faults put in by name.

A `Chain` is what hypothesis draws and shrinks: how many authorities, which fault where, which
authorities have a second certificate. `build` makes the certificates; nothing of the product's is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from tests.support.certificates.issuing import (
    ANY_POLICY,
    ANY_USE,
    CLIENT,
    SERVER,
    cached_key,
    certify,
    key_identifier,
)
from tests.support.ports import NOON

NOW = NOON
P1, P2 = "1.3.6.1.4.1.55555.1", "1.3.6.1.4.1.55555.2"
_SERIALS = itertools.count(0x2000_0000_0000_0001)
_PRIVATE = ObjectIdentifier("1.3.6.1.4.1.55555.9")
_STRANGER = 91

Draft = dict[str, Any]
"""Options of `certify`, before it is signed; faults change them. `key` and `signer` are numbers of cached keys."""


def _dn(*parts: str) -> x509.Name:
    """A name of an organization, and below it units and a common name."""
    kinds = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME)
    return x509.Name([x509.NameAttribute(kind, part) for kind, part in zip(kinds, parts, strict=False)])


def _sign(draft: Draft) -> x509.Certificate:
    """The certificate."""
    key, signer = (cached_key(number=draft.pop(which)) for which in ("key", "signer"))
    made = certify(
        key=key, signer=signer, authority_key=key_identifier(signer), serial=next(_SERIALS), **draft
    )
    return made.certificate


Fault = Callable[[Draft], None]


def _set(**values: object) -> Fault:
    return lambda draft: draft.update(values)


def _add(where: str, *values: object) -> Fault:
    return lambda draft: draft.setdefault(where, []).extend(values)


def _policy(**values: object) -> Fault:
    return lambda draft: draft.setdefault("policy", {}).update(values)


def _cannot_certify(draft: Draft) -> None:
    draft["usage"] = [bit for bit in draft["usage"] if bit != "key_cert_sign"]


def _ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ip_network(text) if "/" in text else ip_address(text))


_dns, _uri, _email = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name

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
    "not-ca": _set(ca=False, path_length=None),
    "no-basic-constraints": _add("drop", x509.BasicConstraints),
    "basic-uncritical": _set(basic_critical=False),
    "cannot-certify": _cannot_certify,
    "no-usage": _add("drop", x509.KeyUsage),
    "path-length-0": _set(ca=True, path_length=0),
    "path-length-1": _set(ca=True, path_length=1),
    "purpose-server": _set(purposes=(SERVER,)),
    "purpose-client": _set(purposes=(CLIENT,)),
    "purpose-any": _set(purposes=(ANY_USE,)),
    "no-purpose": _set(purposes=()),
    "wrong-signature": _set(signer=90),
    "other-issuer": _set(issuer_name=_dn("Nobody")),
    "unknown-critical": _set(raw=[(_PRIVATE, b"\5\0", True)]),
    "unknown-uncritical": _set(raw=[(_PRIVATE, b"\5\0", False)]),
    "no-key-ids": _add("drop", x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier),
    "policy-1": _policy(valid=(P1,)),
    "policy-2": _policy(valid=(P2,)),
    "policy-both": _policy(valid=(P1, P2)),
    "policy-any": _policy(valid=(ANY_POLICY,)),
    "map-1-2": _policy(mappings=((P1, P2),)),
    "map-swap": _policy(mappings=((P1, P2), (P2, P1))),
    "map-any": _policy(mappings=((ANY_POLICY, P1),)),
    "explicit-0": _policy(explicit=0),
    "explicit-1": _policy(explicit=1),
    "inhibit-mapping-0": _policy(inhibit_mapping=0),
    "inhibit-any-0": _policy(inhibit_any=0),
    **{f"permit-{name}": _add("permitted", tree) for name, tree in _TREES.items()},
    **{f"exclude-{name}": _add("excluded", tree) for name, tree in _TREES.items()},
    **{f"name-{name}": _add("names", value) for name, value in _NAMES.items()},
}
"""Changes to a certificate by name; some of them leave the path good."""

HARMLESS = "unknown-uncritical"


@dataclass(frozen=True)
class Chain:
    """A description: `self_issued` and `crossed` are sets of authorities by number, 1 nearest to the leaf.

    Args:
        authorities: between leaf and anchor.
        faults: (number of the certificate, fault); 0 is the leaf, `authorities + 1` the anchor.
        self_issued: authorities that have the subject of the one above, and a key of their own.
        crossed: authorities that have a second certificate by an unknown authority.
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
        """All faults of all certificates."""
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
    others = [_sign(draft) for draft in drafts[1:-1]]
    for number in sorted(chain.crossed):
        stranger = {"issuer_name": _dn("Stranger"), "signer": _STRANGER}
        others.insert(0, _sign(_drafts(chain)[number] | stranger))
    for number, fault in chain.twins:
        twin = _drafts(chain)[number]
        FAULTS[fault](twin)
        others.insert(0, _sign(twin))
    return Built(_sign(drafts[0]), tuple(others), _sign(drafts[-1]))


def _drafts(chain: Chain) -> list[Draft]:
    """The certificates without faults, leaf first."""
    top = chain.authorities + 1
    subjects = {top: _dn("Partner", "Root")}
    for number in range(chain.authorities, 0, -1):
        own = _dn("Partner", f"Authority {number}")
        subjects[number] = subjects[number + 1] if number in chain.self_issued else own
    subjects[0] = _dn("Partner", "Staff", "ann")
    drafts: list[Draft] = [
        {
            "subject": subjects[number],
            "issuer_name": subjects[min(number + 1, top)],
            "key": number,
            "signer": min(number + 1, top),
            "ca": number > 0,
            "not_before": NOW - timedelta(days=30),
            "not_after": NOW + timedelta(days=30),
        }
        for number in range(top + 1)
    ]
    drafts[0] |= {"purposes": (CLIENT,), "usage": ("digital_signature",)}
    for draft in drafts[1:]:
        draft |= {"purposes": (), "usage": ("key_cert_sign", "crl_sign")}
    for draft in drafts if chain.with_policies else ():
        draft["policy"] = {"valid": (P1,)}
    return drafts
