"""Judging a chain that an ACME server issued, before a gateway switches to it.

1. The leaf has the key of our request, and names every host of the order and no other.
2. It is valid now, and no certificate of the chain has ended.
3. It is a server certificate (serverAuth, or no limit), and no CA.
4. Each certificate of the chain is signed by the next one.
A chain that fails keeps the former certificate in use. What differs from the former certificate is told, because an
authority may change what it issues without telling (docs/design/0084).

Not here: whether anybody trusts the authority: clients do, or do not.
Standard: RFC 5280 sections 4.2.1.9, 4.2.1.12 and 6.1, RFC 9525 section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.authority.acme.ports import AcmeRefusal
from doorward.wire.pem import render_certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedChain:
    """A chain that may be used: PEM, leaf first; the earliest end; what differs from the former chain, as words."""

    pem: bytes
    leaf: x509.Certificate
    ends_at: datetime
    differences: tuple[str, ...] = ()


def check_chain(
    chain: Sequence[bytes], *, csr: bytes, hosts: Sequence[str], now: datetime, former: bytes = b""
) -> CheckedChain:
    """Return a chain after every check.

    Args:
        chain: DER, leaf first.
        csr: the request, DER.
        hosts: the names of the order, in lower case.
        now: aware, UTC.
        former: the chain in use, PEM; empty if there is none.

    Raises:
        AcmeRefusal: `acme-certificate-unfit`, with the reason.
    """
    try:
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
        leaf = certificates[0]
        fault = _fault(certificates, x509.load_der_x509_csr(csr), frozenset(hosts), now)
        ends_at = min(one.not_valid_after_utc for one in certificates)
        facts = _facts(certificates)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _unfit("it cannot be read") from None
    if fault:
        raise _unfit(fault)
    pem = render_certificates(certificates)
    return CheckedChain(pem=pem, leaf=leaf, ends_at=ends_at, differences=_differences(facts, former))


def _fault(
    chain: Sequence[x509.Certificate],
    csr: x509.CertificateSigningRequest,
    hosts: frozenset[str],
    now: datetime,
) -> str:
    leaf = chain[0]
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    # 1.
    if leaf.public_key().public_bytes(*form) != csr.public_key().public_bytes(*form):
        return "it has another key than the request"
    names = _names(leaf)
    if names != hosts:
        odd = ", ".join(sorted(names ^ hosts))[:200]
        return f"its names are not those of the order: {odd}"
    # 2.
    if leaf.not_valid_before_utc > now:
        return f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    for one in chain:
        if one.not_valid_after_utc <= now:
            return f"a certificate of its chain ended at {one.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    # 3.
    purposes = _purposes(leaf)
    if purposes and not purposes & {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }:
        return "it is not a server certificate: it lacks the purpose serverAuth"
    if _is_ca(leaf):
        return "it is the certificate of an authority"
    # 4.
    for one, issuer in pairwise(chain):
        try:
            one.verify_directly_issued_by(issuer)
        except (InvalidSignature, ValueError, TypeError):
            return "a certificate of its chain is not signed by the next one"
    return ""


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = [one.lower() for one in found.get_values_for_type(x509.DNSName)]
    others = [
        f"a name of another kind ({type(one).__name__})" for one in found if not isinstance(one, x509.DNSName)
    ]
    return frozenset([*dns, *others])


def _purposes(leaf: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    try:
        return frozenset(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return frozenset()


def _is_ca(leaf: x509.Certificate) -> bool:
    try:
        return leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _facts(chain: Sequence[x509.Certificate]) -> dict[str, str]:
    """Return what a change of an authority shows in."""
    leaf = chain[0]
    return {
        "issuer": leaf.issuer.rfc4514_string(),
        "purposes": " ".join(sorted(one.dotted_string for one in _purposes(leaf))),
        "top": chain[-1].issuer.rfc4514_string(),
    }


def _differences(facts: dict[str, str], former: bytes) -> tuple[str, ...]:
    if not former:
        return ()
    try:
        before = _facts(x509.load_pem_x509_certificates(former))
    except (ValueError, UnsupportedAlgorithm):
        return ()
    return tuple(name for name, value in facts.items() if before[name] != value)


def _unfit(why: str) -> AcmeRefusal:
    return AcmeRefusal("acme-certificate-unfit", f"the server's certificate cannot be used: {why}")
