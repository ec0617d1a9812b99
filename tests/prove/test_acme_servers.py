"""Real ACME servers certify the door: pebble (strict, with refused nonces) and Caddy, by http-01 and tls-alpn-01."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from doorward.stores.records import ChangeKind
from tests.support.acme_authorities import KID, SECRET, Server, caddy, pebble
from tests.support.doorway import DOMAIN, Doorway, eventually, open_doorway

WITHIN_SECONDS = 120.0
WEBSOCKET = (
    "GET /live HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def shown(door: Doorway) -> x509.Certificate | None:
    """Return the certificate at the door."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", door.port), 10) as raw,
            context.wrap_socket(raw, server_hostname=door.host("app")) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except OSError:
        return None


def problems(door: Doorway) -> list[str]:
    """Return what went wrong so far."""
    with door.services.work.read() as stores:
        return [one.problem for one in stores.acme.every_order()]


def is_from_elsewhere(door: Doorway, *others: x509.Certificate) -> bool:
    """Return whether the door shows a certificate that is not ours and none of these."""
    found = shown(door)
    return found is not None and DOMAIN not in found.issuer.rfc4514_string() and found not in others


def certify_and_renew(server: Server, challenge: str, **settings: object) -> None:
    """Get a certificate, hold a WebSocket, renew."""
    told = {
        "acme_directory": server.directory,
        "acme_ca_file": server.roots,
        "acme_challenge": challenge,
        "gateway_listen": "127.0.0.1:443",
        "acme_http_listen": "127.0.0.1:80",
        **settings,
    }
    with open_doorway(settings=told) as door:
        door.person("anna", "staff")
        door.apply()
        own = shown(door)
        assert own is not None
        with door.connect(door.identities["anna"]) as live:
            live.sendall(WEBSOCKET.format(door.host("app")).encode())
            assert b"101 Switching" in live.recv(4096)
            began = time.monotonic()
            door.apply(certificates="{from: acme}")
            assert eventually(lambda: is_from_elsewhere(door, own), WITHIN_SECONDS), problems(door)
            took = time.monotonic() - began
            first = shown(door)
            assert first is not None
            now = datetime.now(UTC)
            with door.services.work.change() as stores:
                for one in stores.acme.every_order():
                    assert stores.acme.replace_order(replace(one, renew_at=now - timedelta(seconds=1)))
                    stores.changes.note(ChangeKind.ORDER, one.order_id, now)
            assert eventually(lambda: is_from_elsewhere(door, own, first), WITHIN_SECONDS), problems(door)
            for _ in range(3):
                assert live.recv(4096)
        print(f"{challenge}: first certificate after {took:.1f} s, issuer {first.issuer.rfc4514_string()}")


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_pebble(challenge: str, tmp_path: Path, *, is_inside: bool) -> None:
    """The reference server in its strict mode."""
    if not is_inside:
        return
    with pebble(tmp_path) as server:
        certify_and_renew(server, challenge)


def test_pebble_with_an_external_account(tmp_path: Path, *, is_inside: bool) -> None:
    """RFC 8555 section 7.3.4."""
    if not is_inside:
        return
    key = tmp_path / "eab"
    key.write_text(f"{SECRET}\n")
    with pebble(tmp_path, binding=True) as server:
        certify_and_renew(server, "tls-alpn-01", acme_eab_kid=KID, acme_eab_key_file=key)


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_caddy(challenge: str, tmp_path: Path, *, is_inside: bool) -> None:
    """Another implementation, with certificates of an hour."""
    if not is_inside:
        return
    with caddy(tmp_path) as server:
        certify_and_renew(server, challenge)
