"""Doors that answer anonymous connections.

A chain that asks for a certificate and does not demand it: a peer with any certificate has no identity until the
authorizer says `judged=1`, and without an identity it reaches public paths and preflights only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from doorward.enforcement.envoy.names import FOREIGN_ORIGIN, IDENTITY_HEADERS, JUDGED, PUBLIC, ConnectionFact
from doorward.gateway.authorizer.anonymous import ANONYMOUS_FACTS
from tests.posture.witness import Witness
from tests.support.attacks import CHAINS, HOSTS, changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-opening")


OPENED = {"public": {"pay": ["/share/**"]}, "origins": {"pay": ["https://b.example"]}}
ROUTES = (*HOSTS, "app_pay", "routes")
FOREIGN = [("Origin", "https://evil.example")]
PEERS = [None, "stranger", "expired"]
SPOOFED = [
    ("Doorward-Principal", "person/alice"),
    ("Doorward-Certificate", "crt_alice"),
    ("Doorward-Assertion", "a.b.c"),
    ("Client-Cert", ":AAAA:"),
    ("X-Forwarded-Client-Cert", "By=x;Subject=alice"),
]


@pytest.fixture
def opened(kept: Kept) -> CompiledDoor:
    """Such a door; its authorizer judges every connection anonymous."""
    door = kept(name="opened", **OPENED)
    door.authorizer.facts = dict(ANONYMOUS_FACTS)
    return door


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
class TestNobody:
    """No certificate, a self-made authority that says alice, a date that is over."""

    def test_public_paths_and_nothing_else(
        self, opened: CompiledDoor, witness: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """The public path is answered without an identity; every other one is 403 and never arrives."""
        mark = len(witness.requests)
        assert opened.ask("/share/x", *SPOOFED, certificate=peer, h2=h2) == 200
        (seen,) = witness.since(mark)
        identity = {*IDENTITY_HEADERS, "x-forwarded-client-cert"}
        assert not [name for name, _ in seen.headers if name in identity or name.startswith("doorward")]
        for path in ("/accounts/7", "/", "/shared", "/share/../accounts/7", "/SHARE/x", "/_doorward"):
            assert opened.ask(path, certificate=peer, h2=h2) in {403, 404}
        assert len(witness.since(mark)) == 1

    def test_a_name_without_judged_gives_no_identity(
        self, opened: CompiledDoor, kept: Kept, witness: Witness, peer: str | None, *, h2: bool
    ) -> None:
        """Every fact of alice and `judged=0`: no header, no rule; without the route's removal, alice's headers."""
        facts = facts_of(TELLER, CLEARED, judged="0")
        opened.authorizer.facts = facts
        mark = len(witness.requests)
        assert opened.ask("/share/x", certificate=peer, h2=h2) == 200
        assert opened.ask("/accounts/7", certificate=peer, h2=h2) == 403
        (seen,) = witness.since(mark)
        assert not [name for name, _ in seen.headers if name in IDENTITY_HEADERS]
        told = kept(without(*ROUTES, PUBLIC, "request_headers_to_remove"), name="told", **OPENED)
        told.authorizer.facts = facts
        assert told.ask("/share/x", certificate=peer, h2=h2) == 200
        assert ("doorward-principal", "person/alice") in witness.requests[-1].headers


class TestJudgedAlone:
    """Only the authorizer's word opens a rule, and only in its one spelling."""

    @pytest.mark.parametrize("judged", ["", "0", "-", "true", "11", " 1"])
    def test_no_other_word_will_do(self, opened: CompiledDoor, judged: str) -> None:
        """The grants of a teller and another word than 1."""
        opened.authorizer.facts = facts_of(TELLER, CLEARED, judged=judged)
        assert opened.site.ask("GET", "/accounts/7", certificate=None).status == 403

    def test_judged_it_is_a_door_like_others(self, opened: CompiledDoor, witness: Witness) -> None:
        """Also at public paths the application is told who asks."""
        opened.authorizer.facts = facts_of(TELLER, CLEARED, judged=JUDGED)
        for path in ("/accounts/7", "/share/x"):
            assert opened.site.ask("GET", path).status == 200
            assert ("doorward-principal", "person/alice") in witness.requests[-1].headers
        assert opened.site.ask("GET", "/x").status == 403

    def test_with_the_public_slice_everywhere_it_would_be_open(self, kept: Kept) -> None:
        """Only the rules keep anonymous clients out of the rest: routes that lost them answer."""
        any_ = {
            "action": "ALLOW",
            "policies": {"x": {"permissions": [{"any": True}], "principals": [{"any": True}]}},
        }
        edit = changed(*ROUTES, "*", "typed_per_filter_config", "*", "rbac", "rules", to=lambda _old: any_)
        door = kept(edit, name="open", **OPENED)
        door.authorizer.facts = dict(ANONYMOUS_FACTS)
        assert door.site.ask("GET", "/accounts/7", certificate=None).status == 200

    def test_refused_or_unanswered_the_connection_ends(self, opened: CompiledDoor, kept: Kept) -> None:
        """A full share ends it with alert 49; without an authorizer nothing is answered, public paths neither."""
        opened.authorizer.facts = None
        with pytest.raises(ssl.SSLError, match="ACCESS_DENIED"):
            opened.site.ask("GET", "/share/x", certificate=None)
        away = kept(name="away", serve=False, **OPENED)
        with pytest.raises(OSError):
            away.site.ask("GET", "/share/x", certificate=None)

    def test_without_its_filter_the_authorizer_is_not_asked(self, kept: Kept) -> None:
        """Public paths would be open to all, without a quota of connections and without a record."""
        door = kept(without(*CHAINS, "filters", "doorward.authorizer"), name="unasked", **OPENED)
        assert door.site.ask("GET", "/share/x", certificate=None).status == 200


