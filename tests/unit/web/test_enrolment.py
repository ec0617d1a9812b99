"""The enrolment surface over a founded authority: the page, the root, certificates for tokens."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from httpx2 import Response
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from doorward.audit.events import EventType
from doorward.authority.inventory import root_certificate
from doorward.directory import principals as directory
from doorward.directory.inviting import invite
from doorward.web import throttle
from doorward.web.app import build_enrolment_app
from doorward.web.pool import UseCasePool
from tests.support.world import OPERATOR, World, empty_world

ORIGIN = "https://enroll.corp.example:8443"
HOW_TO = Path(__file__).parents[3] / "docs/how-to/enrol-with-openssl-and-curl.md"


@pytest.fixture
def client(world: World, pool: UseCasePool) -> TestClient:
    """A client of the enrolment surface."""
    return TestClient(build_enrolment_app(world.services, pool, origin=ORIGIN))


def post(client: TestClient, token: str, csr: bytes, **headers: str) -> Response:
    """Ask for a certificate."""
    common = {"authorization": f"Bearer {token}", "content-type": "application/pkcs10"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/certificates", content=csr, headers=common | named)


def token_for(world: World, name: str = "alice") -> str:
    """Invite somebody."""
    return invite(world.services, name, actor=OPERATOR).token


@pytest.mark.parametrize("path", ["/", "/join"])
def test_the_page_speaks_plainly_and_runs_nothing(client: TestClient, path: str) -> None:
    """The page names the host and the command, has no script, and its policy would not run one."""
    answer = client.get(path)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert "enroll.corp.example:8443" in answer.text
    assert "doorward enroll" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_does_not_repeat_the_host_field(client: TestClient) -> None:
    """What a visitor sends is not on the page."""
    assert (
        "evil" not in client.get("/join", headers={"host": "evil.example", "x-forwarded-host": "evil"}).text
    )


def test_the_page_escapes_what_it_is_given(world: World, pool: UseCasePool) -> None:
    """Even a wrong setting cannot put markup on the page."""
    app = build_enrolment_app(world.services, pool, origin="https://<script>alert(1)</script>")
    assert "<script" not in TestClient(app).get("/").text


def test_the_page_and_the_guide_have_the_same_lines(client: TestClient) -> None:
    """The shell lines on the page are those of the how-to, which a test runs."""
    page = re.findall(r"<pre><code>(.*?)</code></pre>", client.get("/join").text, re.DOTALL)[1]
    guide = re.findall(r"```sh\n(.*?)\n```", HOW_TO.read_text("utf-8"), re.DOTALL)[0]
    assert html.unescape(re.sub(r"</?mark>", "", page)) == guide


def test_the_style_is_served_and_nothing_else_of_the_disk(client: TestClient) -> None:
    """One style sheet by its name; other names are not looked up."""
    answer = client.get("/static/look.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in answer.text
    for name in ("base.html", "..%2Fapp.py", "%2e%2e%2fapp.py", "nothing.css"):
        assert client.get(f"/static/{name}").status_code == 404


def test_the_root_is_served(world: World, client: TestClient) -> None:
    """/root.pem is the root and nothing besides."""
    text = client.get("/root.pem").text
    assert text.count("BEGIN CERTIFICATE") == 1
    der = x509.load_pem_x509_certificate(text.encode()).public_bytes(Encoding.DER)
    assert der == root_certificate(world.services).der


def test_a_token_and_a_request_become_a_chain(world: World, client: TestClient) -> None:
    """201 with PEM, leaf first, not to be stored by anybody on the way."""
    answer = post(client, token_for(world), world.csr(), x_forwarded_for="203.0.113.9, 192.0.2.7")
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/pem-certificate-chain")
    assert answer.headers["cache-control"] == "no-store"
    leaf, issuing = x509.load_pem_x509_certificates(answer.content)
    assert leaf.subject.rfc4514_string() == "CN=alice"
    leaf.verify_directly_issued_by(issuing)
    record = world.events(EventType.CERTIFICATE_ISSUED)[-1]
    assert record is not None


def test_a_request_in_der_is_taken_too(world: World, client: TestClient) -> None:
    """PEM and DER mean the same."""
    der = x509.load_pem_x509_csr(world.csr()).public_bytes(Encoding.DER)
    assert post(client, token_for(world), der).status_code == 201
    assert (
        post(client, token_for(world), world.csr(), content_type="application/x-pem-file").status_code == 201
    )


def test_json_is_given_to_who_asks_for_it(world: World, client: TestClient) -> None:
    """The same certificate with its facts, for programs."""
    value = post(
        client, token_for(world, "ledger"), world.csr(), accept="text/html, application/json;q=0.9"
    ).json()
    leaf = x509.load_pem_x509_certificate(value["certificate"].encode())
    assert int(value["serial"], 16) == leaf.serial_number
    assert (value["name"], value["profile"], len(value["chain"])) == ("ledger", "service", 1)
    assert value["not_after"] == leaf.not_valid_after_utc.isoformat().replace("+00:00", "Z")
    assert value["id"].startswith("crt_")


def test_a_token_works_once(world: World, client: TestClient) -> None:
    """The second use is refused in the same words as an unknown token."""
    token = token_for(world)
    assert post(client, token, world.csr()).status_code == 201
    used = post(client, token, world.csr())
    unknown = post(client, "A" * 43, world.csr())
    assert used.status_code == unknown.status_code == 401
    assert used.json() == unknown.json()
    assert used.json()["code"] == "invitation-invalid"


@pytest.mark.parametrize(
    "value", [None, "", "Basic QTpC", "Bearer", "Bearer short", "Bearer a b", "Bearer " + "A" * 129]
)
def test_without_a_token_nothing_is_asked(client: TestClient, value: str | None) -> None:
    """401 names the way to send a token."""
    headers = {"content-type": "application/pkcs10"} | ({"authorization": value} if value is not None else {})
    answer = client.post("/v1/certificates", content=b"x", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "token-missing")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_malformed_request_does_not_use_up_the_token(world: World, client: TestClient) -> None:
    """400 by the parser's own code; then the right request works."""
    token = token_for(world)
    wrong = post(client, token, b"-----BEGIN NONSENSE-----")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "csr-malformed")
    assert post(client, token, world.csr()).status_code == 201


