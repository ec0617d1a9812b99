"""The EST surface over a founded authority: a token becomes a certificate, errors are words, and nothing is smuggled."""

from __future__ import annotations

import base64
import email
import hashlib
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, pkcs7
from httpx2 import Response
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.authority.rollover import preparing
from doorward.core.certificate import RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory import principals as directory
from doorward.directory.inviting import invite
from doorward.enforcement.envoy.names import SHOWN_CHAIN
from doorward.web import est, throttle
from doorward.web.app import build_est_app
from doorward.web.pool import UseCasePool
from tests.support.certificates.issuing import toy_ca
from tests.support.factory import approve, enrolment, import_factory
from tests.support.world import OPERATOR, Held, World, empty_world

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


def shown(*chain: bytes) -> dict[str, str]:
    """Return the field in which the door says what a client showed in TLS."""
    pem = b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in chain)
    digest = hashlib.sha256(chain[0]).hexdigest()
    return {SHOWN_CHAIN: f'Hash={digest};Chain="{quote(pem.decode(), safe="")}"'}


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


def test_during_a_rollover_both_authorities_are_told(client: TestClient, world: World) -> None:
    """A client that knows both refuses neither side of the change."""
    before = certificates_in(client.get(f"{EST}/cacerts"))
    preparing.prepare(world.services, actor=OPERATOR)
    after = certificates_in(client.get(f"{EST}/cacerts"))
    assert len(after) == 3
    assert all(one in after for one in before)


