"""A whole Doorward with its portal: clients without a good certificate get an answer, the others their identity.

Not here: what the portal can do (tests of web), and the same door with a field taken out (posture).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.revocation import hold, release
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.certificate_choices import CertificateChoiceRecorder
from doorward.directory.principals import resume, suspend
from doorward.gateway.connections.connection import LiveConnection
from doorward.stores.certificate_choice import CertificateChoice
from doorward.web.certificate_choice import CHOOSE_PATH
from tests.support.attacks import has_ended
from tests.support.certificates.issuing import around_now, toy_ca
from tests.support.doorway import ACTOR, DOMAIN, Doorway, eventually, open_doorway, render_document

pytestmark = pytest.mark.xdist_group("portal-door")

RULES = "- allow: {groups: [staff]}"


@pytest.fixture(scope="module")
def doorway() -> Iterator[Doorway]:
    """An application for people, which explains refusals, and one for machines, which does not."""
    with open_doorway() as one:
        one.apply_document(document(one))
        for name in ("alice", "bob"):
            one.person(name, "staff")
        yield one


def document(doorway: Doorway) -> str:
    """Two applications in front of the same upstream."""
    return render_document(doorway.app(on_refusal="page"), doorway.app("machines"))


class TestPortal:
    """The portal's host asks for a certificate and goes on without one."""

    def test_without_a_certificate_it_answers(self, doorway: Doorway) -> None:
        """The handshake succeeds, and the portal's own answer is for an anonymous client."""
        reply = doorway.get(None, "/", app="portal", headers={"Accept": "text/html"})
        assert reply.status in {401, 403}
        assert b"alice" not in reply.body

    def test_with_one_it_knows_who_comes(self, doorway: Doorway) -> None:
        """Alice reads her own page; her assertion is for the portal."""
        reply = doorway.get(doorway.identities["alice"], "/", app="portal", headers={"Accept": "text/html"})
        assert reply.status == 200
        assert b"alice" in reply.body

    def test_a_header_of_the_client_gives_no_identity(self, doorway: Doorway) -> None:
        """Headers that a client sends under our names are removed before the portal reads them."""
        told = doorway.get(doorway.identities["alice"], "/x", app="app").upstream_headers()
        spoofed = {name: told[name] for name in ("doorward-assertion", "doorward-principal", "client-cert")}
        reply = doorway.get(None, "/", app="portal", headers={"Accept": "text/html", **spoofed})
        assert reply.status in {401, 403}
        assert b"alice" not in reply.body

    def test_an_application_s_assertion_is_not_for_the_portal(self, doorway: Doorway) -> None:
        """Audiences differ, so that what an application is told opens nothing here."""
        assert doorway.gateway.publishing.application_name(PORTAL_APPLICATION) == "portal"


class TestPage:
    """An application for people: a refused connection is answered by a page of ours."""

    def test_without_a_certificate_the_application_hears_nothing(self, doorway: Doorway) -> None:
        """The answer is ours; the record says refused, and why."""
        calls = doorway.upstream.calls
        reply = doorway.get(None, "/accounts", headers={"Accept": "text/html"})
        assert reply.status >= 400
        assert doorway.upstream.calls == calls
        assert "certificate-missing" in doorway.refusal(application=doorway.application_id("app"))

    def test_machines_are_told_by_the_handshake(self, doorway: Doorway) -> None:
        """No answer at all."""
        with pytest.raises((ssl.SSLError, OSError)):
            doorway.get(None, "/", app="machines")

    def test_a_certificate_on_hold_reads_why_and_comes_back_when_it_is_released(
        self, doorway: Doorway
    ) -> None:
        """The connection ends, so that the browser's next one is judged again."""
        bob = doorway.identities["bob"]
        certificate = doorway.certificate_of("bob")
        doorway.settle(hold(doorway.services, certificate, actor=ACTOR))
        with doorway.session(bob) as session:
            assert session.request("GET", "/accounts", headers={"Accept": "text/html"}).status >= 400
            assert doorway.gateway.connections.showing(certificate)
            doorway.settle(release(doorway.services, certificate, actor=ACTOR))
            assert eventually(lambda: not doorway.gateway.connections.showing(certificate))
            assert has_ended(session.socket)
        assert doorway.get(bob, "/accounts").status == 200

    def test_a_suspended_person_comes_back_when_resumed(self, doorway: Doorway) -> None:
        """By the principal, with every certificate of it."""
        bob = doorway.identities["bob"]
        doorway.settle(suspend(doorway.services, "bob", actor=ACTOR).seq)
        with doorway.session(bob) as session:
            assert session.request("GET", "/accounts", headers={"Accept": "text/html"}).status >= 400
            doorway.settle(resume(doorway.services, "bob", actor=ACTOR).seq)
            assert has_ended(session.socket)
        assert doorway.get(bob, "/accounts").status == 200


