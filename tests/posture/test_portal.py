"""The portal's door, which asks for a certificate and does not need one.

What Envoy knows of a peer is what the peer claims there. So each claim is tried (no certificate, a self-made authority
that says alice, a date that is over), and a request says who comes only if the authorizer said `judged=1`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from doorward.core.entities import Reason
from doorward.enforcement.envoy.names import (
    CLAIMED_CERTIFICATE,
    FOREIGN_ORIGIN,
    IDENTITY_HEADERS,
    JUDGED,
    REFUSAL,
    SOURCE,
    Refusal,
)
from doorward.gateway.authorizer.anonymous import anonymous_facts
from tests.posture.witness import SPOOFED, Witness, said_of, standing_witness
from tests.support.attacks import AUTHORIZER, TLS, changed
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-portal")


HOST = "portal.test"
PEERS = [None, "stranger", "expired"]
ROUTES = ("routes", "app_portal", "virtual_hosts", "app_portal", "routes")


@pytest.fixture(scope="module")
def portal_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The socket of the portal."""
    return tmp_path_factory.mktemp("o") / "portal.sock"


@pytest.fixture(scope="module")
def surface(portal_socket: Path) -> Iterator[Witness]:
    """The server that answers there."""
    with standing_witness(portal_socket) as one:
        yield one


@pytest.fixture
def portal(kept: Kept, surface: Witness, portal_socket: Path) -> CompiledDoor:
    """The door; its authorizer judges every connection anonymous."""
    assert surface.requests is not None
    door = kept(name="portal", portal=portal_socket)
    door.authorizer.facts = dict(anonymous_facts(Reason.CERTIFICATE_MISSING))
    return door


def ask(door: CompiledDoor, peer: str | None, *headers: tuple[str, str], path: str = "/", **more: Any) -> int:
    """Send one request to the portal; return its status."""
    return door.ask(path, *headers, host=HOST, certificate=peer, **more)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
