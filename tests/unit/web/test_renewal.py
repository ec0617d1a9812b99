"""Renewal over HTTP: what is read, what is answered, what is counted."""

from __future__ import annotations

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from doorward.audit.events import EventType
from doorward.core.certificate import CertificateState
from doorward.core.ports import KeyKind
from doorward.pki.proof import ProofUse
from doorward.stores.records import CertificateFilter
from doorward.web.app import build_enrolment_app
from doorward.web.pool import UseCasePool
from doorward.web.renewal import MAX_BODY_BYTES, PER_CERTIFICATE
from tests.support.ports import PlainKeys
from tests.support.renewing import body_of, fetch_nonce, new_request, post_renewal, prove
from tests.support.world import Held, World

FACTS = b'{"host_name": "sensor-1.lab"}'


@pytest.fixture
def client(world: World, pool: UseCasePool) -> TestClient:
    """A client of the enrolment surface."""
    return TestClient(build_enrolment_app(world.services, pool, origin="https://enroll.corp.example:8443"))


@pytest.fixture
def sensor(world: World) -> Held:
    """A device's certificate."""
    return world.issue("sensor-1")


def valid(world: World) -> int:
    """How many certificates are valid."""
    with world.work.read() as stores:
        return len(stores.certificates.list(CertificateFilter(state=CertificateState.VALID)))


def test_a_nonce_comes_with_the_time(client, world):
    """It is never cached, and two are different."""
    answer = client.get("/renew/nonce")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["time"] == f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    assert fetch_nonce(client) != fetch_nonce(client)


def test_a_renewal_is_answered_like_an_enrolment(client, world, sensor):
    """201 with the chain in PEM, or JSON; the certificate has the new key."""
    key = PlainKeys().generate(KeyKind.P256)
    body = body_of(prove(sensor, fetch_nonce(client), new_request(key)))
    answer = post_renewal(client, body)
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/pem-certificate-chain")
    leaf, issuer = x509.load_pem_x509_certificates(answer.content)
    assert leaf.public_key() == key.public_key()
    assert leaf.issuer == issuer.subject
    value = post_renewal(client, body, accept="application/json").json()
    assert value["serial"] == f"{leaf.serial_number:x}"
    assert (value["name"], value["profile"]) == ("sensor-1", "device")