def newest(doorway: Doorway, certificate: str = "") -> LiveConnection:
    """The connection of a certificate, or of none, that was opened last."""
    every = [one for one in doorway.gateway.connections.all() if one.certificate_id == certificate]
    return max(every, key=lambda one: one.opened_at)


class TestAnotherCertificate:
    """A person asks to show another certificate: cut, refused once by an alert, and let in again."""

    @pytest.mark.parametrize("app", ["app", "portal", "machines"])
    def test_exactly_the_next_connection_is_refused(self, doorway: Doorway, app: str) -> None:
        """Of this certificate at this host; others are not touched."""
        alice, bob = doorway.identities["alice"], doorway.identities["bob"]
        with doorway.session(alice, app=app) as mine, doorway.session(bob, app=app) as other:
            assert mine.request("GET", "/", headers={"Accept": "text/html"}).status == 200
            assert other.request("GET", "/", headers={"Accept": "text/html"}).status == 200
            live = newest(doorway, doorway.certificate_of("alice"))
            choice = CertificateChoice.of(live.application_id, live.sha256, live.source_address)
            doorway.settle(CertificateChoiceRecorder(doorway.services).record(choice, good=True).seq)
            assert has_ended(mine.socket)
            assert other.request("GET", "/", headers={"Accept": "text/html"}).status == 200
        with pytest.raises(OSError):
            doorway.get(alice, "/", app=app)
        assert doorway.get(alice, "/", app=app, headers={"Accept": "text/html"}).status == 200

    @pytest.mark.parametrize("app", ["app", "portal"])
    def test_without_a_certificate_the_source_is_asked_again(self, doorway: Doorway, app: str) -> None:
        """A person who pressed “Cancel” asks on the page, and the answer arrives before the connection is cut."""
        host = f"{doorway.host(app)}:{doorway.port}"
        with doorway.session(None, app=app) as session:
            session.request("GET", "/", headers={"Accept": "text/html"})
            asked = session.request("POST", CHOOSE_PATH, headers={"Host": host, "Origin": f"https://{host}"})
            assert asked.status == 204
            assert has_ended(session.socket)
        with pytest.raises(OSError):
            doorway.get(None, "/", app=app)
        assert doorway.get(None, "/", app=app, headers={"Accept": "text/html"}).status >= 400


def shown(doorway: Doorway, context: ssl.SSLContext) -> bytes:
    """The certificate that the portal shows."""
    host = f"portal.{DOMAIN}"
    with (
        socket.create_connection(("127.0.0.1", doorway.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
        assert der is not None
        return der


def test_its_certificate_comes_from_files_and_is_read_again(tmp_path: Path) -> None:
    """A renewed pair is shown within seconds, a live connection goes on; a bad pair is told and changes nothing."""
    ca = toy_ca(**around_now())
    files = tmp_path / "portal.pem", tmp_path / "portal.key"

    def renew() -> bytes:
        issued = ca.server(f"portal.{DOMAIN}", **around_now())
        for path, data in zip(files, (issued.pem, issued.key_pem), strict=True):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            fresh.replace(path)
        return x509.load_pem_x509_certificate(issued.pem).public_bytes(Encoding.DER)

    first = renew()
    settings = {"portal_certificate": files[0], "portal_key": files[1]}
    with open_doorway(settings=settings) as doorway:
        context = ssl.create_default_context(cadata=ca.pem.decode())
        assert shown(doorway, context) == first
        doorway.apply_document(document(doorway))
        alice = doorway.person("alice", "staff")
        with doorway.session(alice) as session:
            assert session.request("GET", "/").status == 200
            second = renew()
            assert eventually(lambda: shown(doorway, context) == second)
            assert session.request("GET", "/").status == 200
            files[0].write_text("garbage")
            assert eventually(
                lambda: any("portal's certificate" in one for one in doorway.gateway.trouble()), 20
            )
            assert shown(doorway, context) == second
            assert session.request("GET", "/").status == 200
