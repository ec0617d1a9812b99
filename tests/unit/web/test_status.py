"""The status surface over a founded authority: CRL, authority certificates, keys, health."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from doorward.authority import gateways
from doorward.authority.inventory import root_certificate
from doorward.authority.status import crls
from doorward.authority.status.publication import OCSP_PATH
from doorward.directory.session_keys import current_session_key
from doorward.stores.records import AuthorityKind
from doorward.web.app import build_status_app
from doorward.web.pool import UseCasePool
from doorward.wire.jose import parse_jwks, render_jwk
from tests.support.delta_authority import DeltaAuthority
from tests.support.world import World, empty_world, found_world


@pytest.fixture
def world() -> World:
    """A founded authority that has published its first list."""
    founded = found_world()
    crls.publish_crls(founded.services)
    return founded


@pytest.fixture
def client(world: World, pool: UseCasePool) -> TestClient:
    """A client of the status surface; errors of the application are answers."""
    return TestClient(build_status_app(world.services, pool))


def authority(world: World, kind: AuthorityKind = AuthorityKind.ISSUING) -> tuple[str, bytes]:
    """Return id and DER of the current authority of a kind."""
    with world.work.read() as stores:
        record = stores.authorities.current(kind)
    assert record is not None
    return record.id, record.der


def test_the_revocation_list_of_an_authority_is_served_for_a_minute(world: World, client: TestClient) -> None:
    """The newest list, in DER, with caching fields that end before the list does."""
    crl_id, issuing = authority(world)
    answer = client.get(f"/crl/{crl_id}.crl")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pkix-crl")
    crl = x509.load_der_x509_crl(answer.content)
    assert crl.is_signature_valid(x509.load_der_x509_certificate(issuing).public_key())  # type: ignore[arg-type]
    assert answer.headers["cache-control"] == "public, max-age=60, no-transform, must-revalidate"
    assert answer.headers["last-modified"] == "Mon, 23 Nov 2026 12:00:00 GMT"
    assert int(answer.headers["content-length"]) == len(answer.content)
    again = client.get(f"/crl/{crl_id}.crl", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/crl/{crl_id}.crl")
    assert (head.status_code, head.headers["etag"], head.content) == (200, answer.headers["etag"], b"")


def test_a_list_near_its_end_is_cached_no_longer_than_that(world: World, client: TestClient) -> None:
    """No cache keeps a list past its nextUpdate."""
    crl_id, _ = authority(world)
    with world.work.read() as stores:
        record = stores.status.crl(crl_id)
    assert record is not None
    world.clock.present = record.next_update - timedelta(seconds=7)
    assert "max-age=7," in client.get(f"/crl/{crl_id}.crl").headers["cache-control"]
    world.clock.turn(hours=1)
    assert "max-age=0," in client.get(f"/crl/{crl_id}.crl").headers["cache-control"]


def test_the_list_of_a_partition_is_served(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list of a division lies below its authority's; names that are no list's are not looked up."""
    crl_id, _ = authority(world)
    made = crls.publish_crls(world.services, ("", "1-of-2", "2-of-2"))
    for name in ("1-of-2", "2-of-2"):
        answer = client.get(f"/crl/{crl_id}/{name}.crl")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pkix-crl")
        assert answer.content == made[name].der
    assert client.get(f"/crl/{crl_id}/1-of-4.crl").status_code == 404
    monkeypatch.setattr(world.work, "read", lambda: pytest.fail("the database was asked"))
    for name in ("3-of-2", "1-of-1", "x"):
        missing = client.get(f"/crl/{crl_id}/{name}.crl")
        assert (missing.status_code, missing.json()["code"]) == (404, "crl-unknown")