class TestOtherSites:
    """A browser sends the certificate for a request of any page (docs/design/0044)."""

    @pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
    def test_a_foreign_page_changes_nothing(
        self, door: CompiledDoor, kept: Kept, witness: Witness, *, h2: bool
    ) -> None:
        """POST with the person's certificate and another site's Origin; without the routes it arrives."""
        mark = len(witness.requests)
        assert door.ask("/transfers", *FOREIGN, method="POST", h2=h2) == 403
        assert door.ask("/transfers", *FOREIGN, *FOREIGN, method="POST", h2=h2) == 403
        assert witness.since(mark) == []
        own = [("Origin", f"https://pay.test:{door.site.port}")]
        assert door.ask("/transfers", *own, method="POST", h2=h2) == 200
        assert door.ask("/transfers", *own, *own, method="POST", h2=h2) == 403
        lax = kept(
            changed(*ROUTES, to=lambda old: [one for one in old if one.get("name") != FOREIGN_ORIGIN]),
            name="lax",
        )
        assert lax.ask("/transfers", *FOREIGN, method="POST", h2=h2) == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null"])
    def test_a_foreign_page_opens_no_web_socket(self, door: CompiledDoor, origin: str) -> None:
        """RFC 6455 section 10.2."""
        upgrade = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ]
        assert door.site.ask("GET", "/accounts/7", headers=[*upgrade, ("Origin", origin)]).status == 403

    @pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
    @pytest.mark.parametrize(
        ("origin", "status"), [("https://b.example", 204), ("https://evil.example", 403)]
    )
    def test_preflights_end_at_the_door(
        self, opened: CompiledDoor, witness: Witness, origin: str, status: int, *, h2: bool
    ) -> None:
        """Without a certificate, on any path; preflights of the listed site are answered, of others none."""
        headers = [("Origin", origin), ("Access-Control-Request-Method", "PUT")]
        mark = len(witness.requests)
        for path in ("/accounts/7", "/share/x"):
            assert opened.ask(path, *headers, certificate=None, method="OPTIONS", h2=h2) == status
        assert witness.since(mark) == []

    def test_a_preflight_is_answered_by_name(self, opened: CompiledDoor) -> None:
        """Fetch section 4.8: origin, credentials, method and headers as asked for; no content, no second header."""
        headers = [
            ("Origin", "https://b.example"),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "content-type, x-csrf"),
        ]
        answer = opened.site.ask("OPTIONS", "/accounts/7", headers=headers, certificate=None)
        assert answer.status == 204
        assert answer.body == ""
        assert "content-length" not in answer.headers
        assert answer.headers["access-control-allow-origin"] == "https://b.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["access-control-allow-methods"] == "PUT"
        assert answer.headers["access-control-allow-headers"] == "content-type, x-csrf"
        assert "Origin" in answer.headers["vary"]

    def test_only_a_listed_site_reads_answers(self, opened: CompiledDoor) -> None:
        """The header is there for the listed origin, with Vary for caches, and for no other."""
        opened.authorizer.facts = facts_of(TELLER, CLEARED)
        for origin, told in (("https://b.example", "https://b.example"), ("https://evil.example", None)):
            answer = opened.site.ask("GET", "/accounts/7", headers=[("Origin", origin)])
            assert answer.status == 200
            assert answer.headers.get("access-control-allow-origin") == told
            assert answer.headers["vary"] == "Origin"

    def test_the_log_names_the_reason(self, door: CompiledDoor) -> None:
        """The route's name tells why no rule was asked."""
        assert door.site.ask("POST", "/transfers", headers=FOREIGN).status == 403
        assert _eventually(lambda: FOREIGN_ORIGIN in [line.get("route") for line in door.site.log_lines()])


def _eventually(check: Callable[[], bool]) -> bool:
    from tests.support.doorway import eventually

    return eventually(check)


def test_every_fact_is_sent_for_an_anonymous_connection() -> None:
    """Section 10, row "missing metadata key": nothing that could become a dash."""
    assert set(ANONYMOUS_FACTS) == {fact.value for fact in ConnectionFact}


def test_a_refusal_says_whether_a_principal_is_known(opened: CompiledDoor) -> None:
    """Filter state is bytes to CEL: compared with a text, every client would read that a certificate is missing."""
    opened.authorizer.facts = facts_of()
    try:
        known = opened.site.ask("GET", "/nothing")
        opened.authorizer.facts = dict(ANONYMOUS_FACTS)
        unknown = opened.site.ask("GET", "/nothing", certificate=None)
    finally:
        opened.authorizer.facts = dict(ANONYMOUS_FACTS)
    assert (known.status, unknown.status) == (403, 403)
    assert "You are known here" in known.body
    assert "needs a certificate" in unknown.body
