"""PKCS#10 requests: which are accepted, which are refused, and with which code."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.x509.oid import NameOID

from doorward.core.certificate_names import build_subject
from doorward.core.errors import MalformedInput
from doorward.core.ports import KeyKind
from doorward.pki.csr import CSR_LIMIT, build_csr, find_key_kind, parse_csr
from doorward.pki.der import encode, encode_bits, encode_integer, encode_sequence
from doorward.pki.keys import encode_public_key
from doorward.pki.signing import encode_algorithm
from tests.support.certificates.issuing import cached_key

SHA256 = hashes.SHA256()


def request_by(key, *, digest=SHA256, names=("alice",), extensions=()) -> x509.CertificateSigningRequest:
    """A request as some client might make it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, digest)


def der_of(request: x509.CertificateSigningRequest) -> bytes:
    """The DER of a request."""
    return request.public_bytes(serialization.Encoding.DER)


def code_of(data: bytes) -> str:
    """Return the code that `data` is refused with."""
    with pytest.raises(MalformedInput) as caught:
        parse_csr(data)
    return caught.value.code


@pytest.mark.parametrize("kind", list(KeyKind))
def test_our_own_requests_are_taken(kind):
    """A request that the agent builds is accepted, for every kind of key."""
    key = cached_key(kind)
    request = parse_csr(build_csr(key, "alice", ["A.corp.example", "*.corp.example"]))
    assert request.public_key == key.public_key()
    assert request.key_kind == kind.value


@pytest.mark.parametrize("kind", list(KeyKind))
def test_the_kind_of_a_requests_key(kind):
    """For a client that lets the server make the key: a key of the same kind."""
    assert find_key_kind(build_csr(cached_key(kind), "alice")) is kind


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (rsa.generate_private_key(65537, 1024), KeyKind.RSA2048),
        (ec.generate_private_key(ec.SECP521R1()), KeyKind.P256),
    ],
    ids=["weak", "another curve"],
)
def test_the_nearest_kind_of_a_key_that_is_not_certified(key, kind):
    """The key of such a request may be one that is refused otherwise."""
    assert find_key_kind(der_of(request_by(key))) is kind


@pytest.mark.parametrize("data", [b"", b" ", b"x", b"A" * (CSR_LIMIT + 1)])
def test_what_is_no_request_has_no_kind(data):
    """As for every other reader of requests."""
    with pytest.raises(MalformedInput):
        find_key_kind(data)


def test_der_and_pem_are_one_request():
    """Both forms give the same value, with any text around the PEM block."""
    pem = build_csr(cached_key(), "alice")
    parsed = parse_csr(pem)
    assert parse_csr(parsed.der) == parsed
    assert parse_csr(b"subject=alice\n" + pem + b"\n") == parsed
    assert (
        parse_csr(pem.replace(b"BEGIN CERT", b"BEGIN NEW CERT").replace(b"END CERT", b"END NEW CERT"))
        == parsed
    )


def test_what_a_request_says_of_itself_does_not_matter():
    """Its names and extensions are not read: none is fine, and so are strange ones."""
    key = cached_key()
    for names in ((), ("a\nb",)):
        assert parse_csr(der_of(request_by(key, names=names))).public_key == key.public_key()
    strange = x509.SubjectAlternativeName(
        [x509.DNSName("a_b"), x509.DNSName("ok.example"), x509.RFC822Name("a@b")]
    )
    usage = x509.BasicConstraints(ca=True, path_length=None)
    request = parse_csr(der_of(request_by(key, extensions=(strange, usage))))
    assert request.public_key == key.public_key()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "csr-empty"),
        (b" \n\t", "csr-empty"),
        (b"x" * (CSR_LIMIT + 1), "csr-too-large"),
        (b"hello", "csr-malformed"),
        (b"\x30\x80", "csr-malformed"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\n!!\n-----END CERTIFICATE REQUEST-----\n", "csr-malformed"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "csr-malformed"),
    ],
)
def test_what_is_no_request_is_malformed(data, code):
    """Any other bytes are refused with a code."""
    assert code_of(data) == code


