"""Another certificate: what is noted is what the door says that this connection showed, and nothing that a client writes."""

from __future__ import annotations

import asyncio
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.core.names import PORTAL_APPLICATION
from doorward.enforcement.envoy.names import APPLICATION, CLAIMED_CERTIFICATE, SOURCE
from doorward.stores.certificate_choice import CertificateChoice
from doorward.stores.records import ChangeKind
from doorward.web.answers import CUT_DELAY_SECONDS
from doorward.web.pool import UseCasePool
from tests.support.certificates.issuing import certify
from tests.support.portal import DOCUMENT, HOST, ORIGIN, PortalBrowser
from tests.support.world import found_world

PATH = "/_doorward/choose"
ADDRESS = "192.0.2.7"


@pytest.fixture
def alice(pool: UseCasePool) -> PortalBrowser:
    """Alice with a certificate."""
    world = found_world(document=DOCUMENT)
    return PortalBrowser(world=world, pool=pool, held=world.issue("alice"))


def noted(browser: PortalBrowser) -> list[str]:
    """The choices in the change sequence."""
    with browser.world.work.read() as stores:
        return [one.subject for one in stores.changes.since(0) if one.kind is ChangeKind.CHOICE]


def test_a_good_certificate_is_known_by_its_assertion(alice: PortalBrowser) -> None:
    """At the application's door and at the portal's, each for itself; a claim beside it is not looked at."""
    payments = alice.world.application_id("payments")
    claim = {CLAIMED_CERTIFICATE: pem(certify("bob", ca=False).certificate)}
    assert alice.at_app("POST", PATH, headers=claim).status_code == 204
    assert alice.at_portal("POST", PATH).status_code == 204
    sha256 = alice.held.record.sha256
    assert noted(alice) == [
        CertificateChoice.of(one, sha256, "").subject for one in (payments, PORTAL_APPLICATION)
    ]


def test_the_answer_comes_first(alice: PortalBrowser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is noted a moment after it: what cuts the connection would cut the answer off."""
    waited, real = [], asyncio.sleep

    async def note(seconds: float) -> None:
        if seconds != CUT_DELAY_SECONDS:  # of another loop in this process
            await real(seconds)
        else:
            waited.append((seconds, noted(alice)))

    monkeypatch.setattr(asyncio, "sleep", note)
    assert alice.at_app("POST", PATH).status_code == 204
    assert waited == [(CUT_DELAY_SECONDS, [])]
    assert len(noted(alice)) == 1


def test_any_other_is_known_by_what_it_showed(alice: PortalBrowser) -> None:
    """A certificate of somewhere else, or none: then by the source."""
    payments, shown = alice.world.application_id("payments"), certify("alice", ca=False)
    base = {
        "Origin": f"https://{HOST}",
        APPLICATION: payments,
        SOURCE: ADDRESS,
        "X-Forwarded-For": "10.0.0.1",
    }
    for claim in ({CLAIMED_CERTIFICATE: pem(shown.certificate)}, {CLAIMED_CERTIFICATE: "-"}, {}):
        assert alice.app.post(PATH, headers=base | claim).status_code == 204
    sha256 = shown.certificate.fingerprint(shown.certificate.signature_hash_algorithm)  # type: ignore[arg-type]
    assert noted(alice) == [
        CertificateChoice.of(payments, sha256.hex(), "").subject,
        CertificateChoice.of(payments, "", ADDRESS).subject,
    ]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_another_site_cannot_ask_for_it(alice: PortalBrowser, origin: str) -> None:
    """It could have people choose again and again."""
    assert alice.at_portal("POST", PATH, headers={"Origin": origin}).status_code == 403
    assert noted(alice) == []


def test_an_assertion_of_another_door_is_refused(alice: PortalBrowser) -> None:
    """It says nothing about a connection here."""
    answer = alice.client.post(PATH, headers=alice.door.headers(alice.held, "payments") | {"Origin": ORIGIN})
    assert answer.status_code in {401, 403}
    assert noted(alice) == []


def pem(certificate: x509.Certificate) -> str:
    """A certificate as the door passes it on."""
    return urllib.parse.quote(certificate.public_bytes(Encoding.PEM).decode(), safe="")