def test_type_and_size_of_a_request_are_limited(world: World, client: TestClient) -> None:
    """415 for other types, 413 over the parser's and over the surface's limit."""
    token = token_for(world)
    assert post(client, token, world.csr(), content_type="application/json").status_code == 415
    assert post(client, token, b"a" * (17 * 1024)).json()["code"] == "csr-too-large"
    over = post(client, token, b"a" * (33 * 1024))
    assert (over.status_code, over.json()["code"]) == (413, "body-too-large")


def test_a_suspended_person_gets_nothing(world: World, client: TestClient) -> None:
    """The link was voided with the suspension, and is refused in the words of every other."""
    token = token_for(world)
    directory.suspend(world.services, "alice", actor=OPERATOR)
    answer = post(client, token, world.csr())
    unknown = post(client, "A" * 43, world.csr())
    assert (answer.status_code, answer.json()["code"]) == (401, "invitation-invalid")
    assert answer.content == unknown.content


def test_wrong_tokens_keep_no_person_out(world: World, client: TestClient) -> None:
    """After ten wrong tokens an address gets 429 for wrong ones; a right one of that address passes."""
    for _ in range(throttle.FAILURES_PER_SOURCE):
        assert post(client, "A" * 43, world.csr(), x_forwarded_for="192.0.2.66").status_code == 401
    token = token_for(world)
    refused = post(client, "B" * 43, world.csr(), x_forwarded_for="10.9.8.7, 192.0.2.66")
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-attempts")
    assert refused.headers["retry-after"] == "600"
    assert post(client, token, world.csr(), x_forwarded_for="192.0.2.66").status_code == 201


def test_a_token_that_was_used_is_wrong_like_any_other(world: World, client: TestClient) -> None:
    """After too many wrong tokens, a used token and an unknown one get the same answer."""
    token = token_for(world)
    assert post(client, token, world.csr()).status_code == 201
    for _ in range(throttle.FAILURES_PER_SOURCE):
        post(client, "A" * 43, world.csr())
    used, unknown = post(client, token, world.csr()), post(client, "B" * 43, world.csr())
    assert (used.status_code, used.content) == (429, unknown.content)


def test_wrong_tokens_beyond_the_limit_are_no_events(world: World, client: TestClient) -> None:
    """A flood of tries writes ten events in ten minutes; the door's own record has the requests."""
    for number in range(throttle.FAILURES_PER_SOURCE + 15):
        post(client, f"{number:043d}", world.csr())
    assert len(world.events(EventType.INVITATION_REFUSED)) == throttle.FAILURES_PER_SOURCE


def test_refusals_of_other_kinds_are_not_held_against_a_source(world: World, client: TestClient) -> None:
    """A good token with a wrong request may be mended as often as it takes."""
    token = token_for(world)
    for _ in range(throttle.FAILURES_PER_SOURCE + 1):
        assert post(client, token, b"x").status_code == 400
    assert post(client, token, world.csr()).status_code == 201


def test_neither_token_nor_request_is_logged(world: World, pool: UseCasePool) -> None:
    """Not in a refusal, not in a crash."""
    token, csr = token_for(world), world.csr()
    client = TestClient(build_enrolment_app(world.services, pool, origin=ORIGIN))
    with capture_logs() as logs:
        post(client, "A" * 43, csr)
        object.__setattr__(world.services, "work", None)
        crashed = post(client, token, csr)
    assert (crashed.status_code, crashed.json()["code"]) == (500, "internal-error")
    assert logs[-1]["event"] == "internal-error"
    assert token not in str(logs) + crashed.text
    assert "A" * 43 not in str(logs)
    assert csr.decode()[40:80] not in str(logs)


def test_before_the_founding_the_surface_says_so(pool: UseCasePool) -> None:
    """503 with the operator's next step, for the root."""
    client = TestClient(build_enrolment_app(empty_world().services, pool, origin=ORIGIN))
    answer = client.get("/root.pem")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-founded")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_certificates_are_made_by_post_only(client: TestClient, method: str) -> None:
    """405 otherwise; a cross-origin preflight gets no permission."""
    answer = client.request(method, "/v1/certificates", headers={"origin": "https://evil.example"})
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers
