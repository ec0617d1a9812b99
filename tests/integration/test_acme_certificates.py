"""Server certificates from an ACME authority: got through the door's own parts, switched without ending a connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from doorward.audit.events import EventType
from doorward.demo.ports import free_port
from doorward.stores.records import ChangeKind
from tests.support.acme_server import AcmeServer, Refusal, running_acme_server
from tests.support.certificates.issuing import toy_ca
from tests.support.doorway import DOMAIN, Doorway, eventually, open_doorway, render_document

WITHIN_SECONDS = 60.0
ACME = "{from: acme}"
WEBSOCKET = (
    "GET /live HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@dataclass
class Place:
    """A door, and the authority that certifies its hosts."""

    door: Doorway
    server: AcmeServer


@pytest.fixture(scope="module", params=["http-01", "tls-alpn-01"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A door that gets certificates from a strict ACME server, which asks it on another port or through the door."""
    port = free_port()
    with running_acme_server(tmp_path_factory.mktemp("acme"), http_port=port) as server:
        settings = {
            "acme_challenge": request.param,
            "acme_directory": server.directory,
            "acme_http_listen": f"127.0.0.1:{port}",
            "acme_ca_file": server.root_file,
        }
        with open_doorway(settings=settings) as door:
            server.tls_port = door.port
            door.person("anna", "staff")
            with door.root.open("ab") as roots:
                roots.write(server.root_file.read_bytes())
            yield Place(door, server)


def shown(door: Doorway, app: str = "app") -> x509.Certificate:
    """Return the certificate that the door shows for a host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", door.port), 10) as raw,
        context.wrap_socket(raw, server_hostname=door.host(app)) as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")


def shows(place: Place, number: int, app: str = "app") -> bool:
    """Return whether the door shows the certificate that the server issued last, and how many it issued."""
    if len(place.server.issued) != number:
        return False
    try:
        return shown(place.door, app) == place.server.issued[-1]
    except OSError:
        return False


def offers(door: Doorway, protocol: str) -> bool:
    """Return whether the door agrees to a protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", door.port), 10) as raw,
        context.wrap_socket(raw, server_hostname=door.host("app")) as secure,
    ):
        return secure.selected_alpn_protocol() == protocol
    return False


def renew_now(door: Doorway) -> None:
    """Make every certificate of the authority due, as its renewal information may."""
    now = datetime.now(UTC) - timedelta(seconds=1)
    with door.services.work.change() as stores:
        for one in stores.acme.every_order():
            if one.chain:
                assert stores.acme.replace_order(replace(one, renew_at=now))
                stores.changes.note(ChangeKind.ORDER, one.order_id, now)


def test_a_certificate_is_got_and_renewed_while_a_connection_lives(place: Place) -> None:
    """The door shows the authority's certificate; its renewal ends no WebSocket, and uses the same account."""
    door, server = place.door, place.server
    door.apply(certificates=ACME)
    assert eventually(lambda: shows(place, 1), WITHIN_SECONDS), server.requests
    with door.connect(door.identities["anna"]) as socket_:
        socket_.sendall(WEBSOCKET.format(door.host("app")).encode())
        assert b"101 Switching" in socket_.recv(4096)
        renew_now(door)
        assert eventually(lambda: shows(place, 2), WITHIN_SECONDS), "\n".join(server.requests)
        for _ in range(3):
            assert socket_.recv(4096)  # it still ticks
    assert len(server.accounts) == 1
    assert door.lets_in("anna")
    assert [one["data"]["gateway"] for one in door.events(EventType.SERVER_CERTIFICATE_OBTAINED)]


@pytest.mark.parametrize("place", ["tls-alpn-01"], indirect=True)
def test_the_first_certificate_of_a_host_and_both_renewals(place: Place) -> None:
    """A host without a door gets its first certificate too; afterwards nothing of a challenge is left at the door."""
    door, server = place.door, place.server
    door.apply(certificates=ACME)
    assert eventually(lambda: shows(place, max(1, len(server.issued))), WITHIN_SECONDS), server.requests
    before = len(server.issued)
    both = [door.app("app", certificates=ACME), door.app("new", certificates=ACME)]
    with door.connect(door.identities["anna"]) as socket_:
        socket_.sendall(WEBSOCKET.format(door.host("app")).encode())
        assert b"101 Switching" in socket_.recv(4096)
        door.apply_document(render_document(*both))
        assert eventually(lambda: shows(place, before + 1, "new"), WITHIN_SECONDS), server.requests
        renew_now(door)
        assert eventually(lambda: len(server.issued) == before + 3, WITHIN_SECONDS), server.requests
        for _ in range(3):
            assert socket_.recv(4096)
    assert door.lets_in("anna")
    assert door.lets_in("anna", app="new")
    assert eventually(lambda: not offers(door, "acme-tls/1"), WITHIN_SECONDS)


@pytest.mark.parametrize("place", ["tls-alpn-01"], indirect=True)
def test_files_of_an_application_are_read_again(place: Place) -> None:
    """An operator's pair is shown at the door, and its successor too, a moment after it was written."""
    door, folder = place.door, place.door.folder
    ca = toy_ca()
    for _ in range(2):
        issued = ca.server(door.host("app"))
        (folder / "app.key").write_bytes(issued.key_pem)
        (folder / "app.pem").write_bytes(issued.pem + ca.pem)
        (folder / "app.key").chmod(0o644)
        door.apply(certificates=f"{{from: files, certificate: {folder}/app.pem, key: {folder}/app.key}}")
        wanted = x509.load_pem_x509_certificate(issued.pem)
        assert eventually(lambda wanted=wanted: shown(door) == wanted, WITHIN_SECONDS)


@pytest.mark.parametrize("place", ["tls-alpn-01"], indirect=True)
def test_a_refusal_is_told_by_status(place: Place) -> None:
    """With the authority's words, the hosts and the next try."""
    door, server = place.door, place.server
    server.faults.refuse_orders = Refusal("caa", "the CAA record forbids it", 403)
    door.apply_document(render_document(door.app("late", certificates=ACME)))
    said: list[str] = []

    def look() -> bool:
        said[:] = [door.command("status").output]
        return "the CAA record forbids it" in said[0]

    assert eventually(look, WITHIN_SECONDS), said
    assert f"late.{DOMAIN}: no certificate yet" in said[0]
    assert "next try" in said[0]