def test_libest_gets_lines_that_it_can_read(client: TestClient) -> None:
    """By its User-Agent."""
    answer = client.get(f"{EST}/cacerts", headers={"user-agent": "libest 3.2.0p"})
    assert answer.content.count(b"\n") > 2
    assert len(pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))) == 2


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
        ({}, ""),
        ({"authorization": "Bearer " + "A" * 43}, "credentials-malformed"),
        (basic("pump-1", "A" * 43), "invitation-invalid"),
    ],
)
def test_who_proves_nothing_gets_a_challenge(client: TestClient, headers: dict[str, str], code: str) -> None:
    """401 asks for Basic; if something wrong was shown, the text says what to do."""
    answer = post(client, "simpleenroll", der_request()[1], headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.headers["content-type"].startswith("text/plain")
    assert code in answer.text
    assert bool(code) is bool(answer.content)


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


class TestByCertificate:
    """What was shown in TLS decides, and not the path: strongSwan sends every request with a certificate to simplereenroll."""

    @pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
    def test_a_factory_certificate_waits_for_an_operator(
        self, client: TestClient, world: World, operation: str
    ) -> None:
        """202 with Retry-After; after the approval the same request gets the certificate, and gets it again."""
        factory = import_factory(world)
        headers = shown(*factory.chain(factory.device()))
        key, request = der_request()
        waiting = post(client, operation, request, headers)
        assert waiting.status_code == 202
        assert int(waiting.headers["retry-after"]) >= 30
        found = enrolment(world, waiting.text.partition("(")[2].partition(")")[0])
        approve(world, found, "sensor-7")
        (leaf,) = certificates_in(post(client, operation, request, headers))
        assert (leaf.subject.rfc4514_string(), leaf.public_key()) == ("CN=sensor-7", key.public_key())
        assert certificates_in(post(client, operation, request, headers)) == [leaf]

    @pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
    def test_a_strangers_certificate_gets_nothing(
        self, client: TestClient, world: World, operation: str
    ) -> None:
        """Also if it says that it is one of ours: only the bytes of the inventory count."""
        import_factory(world)
        stranger = toy_ca("Stranger").leaf(name="pump-1")
        answer = post(client, operation, der_request()[1], shown(stranger.der))
        assert (answer.status_code, "factory-certificate-refused" in answer.text) == (403, True)

    def test_our_certificate_is_renewed_with_a_new_key(self, client: TestClient, world: World) -> None:
        """The names are those of the shown certificate's holder, whatever the request says."""
        held = world.issue("bob")
        key, request = der_request(subject="alice")
        (leaf,) = certificates_in(post(client, "simplereenroll", request, shown(held.record.der)))
        assert (leaf.subject.rfc4514_string(), leaf.public_key()) == ("CN=bob", key.public_key())

    def test_a_revoked_certificate_is_not_renewed(self, client: TestClient, world: World) -> None:
        """On both paths the inventory is asked."""
        held = world.issue("bob")
        revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
        for operation in ("simpleenroll", "simplereenroll"):
            answer = post(client, operation, der_request()[1], shown(held.record.der))
            assert (answer.status_code, "certificate-not-renewable" in answer.text) == (403, True)

    def test_another_certificate_than_that_of_the_handshake_is_refused(
        self, client: TestClient, world: World
    ) -> None:
        """The leaf is the one with the proved key, and no other one of the chain."""
        held, other = world.issue("bob"), toy_ca("Stranger").leaf(name="bob")
        claimed = shown(held.record.der, other.der)[SHOWN_CHAIN]
        digest = hashlib.sha256(other.der).hexdigest()
        moved = {SHOWN_CHAIN: f"Hash={digest};{claimed.partition(';')[2]}"}
        answer = post(client, "simplereenroll", der_request()[1], moved)
        assert (answer.status_code, "shown-chain-malformed" in answer.text) == (400, True)
        again = post(client, "simplereenroll", der_request()[1], shown(other.der, held.record.der))
        assert again.status_code == 403

    def test_a_token_does_not_renew(self, client: TestClient, world: World) -> None:
        """Without a certificate simplereenroll has nothing to renew, and the token stays good."""
        headers = basic("pump-1", token_for(world))
        assert post(client, "simplereenroll", der_request()[1], headers).status_code == 401
        assert post(client, "simpleenroll", der_request()[1], headers).status_code == 200


class TestLimits:
    """A loop or a flood costs little, and stops no other device."""

    def test_a_certificate_that_asks_in_a_loop_is_stopped(self, client: TestClient, world: World) -> None:
        """Its refusals are events, so they are counted; another certificate of the same address goes on."""
        held, other = world.issue("bob"), world.issue("alice")
        revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
        request, headers = der_request()[1], shown(held.record.der)
        for _ in range(est.PER_CERTIFICATE):
            assert post(client, "simplereenroll", request, headers).status_code == 403
        events = len(world.work.events)
        answer = post(client, "simplereenroll", request, headers)
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
        assert len(world.work.events) == events
        assert post(client, "simplereenroll", request, shown(other.record.der)).status_code == 200

    def test_strangers_shut_no_device_out(self, client: TestClient, world: World) -> None:
        """However many of them share its address, a factory device asks, ours renew, and tokens are taken."""
        own, token, factory = world.issue("bob"), token_for(world), import_factory(world)
        ca = toy_ca("Stranger")
        headers = [shown(ca.leaf(name=f"x-{number}").der) for number in range(3)]
        request, events = der_request()[1], len(world.work.events)
        for number in range(150):
            assert post(client, "simpleenroll", request, headers[number % 3]).status_code == 403
        assert len(world.work.events) == events
        device = shown(*factory.chain(factory.device()))
        assert post(client, "simpleenroll", request, device).status_code == 202
        assert post(client, "simplereenroll", der_request()[1], shown(own.record.der)).status_code == 200
        assert post(client, "simpleenroll", der_request()[1], basic("pump-1", token)).status_code == 200

    def test_no_count_is_pushed_out_by_others(
        self, client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A looping device cannot forget its count by showing certificates that it made itself."""
        monkeypatch.setattr(throttle, "MAX_SOURCES", 2)
        held, ca = world.issue("bob"), toy_ca("Stranger")
        revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR)
        request, headers = der_request()[1], shown(held.record.der)
        for number in range(est.PER_CERTIFICATE):
            assert post(client, "simplereenroll", request, headers).status_code == 403
            if number % 20 == 0:
                for other in range(3):
                    post(client, "simplereenroll", request, shown(ca.leaf(name=f"x-{other}").der))
        assert post(client, "simplereenroll", request, headers).status_code == 429

    def test_a_factory_device_that_asks_in_a_loop_is_stopped(self, client: TestClient, world: World) -> None:
        """Its certificate is counted, and no other one of its manufacturer."""
        factory = import_factory(world)
        headers, other = (shown(*factory.chain(factory.device(serial))) for serial in ("SN-1", "SN-2"))
        request = der_request()[1]
        for _ in range(est.PER_CERTIFICATE):
            assert post(client, "simpleenroll", request, headers).status_code == 202
        assert post(client, "simpleenroll", request, headers).status_code == 429
        assert post(client, "simpleenroll", request, other).status_code == 202


class TestRenewal:
    """The gate of every renewal (docs/design/0078) is behind EST, too."""

    @pytest.fixture
    def pump(self, world: World) -> Held:
        """A device with a certificate."""
        directory.add_principal(world.services, PrincipalKind.DEVICE, "pump-1", actor=OPERATOR)
        return world.issue("pump-1")

    def test_the_same_request_again_gives_the_same_certificate(self, client: TestClient, pump: Held) -> None:
        """A lost answer locks no device out, and issues nothing twice."""
        request, headers = der_request()[1], shown(pump.record.der)
        (first,) = certificates_in(post(client, "simplereenroll", request, headers))
        assert certificates_in(post(client, "simplereenroll", request, headers)) == [first]

    def test_a_sleeper_comes_back_once(self, client: TestClient, world: World, pump: Held) -> None:
        """Ended five days ago: it gets one certificate; a second request with another key shows two holders of a key."""
        world.clock.turn(days=(pump.record.not_after - world.clock.now()).days + 5)
        headers = shown(pump.record.der)
        assert post(client, "simplereenroll", der_request()[1], headers).status_code == 200
        second = post(client, "simplereenroll", der_request()[1], headers)
        assert (second.status_code, "renewal-superseded" in second.text) == (403, True)
        assert world.events(EventType.CERTIFICATE_CLONE_SUSPECTED)

    def test_who_slept_too_long_is_not_renewed(self, client: TestClient, world: World, pump: Held) -> None:
        """After the terms are over an operator has to invite the device."""
        world.clock.turn(days=(pump.record.not_after - world.clock.now()).days + 40)
        answer = post(client, "simplereenroll", der_request()[1], shown(pump.record.der))
        assert (answer.status_code, "certificate-not-renewable" in answer.text) == (403, True)

    def test_the_old_key_is_not_certified_again(self, client: TestClient, world: World) -> None:
        """RFC 7030 allows it; here a new key is needed."""
        token = token_for(world)
        _, request = der_request()
        (leaf,) = certificates_in(post(client, "simpleenroll", request, basic("pump-1", token)))
        answer = post(client, "simplereenroll", request, shown(leaf.public_bytes(Encoding.DER)))
        assert (answer.status_code, "key-used-before" in answer.text) == (403, True)


class TestKeysMadeHere:
    """serverkeygen: off by default; a key for a device, sent once and kept nowhere."""

    @pytest.fixture
    def making(self, world: World, pool: UseCasePool) -> TestClient:
        """A client of a surface that makes keys."""
        return TestClient(build_est_app(world.services, pool, makes_keys=True))

    def test_it_is_off(self, client: TestClient, world: World) -> None:
        """404, and the token stays good."""
        headers = basic("pump-1", token_for(world))
        answer = post(client, "serverkeygen", der_request()[1], headers)
        assert (answer.status_code, "key-generation-off" in answer.text) == (404, True)
        assert post(client, "simpleenroll", der_request()[1], headers).status_code == 200

    def test_key_and_certificate_come_together(self, making: TestClient, world: World) -> None:
        """The key is new and fits the certificate; the event says where it was made; no store has it."""
        token = token_for(world)
        stored = world.keys.names()
        own, request = der_request()
        with capture_logs() as logs:
            answer = post(making, "serverkeygen", request, basic("pump-1", token))
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        kind = answer.headers["content-type"].encode()
        parts = email.message_from_bytes(
            b"Content-Type: " + kind + b"\r\n\r\n" + answer.content
        ).get_payload()
        pkcs8, certificates = (one.get_payload(decode=True) for one in parts)
        key = load_der_private_key(pkcs8, None)
        (leaf,) = pkcs7.load_der_pkcs7_certificates(certificates)
        assert leaf.public_key() == key.public_key() != own.public_key()
        assert len(world.events(EventType.CERTIFICATE_KEY_GENERATED)) == 1
        assert world.keys.names() == stored
        assert base64.b64encode(pkcs8).decode() not in f"{logs}{world.work.events}"

    def test_a_device_that_knows_rsa_gets_rsa(self, making: TestClient, world: World) -> None:
        """The request's key says what the device can use; it may be one that is never certified."""
        mine = rsa.generate_private_key(65537, 1024)
        named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pump-1")])
        request = x509.CertificateSigningRequestBuilder().subject_name(named).sign(mine, hashes.SHA256())
        body = request.public_bytes(Encoding.DER)
        answer = post(making, "serverkeygen", body, basic("pump-1", token_for(world)))
        certificates = answer.content.rpartition(b"\r\n\r\n")[2].partition(b"\r\n")[0]
        (leaf,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(certificates))
        key = leaf.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048

    def test_no_key_is_made_for_a_person(self, making: TestClient, world: World) -> None:
        """The link stays good for a key that its holder makes."""
        headers = basic("alice", invite(world.services, "alice", actor=OPERATOR).token)
        answer = post(making, "serverkeygen", der_request()[1], headers)
        assert (answer.status_code, "key-generation-refused" in answer.text) == (403, True)
        assert post(making, "simpleenroll", der_request()[1], headers).status_code == 200

    @pytest.mark.parametrize("password", ["A" * 43, "person"])
    def test_no_key_is_made_without_a_right_to_it(
        self, making: TestClient, world: World, password: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A key of RSA costs a second of a processor: not for a stranger, nor for a token that gives no such key."""
        made: list[object] = []
        monkeypatch.setattr(world.services.factory, "generate", made.append)
        name = "bob" if password == "person" else "pump-1"
        token = invite(world.services, name, actor=OPERATOR).token if password == "person" else password
        answer = post(making, "serverkeygen", der_request()[1], basic(name, token))
        assert (answer.status_code, made) == (403 if password == "person" else 401, [])

    def test_a_certificate_is_not_enough(self, making: TestClient, world: World) -> None:
        """A device with a certificate makes its next key itself."""
        held = world.issue("bob")
        answer = post(making, "serverkeygen", der_request()[1], shown(held.record.der))
        assert answer.status_code == 401
