"""Public paths and listed sites on a whole door: anonymous clients reach what is open, and an edit closes it at once."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest

from doorward.audit.events import EventType
from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.runtime.evidence import Evidence
from doorward.verification.partner import RevocationMode
from tests.support.attacks import H2Client
from tests.support.certificates.issuing import around_now, certify
from tests.support.doorway import ACTOR, Doorway, Identity, Session, eventually, open_doorway
from tests.support.partner_door import Clinic

LISTED = "https://b.example"
OPENED = {"public": "['/share/**']", "cors": f"{{origins: ['{LISTED}']}}"}
PREFLIGHT = {"Origin": LISTED, "Access-Control-Request-Method": "PUT"}


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door for the file, with alice of the staff."""
    with open_doorway() as opened:
        opened.apply(**OPENED)
        opened.person("alice", "staff")
        yield opened


def self_made(door: Doorway) -> Identity:
    """A certificate of an authority that anybody can make, which says alice."""
    leaf = certify("alice", certify("Doorward Issuing", **around_now()), ca=False, **around_now())
    chain, key = leaf.write(door.folder, "self")
    return Identity(chain=chain, key=key)


def revoked(door: Doorway) -> Identity:
    """A certificate of alice's that was revoked."""
    identity = door.enrol("alice")
    door.settle(revoke(door.services, door.certificate_of("alice"), RevocationReason.KEY_COMPROMISE, ACTOR))
    return identity


PEERS: dict[str, Callable[[Doorway], Identity | None]] = {
    "no certificate": lambda _door: None,
    "a self-made one": self_made,
    "a revoked one": revoked,
}


@pytest.mark.parametrize("peer", PEERS)
def test_an_anonymous_client_reaches_public_paths_only(door: Doorway, peer: str) -> None:
    """Over one kept connection: the share without an identity, 403 elsewhere, and it stays anonymous."""
    with door.session(PEERS[peer](door)) as session:
        shared = session.request("GET", "/share/x", headers={"Doorward-Principal": "person/alice"})
        assert shared.status == 200
        assert not [one for one in shared.upstream_headers() if one.startswith(("doorward", "client-cert"))]
        closed = session.request("GET", "/x")
        assert closed.status == 403
        assert b"needs a certificate" in closed.body
        assert session.request("OPTIONS", "/x", headers=PREFLIGHT).status == 204
        assert session.request("OPTIONS", "/x", headers={**PREFLIGHT, "Origin": "null"}).status == 403
        assert session.request("POST", "/share/x", headers={"Origin": "https://evil.example"}).status == 403
        assert session.request("POST", "/share/x", headers={"Origin": LISTED}).status == 200


@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_it_is_the_same_over_http_2(door: Doorway, tls: ssl.TLSVersion) -> None:
    """Streams of one connection, in both versions of TLS."""
    context = door.context(None, tls=tls)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", door.port), 5) as plain,
        context.wrap_socket(plain, server_hostname=door.host("app")) as secure,
    ):
        client = H2Client(secure)
        shared = client.ask("/share/x", ("doorward-principal", "person/alice"), authority=door.host("app"))
        assert shared.status == 200
        assert b"doorward-principal" not in shared.body
        assert client.ask("/x", authority=door.host("app")).status == 403
        fields = [(name.lower(), value) for name, value in PREFLIGHT.items()]
        answer = client.ask("/x", *fields, method="OPTIONS", authority=door.host("app"))
        assert (answer.status, answer.body) == (204, b"")


def test_a_good_identity_reaches_the_application(door: Doorway) -> None:
    """A person with a good certificate is named at public paths too; their page of the listed site reads answers."""
    alice = door.identities["alice"] = door.enrol("alice")
    with door.session(alice) as session:
        for path in ("/share/x", "/x"):
            answer = session.request("PUT", path, headers={"Origin": LISTED})
            assert answer.status == 200
            assert answer.upstream_headers()["doorward-principal"] == "person/alice"
            assert answer.headers["access-control-allow-origin"] == LISTED


def test_anonymous_requests_and_their_origins_are_recorded(door: Doorway) -> None:
    """`connection:anonymous` with the reasons, and `foreign-origin` for the request that a page of another site made."""
    with door.session(door.enrol("alice")) as session:
        assert session.request("POST", "/x", headers={"Origin": "https://evil.example"}).status == 403
    assert door.get(None, "/share/x").status == 200

    def recorded() -> bool:
        events = list(Evidence(door.installation).events(0))
        kinds = {one["type"] for one in events}
        reasons = {one["data"].get("reason") for one in events}
        return EventType.CONNECTION_ANONYMOUS.value in kinds and "foreign-origin" in reasons

    assert eventually(recorded)


def test_an_edit_that_closes_a_path_ends_them(door: Doorway) -> None:
    """The anonymous live connection ends with the edit, a new one ends in the handshake, and alice stays."""
    alice = door.enrol("alice")
    anonymous = Session(door.connect(None), door.host("app"), door.port)
    assert anonymous.request("GET", "/share/x").status == 200
    door.apply()
    with pytest.raises((OSError, http.client.HTTPException)):
        anonymous.request("GET", "/share/x")
    anonymous.close()
    with pytest.raises((OSError, http.client.HTTPException)):
        door.get(None, "/share/x")
    assert door.get(alice, "/share/x").status == 200
    door.apply(**OPENED)
    assert json.loads(door.get(None, "/share/x").body)["path"] == "/share/x"


def test_a_partners_door_may_be_open_too(door: Doorway) -> None:
    """Bob of the clinic has a name; a self-made certificate has none; nor have our own people if only the clinic is trusted."""
    clinic = Clinic(door, "clinic-open", revocation=RevocationMode.OFF)
    door.apply(**OPENED, trust=f"[{clinic.name}]")
    own = door.enrol("alice")
    bob = clinic.identity("bob@clinic.example")
    answer = door.get(bob, "/share/x")
    assert answer.upstream_headers()["doorward-principal"].startswith("person/clinic-open/bob")
    for identity in (None, self_made(door), own):
        answer = door.get(identity, "/share/x")
        assert answer.status == 200
        assert "doorward-principal" not in answer.upstream_headers()
        assert door.get(identity, "/x").status == 403
    door.apply(**OPENED)