def test_a_replayed_request_gives_the_same_certificate(client, world, sensor):
    """A thief who recorded it gets nothing new, no second certificate exists; later it is stale."""
    body = body_of(prove(sensor, fetch_nonce(client), new_request()))
    answers = [post_renewal(client, body) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert valid(world) == 2
    world.clock.turn(minutes=6)
    late = post_renewal(client, body)
    assert (late.status_code, late.json()["code"]) == (400, "nonce-stale")


def test_only_the_key_of_the_request_counts(client, world, sensor):
    """CA:TRUE, other purposes and other names in the request are not in the certificate."""
    key = PlainKeys().generate(KeyKind.P256)
    wish = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://corp.example/service/ledger")]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    request = wish.public_bytes(Encoding.DER)
    answer = post_renewal(client, body_of(prove(sensor, fetch_nonce(client), request)))
    leaf = x509.load_pem_x509_certificates(answer.content)[0]
    old = x509.load_der_x509_certificate(sensor.der)
    for kind in (x509.BasicConstraints, x509.ExtendedKeyUsage, x509.SubjectAlternativeName):
        assert leaf.extensions.get_extension_for_class(kind) == old.extensions.get_extension_for_class(kind)
    assert leaf.subject == old.subject


def test_each_refusal_has_its_status(client, world, sensor):
    """A wrong proof, a key that was used, an older certificate: 403; nothing is issued, and no log has the body."""
    other = world.issue("ledger")
    nonce, request = fetch_nonce(client), new_request()
    with capture_logs() as logs:
        wrong = post_renewal(client, body_of(prove(other, nonce, request, certificate=sensor.der)))
        same = post_renewal(client, body_of(prove(sensor, nonce, new_request(sensor.key))))
        taken = post_renewal(client, body_of(prove(sensor, nonce, new_request(other.key))))
        assert post_renewal(client, body_of(prove(sensor, nonce, request))).status_code == 201
        old = post_renewal(client, body_of(prove(sensor, nonce, new_request())))
    answers = [(one.status_code, one.json()["code"]) for one in (wrong, same, taken, old)]
    assert answers == [
        (403, "proof-invalid"),
        (403, "key-used-before"),
        (403, "key-used-before"),
        (403, "renewal-superseded"),
    ]
    assert valid(world) == 3
    assert logs == []


@pytest.mark.parametrize(
    "change",
    [
        {"certificate": None},
        {"nonce": ""},
        {"request": ["x"]},
        {"signature": "not base64 !"},
        {"signature": "YWJj!!!!"},
        {"request": "\u00e9"},
    ],
)
def test_malformed_bodies_are_400(client, sensor, change):
    """The members are texts in base64."""
    value = json.loads(body_of(prove(sensor, fetch_nonce(client), new_request()))) | change
    answer = post_renewal(client, json.dumps(value).encode())
    assert (answer.status_code, answer.json()["code"]) == (400, "renewal-malformed")


def test_base64_with_line_breaks_is_read(client, sensor):
    """`base64` and `openssl base64` break their lines."""
    value = json.loads(body_of(prove(sensor, fetch_nonce(client), new_request())))
    for name in ("certificate", "request", "signature"):
        value[name] = "\n".join(value[name][at : at + 64] for at in range(0, len(value[name]), 64)) + "\n"
    assert post_renewal(client, json.dumps(value).encode()).status_code == 201


def test_type_and_size_are_limited(client):
    """Another type is 415, a large body is 413 before it is read as JSON."""
    for path in ("/renew", "/renew/report"):
        assert post_renewal(client, b"{}", path, **{"content-type": "text/plain"}).status_code == 415
        large = post_renewal(client, b'{"a": "' + b"a" * MAX_BODY_BYTES + b'"}', path)
        assert (large.status_code, large.json()["code"]) == (413, "body-too-large")
        assert post_renewal(client, b"[]", path).json()["code"] == "renewal-malformed"


def test_wrong_proofs_are_counted_by_address(client, world, sensor):
    """After ten there are no events, and 429; a good proof from the same address passes."""
    nonce, request = fetch_nonce(client), new_request()
    bad = body_of(prove(sensor, nonce, request, signature=b"no signature"))
    codes = [post_renewal(client, bad).status_code for _ in range(13)]
    assert codes == [403] * 10 + [429] * 3
    assert len(world.events(EventType.RENEWAL_REFUSED)) == 10
    assert post_renewal(client, body_of(prove(sensor, nonce, request))).status_code == 201


def test_one_certificate_has_a_limit(client, world, sensor):
    """A client in a loop gets 429 with Retry-After, adds no more events, and disturbs no other client."""
    nonce = fetch_nonce(client)
    body = body_of(prove(sensor, nonce, new_request(sensor.key)))
    codes = [post_renewal(client, body).status_code for _ in range(PER_CERTIFICATE)]
    assert codes == [403] * PER_CERTIFICATE
    events = len(world.work.events)
    answer = post_renewal(client, body)
    assert (answer.status_code, answer.json()["code"]) == (429, "too-many-attempts")
    assert 1 <= int(answer.headers["retry-after"]) <= 600
    assert len(world.work.events) == events
    ledger = world.issue("ledger")
    assert post_renewal(client, body_of(prove(ledger, nonce, new_request()))).status_code == 201


def test_a_report_is_answered(client, world, sensor):
    """When to renew, when to ask again, and the server's time."""
    shown = prove(sensor, fetch_nonce(client), FACTS, ProofUse.REPORT)
    answer = post_renewal(client, body_of(shown, "facts"), "/renew/report")
    assert answer.status_code == 200
    value = answer.json()
    assert (value["renew"], value["check_again_seconds"], value["reason"]) == ("later", 21600, "")
    assert value["renew_at"] > value["time"] == f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}"
    world.clock.turn(days=300)
    shown = prove(sensor, fetch_nonce(client), FACTS, ProofUse.REPORT)
    value = post_renewal(client, body_of(shown, "facts"), "/renew/report").json()
    assert (value["renew"], value["reason"]) == ("now", "due")


def test_a_proof_of_a_report_is_none_for_a_renewal(client, world, sensor):
    """What is signed says its use; so a report cannot be turned into a renewal."""
    request = new_request()
    shown = prove(sensor, fetch_nonce(client), request, ProofUse.REPORT)
    assert post_renewal(client, body_of(shown)).json()["code"] == "proof-invalid"
    malformed = prove(sensor, shown.nonce, b"[]", ProofUse.REPORT)
    answer = post_renewal(client, body_of(malformed, "facts"), "/renew/report")
    assert (answer.status_code, answer.json()["code"]) == (400, "facts-malformed")
    assert valid(world) == 1