def test_one_request_at_a_time():
    """Two PEM blocks, or bytes after the DER, are malformed: the second request must not be ignored."""
    pem = build_csr(cached_key(), "alice")
    assert code_of(pem + pem) == "csr-malformed"
    assert code_of(parse_csr(pem).der + b"\x00") == "csr-malformed"


def test_a_key_without_proof_of_possession_is_refused():
    """If another key than the one in the request made the signature, there is no proof of possession."""
    genuine = der_of(request_by(ec.generate_private_key(ec.SECP256R1())))
    swapped = bytearray(genuine)
    swapped[-1] ^= 1
    assert code_of(bytes(swapped)) == "csr-proof-invalid"


@pytest.mark.parametrize("algorithm", ["300d06092a864886f70d01010b0500", "300506032b6570"])
def test_an_algorithm_that_does_not_fit_the_key_proves_nothing(algorithm):
    """An ECDSA key with an RSA or Ed25519 algorithm beside its signature is no proof, and no crash."""
    request = request_by(cached_key())
    signature = encode_bits(request.signature)
    crossed = encode_sequence(request.tbs_certrequest_bytes, bytes.fromhex(algorithm), signature)
    assert code_of(crossed) == "csr-proof-invalid"


def test_old_hashes_prove_nothing():
    """SHA-1 and SHA-224 are refused: collisions are for sale."""
    request = request_by(cached_key(KeyKind.RSA2048))
    sha1 = bytes.fromhex("300d06092a864886f70d0101050500")
    old = encode_sequence(request.tbs_certrequest_bytes, sha1, encode_bits(request.signature))
    assert code_of(old) == "csr-hash-refused"
    assert code_of(der_of(request_by(cached_key(), digest=hashes.SHA224()))) == "csr-hash-refused"
    for digest in (hashes.SHA384(), hashes.SHA512()):
        assert (
            parse_csr(der_of(request_by(cached_key(), digest=digest))).public_key == cached_key().public_key()
        )


@pytest.mark.parametrize(
    ("make", "digest", "code"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), hashes.SHA256(), "key-weak"),
        (lambda: rsa.generate_private_key(3, 2048), hashes.SHA256(), "key-weak"),
        (lambda: ec.generate_private_key(ec.SECP521R1()), hashes.SHA512(), "key-kind-refused"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), hashes.SHA256(), "key-kind-refused"),
        (lambda: dsa.generate_private_key(2048), hashes.SHA256(), "key-kind-refused"),
        (ed448.Ed448PrivateKey.generate, None, "key-kind-refused"),
    ],
)
def test_keys_that_are_not_certified_are_refused_here(make, digest, code):
    """Weak keys and other kinds of keys are refused."""
    assert code_of(der_of(request_by(make(), digest=digest))) == code


def test_a_huge_key_is_refused_before_its_signature_is_verified():
    """A modulus of 8192 bits with any signature: the answer is about the key."""
    body = request_by(cached_key(KeyKind.RSA2048)).tbs_certrequest_bytes
    small = encode_public_key(cached_key(KeyKind.RSA2048).public_key())
    huge = encode_public_key(rsa.RSAPublicNumbers(65537, 1 << 8191 | 1).public_key())
    version, subject = encode_integer(0), build_subject("alice").public_bytes()
    assert body == encode_sequence(version, subject, small, encode(0xA0))
    algorithm = encode_algorithm(cached_key(KeyKind.RSA2048).public_key())
    signed = encode_sequence(version, subject, huge, encode(0xA0))
    assert code_of(encode_sequence(signed, algorithm, encode_bits(bytes(1024)))) == "key-kind-refused"


def test_a_name_that_fits_no_certificate_is_refused_when_building():
    """The agent learns of a bad name before it asks."""
    with pytest.raises(MalformedInput):
        build_csr(cached_key(), "")
    with pytest.raises(MalformedInput):
        build_csr(cached_key(), "alice", ["not a host"])
