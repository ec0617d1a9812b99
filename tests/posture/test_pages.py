"""An application that explains refusals by a page, on its own host.

The chain is unverified and the certificate is not demanded, so everything that Envoy could say of a peer is a claim. Each
row is tried: no certificate, a self-made authority that says alice, a date that is over. None reaches the application, whatever
it asks for, and the page's own surface hears no identity of theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from doorward.core.entities import Reason
from doorward.enforcement.envoy.names import (
    APPLICATION,
    CLAIMED_CERTIFICATE,
    IDENTITY_HEADERS,
    PAGE,
    REFUSAL,
    SOURCE,
    Refusal,
)
from doorward.enforcement.plan import SessionPlan
from doorward.enforcement.trust import DoorTrust
from doorward.gateway.authorizer.anonymous import anonymous_facts
from tests.posture.witness import SPOOFED, Witness, said_of, standing_witness
from tests.support.attacks import AUTHORIZER, TLS, changed, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-pages")


PEERS = [None, "stranger", "expired"]
ROUTES = ("routes", "app_pay", "virtual_hosts", "app_pay", "routes")
PATHS = ["/", "/accounts/7", "/transfers", "/x/1/y", "/_doorwards", "/share/../accounts/7"]


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, doors: CompiledDoors) -> dict[str, Any]:
    """The arguments of the plan: the application explains refusals, by a surface of our own."""
    plan = SessionPlan(
        issuer="https://corp.example/portal",
        jwks=(),
        portal_origin="https://portal.test",
        sessions_socket=str(tmp_path_factory.mktemp("s") / "sessions.sock"),
    )
    trust = DoorTrust(authorities=(doors.site.issuing.pem.decode(),))
    return {"sessions": plan, "explaining": {"pay"}, "partners": {"pay": trust}}


@pytest.fixture(scope="module")
def surface(options: dict[str, Any]) -> Iterator[Witness]:
    """The server that answers there."""
    with standing_witness(Path(options["sessions"].sessions_socket)) as one:
        yield one


@pytest.fixture
def paged(kept: Kept, surface: Witness, options: dict[str, Any]) -> CompiledDoor:
    """The door; its authorizer refuses, and says why."""
    assert surface.requests is not None
    door = kept(name="paged", **options)
    door.authorizer.facts = dict(anonymous_facts(Reason.CERTIFICATE_REVOKED))
    return door


def ask(door: CompiledDoor, peer: str | None, path: str = "/", *headers: tuple[str, str], **more: Any) -> int:
    """Send one request to the application's host; return its status."""
    return door.ask(path, *headers, certificate=peer, **more)


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
class TestRefused:
    """Every row of section 2.2: with any certificate a refused peer gets a page, and the application no request."""

    def test_it_gets_a_page_for_every_request(
        self, paged: CompiledDoor, surface: Witness, witness: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """The surface hears the application, the reason and the claim, each once; nothing that the client wrote."""
        mark, before = len(witness.requests), len(surface.requests)
        for path in PATHS:
            assert ask(paged, peer, path, *SPOOFED, h2=h2) == 200
        assert witness.since(mark) == []
        seen = surface.since(before)
        assert len(seen) == len(PATHS)
        for one in seen:
            assert said_of(one) <= {APPLICATION, REFUSAL, CLAIMED_CERTIFICATE, SOURCE}
            assert one.all_of(APPLICATION) == ["app_pay"]
            assert one.all_of(REFUSAL) == [Reason.CERTIFICATE_REVOKED.value]
            (claimed,) = one.all_of(CLAIMED_CERTIFICATE) or [""]
            assert unquote(claimed).startswith("-----BEGIN CERTIFICATE-----") is (peer is not None)

    def test_it_changes_nothing(
        self, paged: CompiledDoor, surface: Witness, witness: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """A request that cannot be read is refused by the door itself, before the application or the page's surface."""
        mark, before = len(witness.requests), len(surface.requests)
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            assert ask(paged, peer, "/transfers", *SPOOFED, method=method, h2=h2) == 403
        assert witness.since(mark) == surface.since(before) == []

    def test_facts_of_alice_without_the_word_judged_say_nothing(
        self, paged: CompiledDoor, surface: Witness, witness: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """Every grant and name of alice and `judged=0`: still the page."""
        mark = len(witness.requests)
        paged.authorizer.facts = facts_of(TELLER, CLEARED, judged="0")
        assert ask(paged, peer, "/accounts/7", h2=h2) == 200
        assert witness.since(mark) == []
        assert said_of(surface.requests[-1]) <= {APPLICATION, REFUSAL, CLAIMED_CERTIFICATE, SOURCE}

    def test_parts_of_pages_say_nothing_of_anybody(
        self, paged: CompiledDoor, surface: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """Style and script are for all clients, without any header of ours."""
        assert ask(paged, peer, "/_doorward/static/look.css", *SPOOFED, h2=h2) == 200
        assert surface.requests[-1].target == "/_doorward/static/look.css"
        assert said_of(surface.requests[-1]) == set()


class TestJudged:
    """A good certificate finds the application as ever."""

    def test_the_application_is_there(self, paged: CompiledDoor, surface: Witness, witness: Witness) -> None:
        """With its identity, its rules, and no page; also if nothing is granted."""
        before = len(surface.requests)
        paged.authorizer.facts = facts_of(TELLER, CLEARED)
        assert ask(paged, "p256", "/accounts/7") == 200
        assert ("doorward-principal", "person/alice") in witness.requests[-1].headers
        assert ask(paged, "p256", "/nothing") == 403
        assert surface.since(before) == []

    def test_grants_are_still_demanded(self, paged: CompiledDoor, witness: Witness) -> None:
        """Judged and without a grant: nothing passes."""
        mark = len(witness.requests)
        paged.authorizer.facts = facts_of()
        assert ask(paged, "p256", "/accounts/7") == 403
        assert witness.since(mark) == []

    def test_without_the_rules_a_refused_one_would_still_get_the_page(
        self, kept: Kept, witness: Witness, options: dict[str, Any]
    ) -> None:
        """The page's route takes every path of the unjudged before any rule; without it the rules refuse."""
        edit = changed(*ROUTES, to=lambda routes: [one for one in routes if one.get("name") != PAGE])
        door = kept(edit, name="pageless", **options)
        door.authorizer.facts = facts_of(TELLER, CLEARED, judged="0")
        mark = len(witness.requests)
        assert ask(door, "stranger", "/accounts/7") == 403
        assert witness.since(mark) == []

    def test_without_page_and_rules_a_stranger_reads_accounts(
        self, kept: Kept, witness: Witness, options: dict[str, Any]
    ) -> None:
        """The twin: what keeps strangers out are these two, and nothing in the handshake."""

        def opened(routes: list[dict[str, Any]]) -> list[dict[str, Any]]:
            kept_ones = [one for one in routes if one.get("name") != PAGE]
            slice_of = next(one for one in kept_ones if "direct_response" in one)["typed_per_filter_config"]
            return [{**one, "typed_per_filter_config": slice_of} for one in kept_ones]

        door = kept(changed(*ROUTES, to=opened), name="opened-pages", **options)
        door.authorizer.facts = facts_of(TELLER, CLEARED, judged="0")
        assert ask(door, "stranger", "/accounts/7") == 200
        assert witness.requests[-1].target == "/accounts/7"


@pytest.mark.parametrize("judged", ["", "-", "true", "11", "01", " 1"])
def test_another_word_than_the_two_leads_nowhere(
    paged: CompiledDoor, surface: Witness, witness: Witness, judged: str
) -> None:
    """Not to the application, and not to the page: the door answers by itself."""
    mark, before = len(witness.requests), len(surface.requests)
    paged.authorizer.facts = facts_of(TELLER, CLEARED, judged=judged)
    assert ask(paged, "p256", "/accounts/7") == Refusal.AUTHORIZER_AWAY.status
    assert witness.since(mark) == surface.since(before) == []


class TestAway:
    """Such a chain lets a connection through if the authorizer is away, and leads it nowhere."""

    def test_nothing_is_passed_on(
        self, kept: Kept, surface: Witness, witness: Witness, options: dict[str, Any]
    ) -> None:
        """Neither to the application nor to the page's surface, for any request."""
        mark, before = len(witness.requests), len(surface.requests)
        door = kept(name="away", serve=False, **options)
        for peer in (None, "p256", "stranger"):
            for path in ("/", "/accounts/7", "/_doorward/static/look.css", "/_doorward/callback"):
                assert ask(door, peer, path) == Refusal.AUTHORIZER_AWAY.status
        assert witness.since(mark) == surface.since(before) == []

    def test_without_the_refusal_the_rules_still_hold(
        self, kept: Kept, witness: Witness, options: dict[str, Any]
    ) -> None:
        """Two protections: a connection of which nothing is known holds no grant either."""
        edit = changed(
            *ROUTES,
            to=lambda routes: [one for one in routes if one.get("name") != Refusal.AUTHORIZER_AWAY.word],
        )
        door = kept(edit, name="away-bare", serve=False, **options)
        mark = len(witness.requests)
        assert ask(door, "p256", "/accounts/7") == 403
        assert witness.since(mark) == []

    def test_other_applications_stay_closed(self, kept: Kept, options: dict[str, Any]) -> None:
        """An application that refuses by an alert ends the connection."""
        door = kept(name="away", serve=False, **options)
        with pytest.raises(OSError):
            door.site.ask("GET", "/", host="other.test")

    def test_fail_open_is_of_page_chains_only(self, paged: CompiledDoor) -> None:
        """Of the compiled chains, one has it."""
        from tests.support.attacks import found

        allowing = found(list(paged.resources.listeners), "door", *AUTHORIZER[2:], "failure_mode_allow")
        assert sorted(allowing) == [False, True]


def test_without_the_option_the_handshake_refuses(kept: Kept, options: dict[str, Any]) -> None:
    """If the certificate were demanded, clients without one would get no page."""
    edit = changed(*TLS, "require_client_certificate", to=True)
    door = kept(edit, name="demanding", **options)
    door.authorizer.facts = dict(anonymous_facts(None))
    assert ask(door, None) == 0


def test_without_the_removal_the_page_would_hear_alice(
    kept: Kept, surface: Witness, options: dict[str, Any]
) -> None:
    """The page's route takes back what the table tells of an identity."""
    door = kept(without(*ROUTES, PAGE, "request_headers_to_remove"), name="told", **options)
    door.authorizer.facts = facts_of(TELLER, CLEARED, judged="0")
    assert ask(door, "stranger", "/") == 200
    assert surface.requests[-1].all_of("doorward-principal") == ["person/alice"]


class TestChoosing:
    """Another certificate is asked for by a page of the application's own."""

    def test_both_kinds_of_connections_may_ask(self, paged: CompiledDoor, surface: Witness) -> None:
        """A judged one with its identity, another with its claim."""
        port = paged.site.port
        own = ("Origin", f"https://pay.test:{port}")
        assert ask(paged, "stranger", "/_doorward/choose", own, method="POST") == 200
        assert said_of(surface.requests[-1]) == {APPLICATION, REFUSAL, CLAIMED_CERTIFICATE, SOURCE}
        paged.authorizer.facts = facts_of(TELLER, CLEARED)
        assert ask(paged, "p256", "/_doorward/choose", own, method="POST") == 200
        assert said_of(surface.requests[-1]) == {APPLICATION, SOURCE, *IDENTITY_HEADERS}

    def test_another_sites_page_may_not(self, paged: CompiledDoor, surface: Witness) -> None:
        """It could have people choose again and again."""
        before = len(surface.requests)
        foreign = ("Origin", "https://evil.example")
        assert ask(paged, "stranger", "/_doorward/choose", foreign, method="POST") == 403
        assert ask(paged, "stranger", "/_doorward/choose", foreign) == 404
        assert surface.since(before) == []
