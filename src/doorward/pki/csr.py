"""PKCS#10: parsing and building a certification request, its proof of possession, its key.

Not here: whether the requester may have a certificate (authority.issuing.registration). The names in a request
are not read: the profile and the directory decide the content of the certificate.
Standard: RFC 2986; RFC 7468 section 7 for the text form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from doorward.core.certificate_names import build_subject
from doorward.core.errors import MalformedInput
from doorward.core.names import parse_dns_name
from doorward.core.ports import KeyKind, PrivateKey, PublicKey
from doorward.pki.keys import check_requested_key, choose_builder_hash

CSR_LIMIT = 16 * 1024
"""Bytes, in PEM or DER. An RSA 4096 request with a dozen names has about 2 KiB."""

_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_BEGIN = b"-----BEGIN"
_SMALL_RSA_BITS = 2048

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRequest:
    """A request with an acceptable key; its signature proved possession of that key."""

    public_key: PublicKey
    key_kind: str
    der: bytes


def parse_csr(data: bytes) -> CertificationRequest:
    """Return a request from PEM or DER.

    Args:
        data: exactly one PKCS#10 request, at most 16 KiB.

    Raises:
        MalformedInput: `csr-empty`, `csr-too-large`, `csr-malformed`, `csr-hash-refused` (SHA-1 and
            older), `csr-proof-invalid` (another key made the signature), `key-kind-refused`, `key-weak`.

    Standard: RFC 2986 sections 3 and 4. Not checked: the challenge password (EST and SCEP read it).
    """
    return _within_limits(data, lambda: _read(_load(data)))


def find_key_kind(data: bytes) -> KeyKind:
    """Return the kind of key that is nearest to the key of a request; the key itself may be weak, its signature wrong.

    For clients that let the server make the key: their own key only shows which kind they can use.

    Args:
        data: as for `parse_csr`.

    Raises:
        MalformedInput: `csr-empty`, `csr-too-large`, `csr-malformed`.

    Standard: RFC 7030 section 4.4.1.
    """

    def find() -> KeyKind:
        match _load(data).public_key():
            case RSAPublicKey(key_size=bits):
                return KeyKind.RSA2048 if bits <= _SMALL_RSA_BITS else KeyKind.RSA3072
            case Ed25519PublicKey():
                return KeyKind.ED25519
            case EllipticCurvePublicKey(curve=SECP384R1()):
                return KeyKind.P384
        return KeyKind.P256

    return _within_limits(data, find)


def build_csr(key: PrivateKey, common_name: str, dns: Sequence[str] = ()) -> bytes:
    """Return a request in PEM, signed by `key`.

    Raises:
        MalformedInput: `common-name-malformed`, `dns-name-malformed`.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(build_subject(common_name))
    if dns:
        names = [x509.DNSName(parse_dns_name(name, wildcard=True)) for name in dns]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, choose_builder_hash(key)).public_bytes(serialization.Encoding.PEM)


def _within_limits(data: bytes, read: Callable[[], T]) -> T:
    if not data.strip():
        raise MalformedInput(
            "csr-empty", "the certification request is empty", hint="send one PKCS#10 request, PEM or DER"
        )
    if len(data) > CSR_LIMIT:
        detail = f"the request has {len(data)} bytes, and at most {CSR_LIMIT} are allowed"
        raise MalformedInput("csr-too-large", detail, size=len(data))
    try:
        return read()
    except MalformedInput:
        raise
    except Exception as fault:  # a parser is total, whatever the library raises
        hint = "send one PKCS#10 request, PEM or DER"
        raise MalformedInput("csr-malformed", "this is not a certification request", hint=hint) from fault


def _load(data: bytes) -> x509.CertificateSigningRequest:
    """Return the only request in `data`. Text around the PEM block is allowed, a second block is not."""
    if _BEGIN not in data:
        return x509.load_der_x509_csr(data)
    if data.count(_BEGIN) > 1:
        raise ValueError("more than one PEM block")
    return x509.load_pem_x509_csr(data)


def _read(request: x509.CertificateSigningRequest) -> CertificationRequest:
    """Return a request if its key and its proof are good; raise any exception otherwise."""
    # first, because verifying with a huge key is expensive
    key, kind = check_requested_key(request.public_key())
    digest = request.signature_hash_algorithm
    if digest is not None and not isinstance(digest, _HASHES):
        hint = "sign the request with SHA-256"
        raise MalformedInput(
            "csr-hash-refused", f"the request is signed with {digest.name}, which is not accepted", hint=hint
        )
    if not request.is_signature_valid:
        raise MalformedInput("csr-proof-invalid", "the request is not signed by the key that it contains")
    der = request.public_bytes(serialization.Encoding.DER)
    return CertificationRequest(public_key=key, key_kind=kind, der=der)
