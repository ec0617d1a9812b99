"""The EST surface over a founded authority: a token becomes a certificate, errors are words, and nothing is smuggled."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from httpx2 import Response
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.directory import principals as directory
from doorward.directory.inviting import invite
from doorward.web import throttle
from doorward.web.app import build_est_app
from doorward.web.pool import UseCasePool
from tests.support.world import OPERATOR, World, empty_world

EST = "/.well-known/est"


@pytest.fixture
def client(world: World, pool: UseCasePool) -> TestClient:
    """A client of the EST surface."""
    return TestClient(build_est_app(world.services, pool))


def token_for(world: World, name: str = "pump-1") -> str:
    """Add a device and invite it."""
    directory.add_principal(world.services, PrincipalKind.DEVICE, name, actor=OPERATOR)
    return invite(world.services, name, actor=OPERATOR).token


def basic(name: str, password: str) -> dict[str, str]:
    """Return the Authorization field."""
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def der_request(
    *extensions: x509.ExtensionType, subject: str = "pump-1"
) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Return a key and a request for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(named)
    for one in extensions:
        builder = builder.add_extension(one, critical=True)
    return key, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def post(client: TestClient, operation: str, body: bytes, headers: dict[str, str], **more: Any) -> Response:
    """Send a request as an EST client does."""
    common = {"content-type": "application/pkcs10", **headers}
    return client.post(f"{EST}/{operation}", content=base64.b64encode(body), headers=common, **more)


def certificates_in(answer: Response) -> list[x509.Certificate]:
    """Return the certificates of an answer."""
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))


def test_the_authoritys_certificates(client: TestClient) -> None:
    """Issuing authority and root, in the form that old clients take."""
    answer = client.get(f"{EST}/cacerts")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime"
    assert answer.headers["content-transfer-encoding"] == "base64"
    assert answer.content.count(b"\n") == 1
    issuing, root = sorted(certificates_in(answer), key=lambda one: one.subject == one.issuer)
    issuing.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)


def test_attributes_name_a_key_and_ask_for_no_password(client: TestClient) -> None:
    """P-256 with SHA-256; no challengePassword (1.2.840.113549.1.9.7), which would have to be bound to TLS."""
    answer = client.get(f"{EST}/csrattrs")
    assert answer.headers["content-type"] == "application/csrattrs"
    der = base64.b64decode(answer.content)
    assert der[1] == len(der) - 2
    assert bytes.fromhex("06082a8648ce3d030107") in der
    assert bytes.fromhex("2a864886f70d010907") not in der


def test_a_token_becomes_a_certificate_once(client: TestClient, world: World) -> None:
    """The certificate has the key of the request and the name of the directory; the token is used up."""
    token = token_for(world)
    key, request = der_request()
    answer = post(client, "simpleenroll", request, basic("pump-1", token))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    (leaf,) = certificates_in(answer)
    assert leaf.public_key() == key.public_key()
    assert leaf.subject.rfc4514_string() == "CN=pump-1"
    again = post(client, "simpleenroll", request, basic("pump-1", token))
    assert again.status_code == 401
    assert "invitation-invalid" in again.text


def test_nothing_of_a_request_but_its_key_is_used(client: TestClient, world: World) -> None:
    """CA:TRUE, other purposes, other names: the certificate is as if they had not been there."""
    token = token_for(world)
    _, request = der_request(
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([x509.DNSName("pay.corp.example")]),
        subject="alice",
    )
    (leaf,) = certificates_in(post(client, "simpleenroll", request, basic("pump-1", token)))
    assert leaf.subject.rfc4514_string() == "CN=pump-1"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert not names.get_values_for_type(x509.DNSName)


def test_a_token_is_for_one_name(client: TestClient, world: World) -> None:
    """With another user name it is refused like an unknown one, and it stays good for its own."""
    token = token_for(world)
    token_for(world, "pump-2")
    _, request = der_request()
    wrong = post(client, "simpleenroll", request, basic("pump-2", token))
    unknown = post(client, "simpleenroll", request, basic("pump-2", "A" * 43))
    assert (wrong.status_code, wrong.text) == (unknown.status_code, unknown.text)
    refusal = world.events(EventType.INVITATION_REFUSED)[0]
    assert refusal.data["reason"] == "invitation-for-another"
    assert post(client, "simpleenroll", request, basic("pump-1", token)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "credentials-missing"),
        ({"authorization": "Bearer " + "A" * 43}, "credentials-malformed"),
        (basic("pump-1", "A" * 43), "invitation-invalid"),
    ],
)
def test_who_proves_nothing_gets_a_challenge(client: TestClient, headers: dict[str, str], code: str) -> None:
    """401 asks for Basic, and the text says what to do."""
    answer = post(client, "simpleenroll", der_request()[1], headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["content-type"].startswith("text/plain")
    assert code in answer.text


def test_wrong_tokens_are_counted_and_right_ones_pass(client: TestClient, world: World) -> None:
    """After ten wrong ones the answer is 429 and no event is written; a right one is still taken."""
    _, request = der_request()
    for _ in range(throttle.FAILURES_PER_SOURCE):
        assert post(client, "simpleenroll", request, basic("pump-1", "A" * 43)).status_code == 401
    events = len(world.events(EventType.INVITATION_REFUSED))
    late = post(client, "simpleenroll", request, basic("pump-1", "A" * 43))
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) > 0
    assert len(world.events(EventType.INVITATION_REFUSED)) == events
    assert post(client, "simpleenroll", request, basic("pump-1", token_for(world))).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"AAAA", "application/pkcs10", (400, "csr-malformed")),
        (b"*", "application/pkcs10", (400, "est-body-malformed")),
        (b"A" * 40_000, "application/pkcs10", (413, "body-too-large")),
        (b"AAAA", "application/pkcs7-mime", (415, "media-type-wrong")),
    ],
)
def test_a_bad_body_is_told_and_uses_no_token(
    client: TestClient, world: World, body: bytes, kind: str, said: tuple[int, str]
) -> None:
    """The token works afterwards."""
    headers = basic("pump-1", token_for(world))
    answer = client.post(f"{EST}/simpleenroll", content=body, headers={**headers, "content-type": kind})
    status, code = said
    assert answer.status_code == status
    assert code in answer.text
    assert post(client, "simpleenroll", der_request()[1], headers).status_code == 200


def test_no_secret_is_logged(client: TestClient, world: World) -> None:
    """Neither a token nor a request."""
    token = token_for(world)
    with capture_logs() as logs:
        post(client, "simpleenroll", der_request()[1], basic("pump-1", token))
        post(client, "simpleenroll", der_request()[1], basic("pump-1", token))
    assert token not in str(logs)


def test_before_the_founding_it_says_try_again(pool: UseCasePool) -> None:
    """503 with Retry-After."""
    answer = TestClient(build_est_app(empty_world().services, pool)).get(f"{EST}/cacerts")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
