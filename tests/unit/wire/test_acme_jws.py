"""Signed requests to ACME servers, and what shows control of a name, by the vectors of the standards."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from doorward.pki.challenge_certificate import build_challenge_certificate
from doorward.wire.acme_jws import (
    alpn_extension,
    dns_value,
    key_authorization,
    public_members,
    render_binding,
    render_request,
    renewal_id,
)
from doorward.wire.jose import thumbprint
from tests.support.certificates.issuing import toy_ca
from tests.support.ports import NOON

KEY = ec.generate_private_key(ec.SECP256R1())
URL = "https://acme.example/o"


def unb64(text: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_request_is_signed_over_its_url_and_nonce() -> None:
    """RFC 8555 section 6.2: the account's URL, or its key for the request that makes it."""
    for account in ("", "https://acme.example/acct/1"):
        sent = json.loads(render_request(KEY, url=URL, nonce="n", payload=b"{}", account=account))
        header = json.loads(unb64(sent["protected"]))
        who = {"kid": account} if account else {"jwk": dict(public_members(KEY))}
        assert header == {"alg": "ES256", "nonce": "n", "url": URL, **who}
        assert unb64(sent["payload"]) == b"{}"
        raw = unb64(sent["signature"])
        assert len(raw) == 64
        signature = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        signed = f"{sent['protected']}.{sent['payload']}".encode()
        KEY.public_key().verify(signature, signed, ec.ECDSA(hashes.SHA256()))


def test_a_binding_is_over_the_account_key() -> None:
    """RFC 8555 section 7.3.4."""
    found = render_binding(KEY, url=URL, kid="k", secret=b"s" * 32)
    assert json.loads(unb64(found["protected"])) == {"alg": "HS256", "kid": "k", "url": URL}
    assert json.loads(unb64(found["payload"])) == dict(public_members(KEY))
    signed = f"{found['protected']}.{found['payload']}".encode()
    assert hmac.digest(b"s" * 32, signed, "sha256") == unb64(found["signature"])


def test_what_shows_control() -> None:
    """RFC 8555 sections 8.1 and 8.4, RFC 8737 section 3."""
    proof = key_authorization("token", KEY)
    assert proof == f"token.{thumbprint(KEY.public_key())}"
    digest = hashlib.sha256(proof.encode()).digest()
    assert unb64(dns_value(proof)) == digest
    extension = alpn_extension(proof)
    assert extension.oid.dotted_string == "1.3.6.1.5.5.7.1.31"
    assert extension.value == b"\x04\x20" + digest
    made = build_challenge_certificate(KEY, "a.example", extension, 7, NOON)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("a.example")]
    assert made.extensions.get_extension_for_oid(extension.oid).critical
    made.verify_directly_issued_by(made)


def test_the_identifier_for_renewal_information() -> None:
    """The example of RFC 9773 section 4.1; without a key identifier of the issuer there is none."""
    issuer = bytes.fromhex("69885b6b87464041e1b37b847ba0ae2cde01c8d4")
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(0x87654321)
        .not_valid_before(NOON)
        .not_valid_after(NOON)
    )
    named = builder.add_extension(x509.AuthorityKeyIdentifier(issuer, None, None), critical=False)
    assert renewal_id(named.sign(KEY, hashes.SHA256())) == "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
    assert renewal_id(builder.sign(KEY, hashes.SHA256())) == ""
    unnamed = builder.add_extension(x509.AuthorityKeyIdentifier(None, None, None), critical=False)
    assert renewal_id(unnamed.sign(KEY, hashes.SHA256())) == ""
    assert toy_ca() is not None