def test_deltas_are_served_beside_their_lists(world: World, client: TestClient) -> None:
    """With the same caching fields; a delta that was not made is unknown, and the root has none."""
    crl_id, _ = authority(world)
    for name in ("delta", "1-of-2-delta"):
        assert client.get(f"/crl/{crl_id}/{name}.crl").json()["code"] == "crl-unknown"
    made = crls.publish_crls(replace(world.services, crl_deltas=True), ("", "1-of-2", "2-of-2"))
    for name in ("delta", "1-of-2-delta", "2-of-2-delta"):
        answer = client.get(f"/crl/{crl_id}/{name}.crl")
        assert (answer.headers["content-type"], answer.content) == ("application/pkix-crl", made[name].der)
        assert answer.headers["cache-control"] == "public, max-age=60, no-transform, must-revalidate"
        assert answer.headers["last-modified"] == "Mon, 23 Nov 2026 12:00:00 GMT"
        again = client.get(f"/crl/{crl_id}/{name}.crl", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    root_id, _ = authority(world, AuthorityKind.ROOT)
    for path in (f"{root_id}/delta", f"{crl_id}/3-of-2-delta", f"{crl_id}/delta-delta"):
        assert client.get(f"/crl/{path}.crl").status_code == 404


@pytest.mark.parametrize(
    "path", ["/crl/aut_{0}.crl", "/ca/aut_{0}.cer", "/crl/x.crl", "/ca/..%2f.cer", "/other"]
)
def test_what_is_not_there_is_a_problem_document(client: TestClient, path: str) -> None:
    """Unknown and impossible ids are 404 alike."""
    answer = client.get(path.format("a" * 20))
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("kind", [AuthorityKind.ROOT, AuthorityKind.ISSUING])
def test_authority_certificates_are_served_in_der(
    world: World, client: TestClient, kind: AuthorityKind
) -> None:
    """What AIA points to is the certificate that signed (RFC 5280 section 4.2.2.1)."""
    authority_id, der = authority(world, kind)
    answer = client.get(f"/ca/{authority_id}.cer")
    assert (answer.headers["content-type"], answer.content) == ("application/pkix-cert", der)
    assert (
        client.get(f"/ca/{authority_id}.cer", headers={"if-none-match": answer.headers["etag"]}).status_code
        == 304
    )


def test_the_addresses_in_certificates_are_served(world: World, client: TestClient) -> None:
    """CRL and AIA as they stand in a fresh certificate lead to the right answers; OCSP's address is that of the listener's own path."""
    leaf = x509.load_der_x509_certificate(world.issue("alice").der)
    points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    names = points[0].full_name
    assert names is not None
    urls = [names[0].value] + [one.access_location.value for one in access]
    assert len(urls) == 3
    for url in urls:
        path = url.removeprefix("http://pki.corp.example")
        assert path == OCSP_PATH or client.get(path).status_code == 200


def test_the_root_is_served_as_text(world: World, client: TestClient) -> None:
    """/root.pem is the current root."""
    answer = client.get("/root.pem")
    assert (
        x509.load_pem_x509_certificate(answer.content).public_bytes(Encoding.DER)
        == root_certificate(world.services).der
    )


def test_the_keys_of_the_gateways_are_public(world: World, client: TestClient) -> None:
    """/jwks.json has each gateway's assertion key; one that is none is passed over and logged."""
    import json

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    gateways.register_gateway(world.services, name="one", assertion_jwk=json.dumps(render_jwk(key)))
    world.gateway("two")
    with capture_logs() as logs:
        answer = client.get("/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert [one.public_numbers() for one in parse_jwks(answer.text).keys.values()] == [key.public_numbers()]
    assert [entry["event"] for entry in logs] == ["assertion-key-malformed"]


def test_keys_of_sessions_are_told(world: World, client: TestClient):
    """/jwks.json has the keys that sign the assertions within sessions, so that applications can verify them."""
    kid, _ = current_session_key(world.services)
    assert list(parse_jwks(client.get("/jwks.json").text).keys) == [kid]


def test_health_says_that_the_process_answers() -> None:
    """/healthz needs nothing but the process."""
    pool = UseCasePool(workers=1)
    pool.close()
    answer = TestClient(build_status_app(empty_world().services, pool)).get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_readiness_needs_an_authority_a_fresh_list_and_a_responder(
    world: World, client: TestClient, pool: UseCasePool
) -> None:
    """/readyz names what is missing by its code, and nothing more."""
    assert client.get("/readyz").json() == {"ready": True, "faults": []}
    world.clock.turn(days=30)
    stale = client.get("/readyz")
    assert (stale.status_code, stale.json()["faults"]) == (503, ["crl-stale", "responder-expired"])
    nothing = TestClient(build_status_app(empty_world().services, pool)).get("/readyz")
    assert (nothing.status_code, nothing.json()["faults"]) == (503, ["not-founded"])


def test_a_stale_delta_is_not_a_stale_list(pool: UseCasePool) -> None:
    """A delta ends hours before its list, which relying parties still accept."""
    authority = DeltaAuthority()
    authority.later()
    client = TestClient(build_status_app(authority.world.services, pool))
    assert client.get("/readyz").json()["faults"] == []
    authority.world.clock.turn(hours=7)
    assert client.get("/readyz").json()["faults"] == ["crl-delta-stale"]
    authority.world.clock.turn(hours=18)
    assert client.get("/readyz").json()["faults"] == ["crl-stale", "crl-delta-stale"]


@pytest.mark.parametrize("path", ["/healthz", "/root.pem", "/jwks.json"])
def test_only_reading_is_allowed(client: TestClient, path: str) -> None:
    """Other methods are refused with the list of those that work."""
    answer = client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method-wrong")
    assert "GET" in answer.headers["allow"]