class TestUnjudged:
    """Any certificate of a peer gives no identity until the authorizer says so."""

    def test_it_is_answered_and_has_no_name(
        self, portal: CompiledDoor, surface: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """The handshake ends well, no identity header arrives, and what the client wrote under our names is gone."""
        assert ask(portal, peer, *SPOOFED, h2=h2) == 200
        seen = surface.requests[-1]
        assert said_of(seen) <= {REFUSAL, CLAIMED_CERTIFICATE, SOURCE}
        assert seen.all_of(REFUSAL) == [Reason.CERTIFICATE_MISSING.value]
        (claimed,) = seen.all_of(CLAIMED_CERTIFICATE) or [""]
        assert unquote(claimed).startswith("-----BEGIN CERTIFICATE-----") is (peer is not None)

    def test_facts_of_alice_without_the_word_judged_say_nothing(
        self, portal: CompiledDoor, surface: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """Every fact of alice and `judged=0`: still anonymous."""
        portal.authorizer.facts = facts_of(judged="0")
        assert ask(portal, peer, h2=h2) == 200
        assert said_of(surface.requests[-1]) <= {REFUSAL, CLAIMED_CERTIFICATE, SOURCE}


def test_a_judged_connection_says_who_comes(portal: CompiledDoor, surface: Witness) -> None:
    """All identity headers from the facts, nothing of what the client wrote, and no claim."""
    portal.authorizer.facts = facts_of()
    assert ask(portal, "p256", *SPOOFED) == 200
    seen = surface.requests[-1]
    assert said_of(seen) == {*IDENTITY_HEADERS, SOURCE}
    assert seen.all_of(SOURCE) == ["127.0.0.1"]
    assert seen.all_of("doorward-principal") == ["person/alice"]
    assert seen.all_of("doorward-assertion") == ["aaa.bbb.ccc"]


@pytest.mark.parametrize("judged", ["", "-", "true", "11", " 1", "10"])
def test_another_word_than_the_two_leads_nowhere(portal: CompiledDoor, surface: Witness, judged: str) -> None:
    """Neither judged nor unjudged is what an authorizer that is away leaves: a fixed refusal."""
    mark = len(surface.requests)
    portal.authorizer.facts = facts_of(judged=judged)
    assert ask(portal, "p256") == Refusal.AUTHORIZER_AWAY.status
    assert surface.since(mark) == []


def test_without_the_routes_word_a_stranger_would_be_alice(
    kept: Kept, surface: Witness, portal_socket: Path
) -> None:
    """The first forwarding route without its matcher: a connection that was not judged has alice's headers."""
    forwarding = changed(
        *ROUTES,
        to=lambda routes: [
            {**one, "match": {"prefix": "/"}}
            if {"key": "doorward.judged", "string_match": {"exact": JUDGED}}
            in one["match"].get("filter_state", [])
            else one
            for one in routes
        ],
    )
    door = kept(forwarding, name="unmatched", portal=portal_socket)
    door.authorizer.facts = facts_of(judged="0")
    assert ask(door, "stranger") == 200
    assert surface.requests[-1].all_of("doorward-principal") == ["person/alice"]


def test_without_an_authorizer_nothing_reaches_the_portal(
    kept: Kept, surface: Witness, portal_socket: Path
) -> None:
    """The door stays open and answers 503 by itself; closed, it would end connections without a word."""
    mark = len(surface.requests)
    away = kept(name="away", portal=portal_socket, serve=False)
    for peer in (None, "p256", "stranger"):
        assert ask(away, peer) == Refusal.AUTHORIZER_AWAY.status
    assert surface.since(mark) == []
    closed = kept(
        changed(*AUTHORIZER, "failure_mode_allow", to=False), name="closed", portal=portal_socket, serve=False
    )
    assert ask(closed, "p256") == 0


class TestOtherSites:
    """A browser sends the certificate for a request of any page."""

    @pytest.mark.parametrize(
        "headers",
        [
            [("Origin", "https://pay.test")],
            [("Origin", "https://evil.example")],
            [("Origin", "null")],
            [("Sec-Fetch-Site", "cross-site")],
            [("Sec-Fetch-Site", "same-site")],
        ],
        ids=str,
    )
    def test_an_unsafe_request_of_another_site_is_refused(
        self, portal: CompiledDoor, surface: Witness, headers: list[tuple[str, str]]
    ) -> None:
        """Also of an application of ours; without the routes it arrives."""
        mark = len(surface.requests)
        portal.authorizer.facts = facts_of()
        assert ask(portal, "p256", *headers, method="POST", body=b"x") == 403
        assert surface.since(mark) == []

    def test_without_the_routes_of_other_sites_it_arrives(
        self, kept: Kept, surface: Witness, portal_socket: Path
    ) -> None:
        """The twin."""
        edit = changed(
            *ROUTES, to=lambda routes: [one for one in routes if one.get("name") != FOREIGN_ORIGIN]
        )
        door = kept(edit, name="sites", portal=portal_socket)
        door.authorizer.facts = facts_of()
        assert ask(door, "p256", ("Origin", "https://evil.example"), method="POST", body=b"x") == 200
        frame = [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "iframe"),
        ]
        assert ask(door, "p256", *frame) == 200
        assert len(surface.requests) >= 2

    def test_its_own_pages_may_send(self, portal: CompiledDoor) -> None:
        """By origin, and as a page with the policy no-referrer sends."""
        portal.authorizer.facts = facts_of()
        own = ("Origin", "https://portal.test")
        bare = [("Origin", "null"), ("Sec-Fetch-Site", "same-origin")]
        assert ask(portal, "p256", own, method="POST", body=b"x") == 200
        assert ask(portal, "p256", *bare, method="POST", body=b"x") == 200

    @pytest.mark.parametrize("dest", ["iframe", "embed", "object", "image", "script", "empty"])
    def test_nothing_is_loaded_into_another_sites_page(self, portal: CompiledDoor, dest: str) -> None:
        """Frames are navigations too, but not of a whole window."""
        portal.authorizer.facts = facts_of()
        mode = "navigate" if dest in {"iframe", "embed", "object"} else "no-cors"
        headers = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", mode), ("Sec-Fetch-Dest", dest)]
        assert ask(portal, "p256", *headers) == 403

    def test_a_person_who_follows_a_link_arrives(self, portal: CompiledDoor) -> None:
        """As from the door of an application that asks for a factor."""
        portal.authorizer.facts = facts_of()
        link = [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
            ("Sec-Fetch-Dest", "document"),
        ]
        assert ask(portal, "p256", *link) == 200


class TestLimits:
    """A stranger may ask; not much, and not for ever."""

    def test_a_large_body_is_refused(self, portal: CompiledDoor, surface: Witness) -> None:
        """64 KiB and one byte never arrive."""
        own = ("Origin", "https://portal.test")
        mark = len(surface.requests)
        assert ask(portal, None, own, method="POST", body=b"x" * 65_537) == 413
        assert surface.since(mark) == []
        assert ask(portal, None, own, method="POST", body=b"x" * 65_536) == 200

    def test_an_upgrade_is_none(self, portal: CompiledDoor, surface: Witness) -> None:
        """No WebSocket reaches the portal."""
        mark = len(surface.requests)
        headers = [("Connection", "upgrade"), ("Upgrade", "websocket"), ("Origin", "https://portal.test")]
        assert ask(portal, "p256", *headers) in {400, 403}
        assert surface.since(mark) == []

    def test_another_host_is_misdirected(self, portal: CompiledDoor) -> None:
        """No application is reached by the portal's connection."""
        with portal.connect(HOST, None) as connection:
            assert portal.site.ask("GET", "/", host="pay.test", over=connection).status == 421

    def test_two_meanings_of_a_path_are_refused(self, portal: CompiledDoor, surface: Witness) -> None:
        """As at every door."""
        mark = len(surface.requests)
        for path in ("/a%2f..%2fb", "/a%5cb", "/%00"):
            assert ask(portal, None, path=path) == 400
        assert surface.since(mark) == []


def test_it_asks_for_a_certificate_and_goes_on_without(
    kept: Kept, surface: Witness, portal_socket: Path
) -> None:
    """If the certificate were demanded, clients without one would end in the handshake."""
    edit = changed(*TLS, "require_client_certificate", to=True)
    demanding = kept(edit, name="demanding", portal=portal_socket)
    demanding.authorizer.facts = dict(anonymous_facts(None))
    assert ask(demanding, None) == 0
    assert surface.requests is not None


def test_the_log_says_who_came_and_no_query(portal: CompiledDoor) -> None:
    """A line of the portal has its path, the holder of a judged certificate, and no query."""
    portal.authorizer.facts = facts_of()
    assert ask(portal, "p256", path="/step-up/app_pay?secret=1") == 200

    def lines() -> list[dict[str, object]]:
        return [one for one in portal.site.log_lines() if one.get("path") == "/step-up/app_pay"]

    from tests.support.doorway import eventually

    assert eventually(lambda: bool(lines()))
    (line,) = lines()
    assert (line["application"], line["certificate"]) == ("app_portal", "crt_alice")
    assert "secret" not in str(line)
