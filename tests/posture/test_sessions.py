"""DESIGN 2.5 and ENVOY.md 6.16, 10 and 11: a stolen session, a factor that is too old, and the way to the portal.

Tokens are signed by hand, with the keys that the door trusts and with others.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.envoy.names import BOUND_FILTER, SESSION_COOKIE, SESSION_FILTER
from doorward.policy.requirements import Requirement
from doorward.wire.jose import render_jwk
from tests.posture.witness import Witness
from tests.support.attacks import HOSTS, Edit, Grounds, H2Client, OpenDoor, changed, without
from tests.support.door_site import APPS, CLEARED, READ, TELLER, allow, id_of
from tests.support.envoy_process import facts_of
from tests.support.session_tokens import ASSERTION, EPOCH, PORTAL, Mint, cookie, fingerprint

pytestmark = pytest.mark.xdist_group("posture-sessions")

Kept = Callable[..., OpenDoor]

FRESH = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=5))
SEND = allow("fresh passkey", "tellers", "/vault/**", methods=("GET", "POST"), require=[FRESH])
LEVEL = allow("any factor", "tellers", "/desk/**", require=[Requirement(level=2)])
ALL = allow("all by passkey", "tellers", require=[FRESH])
RULES = {"pay": (*APPS["pay"], SEND, LEVEL), "other": (ALL,)}
ALLOWED = (id_of("pay", SEND), id_of("pay", LEVEL), id_of("pay", READ), id_of("other", ALL))
FACTS = facts_of(TELLER, CLEARED, *ALLOWED)
MINT = Mint()
PATH = "/vault/7"

COMPARED = (
    *HOSTS,
    "app_pay",
    "routes",
    "*",
    "typed_per_filter_config",
    BOUND_FILTER,
    "on_request_headers",
    0,
)
EXPRESSION = (*COMPARED, "format_string", "text_format_source", "inline_string")
MANAGER = ("listeners", "door", "filter_chains", "app_pay", "filters", "doorward.http", "typed_config")
REDIRECT = (*MANAGER, "local_reply_config", "mappers", 0)
PROVIDER = ("extensions", SESSION_FILTER, "typed_config", "providers", "app_pay")


def not_asking(part: str) -> Edit:
    """Take one comparison out of what makes a session the connection's."""

    def cut(text: str) -> str:
        binding, ask, rest = text.removeprefix("%CEL(").partition(" ? ")
        left = [one for one in binding.split(" && ") if part not in one]
        assert len(left) < len(binding.split(" && ")), text
        return f"%CEL({' && '.join(left)}{ask}{rest}"

    return changed(*EXPRESSION, to=cut)


NO_CERTIFICATE = not_asking("session-fp")
NO_EPOCH = not_asking("session-epoch")
LENIENT = changed(*PROVIDER, "clock_skew_seconds", to=0)
ANY_AUDIENCE = without(*PROVIDER, "audiences")


def trusting(*keys: ec.EllipticCurvePrivateKey) -> Edit:
    """Give the door other keys."""
    key_set = json.dumps({"keys": [render_jwk(one.public_key()) for one in keys]})
    return changed(*PROVIDER, "local_jwks", "inline_string", to=key_set)


def not_minding(part: str) -> Edit:
    """Take one condition out of the redirect's."""

    def cut(text: str) -> str:
        left = [one for one in text.split(" && ") if part not in one]
        assert len(left) < len(text.split(" && ")), text
        return " && ".join(left)

    return changed(*REDIRECT, "filter", "extension_filter", "typed_config", "expression", to=cut)


@pytest.fixture
def give(kept: Kept, grounds: Grounds) -> Kept:
    """Open a door of which some rules ask for a factor."""

    def with_sessions(*edits: Edit, name: str, **options: Any) -> OpenDoor:
        plan = MINT.plan(grounds.folder)
        door = kept(*edits, name=f"sessions {name}", **{"apps": RULES, "sessions": plan, **options})
        door.authorizer.answers, door.authorizer.facts = {}, FACTS
        return door

    return with_sessions


@pytest.fixture
def door(give: Kept) -> OpenDoor:
    """The door as compiled."""
    return give(name="as compiled")


def ask(
    door: OpenDoor, token: str, path: str = PATH, *, method: str = "GET", certificate: str = "p256"
) -> int:
    """Return the status of one request with a token."""
    return door.site.ask(method, path, headers=[cookie(token)], certificate=certificate).status


@pytest.fixture
def own(grounds: Grounds) -> str:
    """The certificate with which requests come."""
    return fingerprint(grounds.site.folder, "p256")


class TestBinding:
    """A cookie is worth nothing beside another certificate, in another application, or after its time."""

    def test_a_good_session_passes_and_is_told_to_the_application(
        self, door: OpenDoor, witness: Witness, own: str
    ) -> None:
        """200, with the session's assertion in place of the connection's; the cookie stays at the door."""
        assert ask(door, MINT.token(own, webauthn=10)) == 200
        seen = witness.requests[-1]
        assert seen.all_of("doorward-assertion") == [ASSERTION]
        assert seen.all_of("cookie") == []
        assert not [name for name, _ in seen.headers if name.startswith("doorward-session")]

    def test_without_a_session_the_connection_s_assertion_goes_on(
        self, door: OpenDoor, witness: Witness, own: str
    ) -> None:
        """Also on a route that asks for a factor elsewhere, and with another's session."""
        for headers in ([], [cookie(MINT.token("0" * 64, webauthn=10))]):
            assert door.site.ask("GET", "/accounts/7", headers=headers).status == 200
            assert witness.requests[-1].all_of("doorward-assertion") == ["aaa.bbb.ccc"]
        assert own != "0" * 64

    @pytest.mark.parametrize("thief", ["p384", "rsa2048", "0" * 64])
    def test_with_another_certificate_it_is_refused(
        self, door: OpenDoor, give: Kept, own: str, thief: str
    ) -> None:
        """Of the same person or of another: what counts is the certificate. Without the comparison it would pass."""
        folder = door.site.folder
        token = MINT.token(thief if len(thief) == 64 else fingerprint(folder, thief), webauthn=10)
        assert ask(door, token) == 401
        assert ask(give(NO_CERTIFICATE, name="any certificate"), token) == 200

    def test_without_a_certificate_it_is_refused(self, give: Kept, own: str) -> None:
        """At a door that answers anonymous connections, nobody is asked for a factor either."""
        door = give(name="opened", public={"pay": ["/share/**"]})
        door.authorizer.facts = {**dict.fromkeys(FACTS, ""), "judged": "0", "grants": ","}
        answer = door.site.ask("GET", PATH, headers=[cookie(MINT.token(own, webauthn=10))], certificate=None)
        assert answer.status == 403

    @pytest.mark.parametrize("epoch", ["0.1.0", "0.0.1", "1.0.0", ""])
    def test_after_a_sign_out_it_is_refused(self, door: OpenDoor, give: Kept, own: str, epoch: str) -> None:
        """A token of another epoch; without the comparison it would pass."""
        token = MINT.token(own, webauthn=10, claims={"epoch": epoch})
        assert ask(door, token) == 401
        assert ask(give(NO_EPOCH, name="any epoch"), token) == 200

    def test_after_its_end_it_is_refused(self, door: OpenDoor, give: Kept, own: str) -> None:
        """Five seconds are too late; with Envoy's default they would not be."""
        token = MINT.token(own, webauthn=10, lasts=-5)
        assert ask(door, token) == 401
        assert ask(give(LENIENT, name="lenient"), token) == 200

    def test_in_another_application_it_is_refused(self, door: OpenDoor, give: Kept, own: str) -> None:
        """The audience is one application; without it any application's session would do."""
        token = MINT.token(own, webauthn=10, claims={"aud": "app_other"})
        assert ask(door, token) == 401
        assert ask(give(ANY_AUDIENCE, name="any audience"), token) == 200

    def test_of_another_issuer_it_is_refused(self, door: OpenDoor, own: str) -> None:
        """The gateway's assertions have another issuer."""
        assert ask(door, MINT.token(own, webauthn=10, claims={"iss": "https://corp.example"})) == 401

    def test_of_another_key_it_is_refused(self, door: OpenDoor, give: Kept, own: str) -> None:
        """Signed by a stranger, or under a key's name by another; a door that trusts that key takes it."""
        strange = ec.generate_private_key(ec.SECP256R1())
        token = MINT.token(own, key=strange, webauthn=10)
        assert ask(door, token) == 401
        body, good = token.rpartition(".")[0], MINT.token(own, webauthn=10)
        assert ask(door, f"{good.rpartition('.')[0]}.{token.rpartition('.')[2]}") == 401
        assert ask(door, f"{body}.{good.rpartition('.')[2]}") == 401
        assert ask(give(trusting(strange), name="strange"), token) == 200

    def test_a_key_that_was_rotated_is_good_until_it_is_removed(self, give: Kept, own: str) -> None:
        """Two keys: both are good. The newer one alone: the older one's sessions are over."""
        newer = ec.generate_private_key(ec.SECP256R1())
        token = MINT.token(own, webauthn=10)
        assert ask(give(trusting(newer, MINT.keys[0]), name="both"), token) == 200
        assert ask(give(trusting(newer), name="newer"), token) == 401

    def test_claims_as_headers_are_nothing(self, door: OpenDoor, own: str, witness: Witness) -> None:
        """What the first filter says to the second is no client's to say, with a token or without."""
        now = int(time.time())
        claims = {"fp": own, "epoch": EPOCH, "assertion": "x", "webauthn": now, "any": now}
        said = [(f"Doorward-Session-{name}", str(value)) for name, value in claims.items()]
        for token in ((), (cookie(MINT.token("0" * 64, webauthn=10)),), (cookie(MINT.token(own, totp=10)),)):
            assert door.site.ask("GET", PATH, headers=[*said, *token]).status == 401
        assert door.site.ask("GET", "/accounts/7", headers=said).status == 200
        assert not [name for name, _ in witness.requests[-1].headers if name.startswith("doorward-session")]

    def test_two_protections_keep_claims_from_clients(self, give: Kept, grounds: Grounds, own: str) -> None:
        """Without the early removal the first filter still drops what it is to say; without both, a claim is believed."""
        removal = (*MANAGER, "early_header_mutation_extensions", 0, "typed_config", "mutations", 0)
        regex = (*removal, "remove_on_match", "key_matcher", "safe_regex", "regex")
        late = changed(*regex, to=lambda text: text.replace(r"doorward\-|", ""))
        claims = {"fp": own, "epoch": EPOCH, "assertion": "x", "webauthn": int(time.time())}
        said = [(f"Doorward-Session-{name}", str(value)) for name, value in claims.items()]
        assert give(late, name="claims").site.ask("GET", PATH, headers=said).status == 401
        keyless = {"sessions": MINT.plan(grounds.folder, jwks=())}
        assert give(name="keyless", **keyless).site.ask("GET", PATH, headers=said).status == 401
        assert give(late, name="neither", **keyless).site.ask("GET", PATH, headers=said).status == 200

    def test_unsigned_and_malformed_tokens_are_refused(self, door: OpenDoor, own: str) -> None:
        """No signature, `alg: none`, no token at all: nobody has a session, and nothing breaks."""
        head, claims, _ = MINT.token(own, webauthn=10).split(".")
        none = "eyJhbGciOiJub25lIn0"
        for token in (f"{head}.{claims}.", f"{none}.{claims}.", "a.b.c", "", "x"):
            assert ask(door, token) == 401
        assert door.site.ask("GET", PATH).status == 401
        assert ask(door, MINT.token(own, claims={"factors": {}, "assertion": ""})) == 401


class TestFreshness:
    """The factor that a rule names, not longer ago than it says."""

    @pytest.mark.parametrize(
        ("path", "ages", "status"),
        [
            (PATH, {"webauthn": 290}, 200),
            (PATH, {"webauthn": 310}, 401),
            (PATH, {"password": 10, "totp": 10}, 401),
            (PATH, {"webauthn": 310, "password": 10}, 401),
            ("/desk/1", {"password": 3000}, 200),
            ("/desk/1", {"webauthn": 3000}, 200),
            ("/desk/1", {}, 401),
            ("/accounts/7", {}, 200),
        ],
    )
    def test_what_was_shown_is_held_against_the_rule(
        self, door: OpenDoor, own: str, path: str, ages: dict[str, int], status: int
    ) -> None:
        """A passkey of the last five minutes, any factor, nothing."""
        assert ask(door, MINT.token(own, **ages), path) == status

    def test_a_door_without_keys_has_no_sessions(self, give: Kept, grounds: Grounds, own: str) -> None:
        """No key, or none that is one: nobody has a session, and rules that ask for none go on."""
        for name, jwks in {"none": (), "bad": ('{"kty":"EC"}', "x")}.items():
            keyless = give(name=f"keys: {name}", sessions=MINT.plan(grounds.folder, jwks=jwks))
            assert ask(keyless, MINT.token(own, webauthn=10)) == 401
            assert ask(keyless, MINT.token(own, webauthn=10), "/accounts/7") == 200

    def test_a_door_that_knows_nothing_of_sessions_keeps_such_rules_closed(
        self, give: Kept, own: str
    ) -> None:
        """No portal, no redirect: a plain refusal."""
        closed = give(name="no sessions", sessions=None)
        assert ask(closed, MINT.token(own, webauthn=10)) == 403


TARGETS = (
    b"/a?x=1&y=2",
    b"//evil.example/x",
    b"///evil.example",
    b"/\\evil.example",
    b"/\\/evil.example",
    b"/a/../b",
    b"/../evil.example",
    b"/.//evil.example",
    b"/a?//evil.example",
    b"/@evil.example",
    b"/:pw@evil.example/?next=https://evil.example",
    b"/a#b",
    b"/a b",
    b"/a\tb",
    b"/a\x00b",
    b"/a\x01b",
    b"/a\r\nX: y",
    b"/a%0d%0aX:%20y",
    b"/a%2f%2fevil.example",
    b"/%2f%2fevil.example",
    b"/a?x=%0d%0aX:%20y",
    b'/a?"><script>',
    b"/a?\xc3\xa9",
    b"*",
    b"",
    b"a",
    b"https://evil.example/x",
    b"https://other.test/x",
    b"/a?" + b"x" * 20_000,
)
"""Targets that must not become another place (ENVOY.md section 11)."""


class TestStepUp:
    """Only navigations that a factor would help are sent to the portal; nothing in an address changes where."""

    NAVIGATION = (("Sec-Fetch-Dest", "document"),)

    def redirect(self, door: OpenDoor, path: str, *more: tuple[str, str], method: str = "GET") -> Any:
        """Return the answer to a request without a session."""
        return door.site.ask(method, path, headers=[*self.NAVIGATION, *more])

    @pytest.mark.parametrize(
        "path",
        [
            PATH,
            f"{PATH}?a=1&b=2",
            f"{PATH}?next=https://evil.example/",
            f"{PATH}?next=//evil.example&code=x%0d%0aset-cookie:a=b",
            "/vault/@evil.example/",
            "/vault/https://evil.example/x?https://evil.example",
            "/vault/%0d%0ax",
        ],
    )
    def test_the_whole_path_comes_behind_a_constant(self, door: OpenDoor, path: str) -> None:
        """302 to the portal; what follows the first question mark is the path as Envoy forwards it, and no more."""
        answer = self.redirect(door, path)
        if answer.status == 400:
            assert "%0d" in path.partition("?")[0]
            return
        assert answer.status == 302
        place, _, back = answer.headers["location"].partition("?")
        head, request = place.rsplit("/", 1)
        assert head == f"{PORTAL}/step-up/app_pay/pay.test"
        assert back.startswith("/vault/")
        assert back.partition("?")[2] == path.partition("?")[2]
        begin = answer.headers["set-cookie"]
        assert begin == (
            f"__Host-doorward-begin={request}; Secure; HttpOnly; SameSite=Lax; Path=/; Max-Age=300"
        )
        assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("h2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
    def test_no_target_leads_elsewhere(self, door: OpenDoor, *, h2: bool) -> None:
        """Of a rule for every path: each target comes behind the constant as a path of its own, or is refused."""
        for target in TARGETS:
            status, location = self.sent(door, target, h2=h2)
            assert status in {302, 400, 404, 421, 426, 0}, target
            if status != 302:
                continue
            place, mark, back = location.partition("?")
            assert place.rpartition("/")[0] == f"{PORTAL}/step-up/app_other/other.test", target
            assert mark
            assert re.fullmatch(r"/(?![/\\])[!-~\x80-\xff]*", back), target

    @staticmethod
    def sent(door: OpenDoor, target: bytes, *, h2: bool) -> tuple[int, str]:
        """Send a target as it is; status 0 if the connection or the stream ended."""
        with door.connect("other.test", h2=h2) as connection:
            if h2:
                answer = H2Client(connection).ask(
                    target.decode("latin-1"), ("sec-fetch-dest", "document"), authority="other.test"
                )
                return answer.status, answer.headers.get("location", "")
            head = b"GET %s HTTP/1.1\r\nHost: other.test\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n\r\n"
            connection.sendall(head % target)
            connection.settimeout(10)
            text = b""
            with suppress(OSError):
                while b"\r\n\r\n" not in text and (data := connection.recv(65536)):
                    text += data
        lines = text.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        return int(lines[0].split(" ")[1]) if text else 0, fields.get("location", "")

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [("Sec-Fetch-Dest", "empty")],
            [("Sec-Fetch-Dest", "iframe")],
            [("Sec-Fetch-Dest", "document"), ("Sec-Fetch-Dest", "document")],
            [("Sec-Fetch-Dest", "document, document")],
        ],
    )
    def test_whatever_is_no_navigation_is_told(self, door: OpenDoor, headers: list[tuple[str, str]]) -> None:
        """401 with the challenge: a fetch, a frame, a program, a doubled field."""
        answer = door.site.ask("GET", PATH, headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            'Bearer error="insufficient_user_authentication",'
            ' acr_values="urn:doorward:level:3", max_age="300"'
        )
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == 401
        assert "set-cookie" not in answer.headers

    def test_a_form_is_not_sent_on(self, door: OpenDoor, give: Kept) -> None:
        """POST is told and not redirected: its body would be lost. Without the condition it would be."""
        bare = give(not_minding("request.method == 'GET'"), name="any method")
        for one, status in ((door, 401), (bare, 302)):
            origin = ("Origin", f"https://pay.test:{one.site.port}")
            assert self.redirect(one, PATH, origin, method="POST").status == status

    def test_without_the_condition_fetches_would_be_sent_on(self, give: Kept) -> None:
        """A page's own request would end at another site."""
        bare = give(not_minding("request.headers['sec-fetch-dest'] == 'document'"), name="any destination")
        assert bare.site.ask("GET", PATH, headers=[("Sec-Fetch-Dest", "empty")]).status == 302

    def test_without_the_shadow_rules_word_everybody_would_be_sent_on(self, give: Kept) -> None:
        """Also those whom no factor helps."""
        bare = give(not_minding("shadow_engine_result"), name="no shadow")
        assert self.redirect(bare, "/nothing").status == 302

    def test_who_may_not_with_any_factor_is_refused_plainly(self, door: OpenDoor) -> None:
        """No rule, another method, a denial: 403, and nobody is sent to show a factor for nothing."""
        for path, method in (("/nothing", "GET"), (PATH, "DELETE"), ("/desk/TRACE", "TRACE")):
            assert self.redirect(door, path, method=method).status in {403, 405}
        door.authorizer.facts = facts_of(CLEARED)
        assert self.redirect(door, PATH).status == 403
        door.authorizer.facts = {**FACTS, "grants": FACTS["grants"].replace(f",{CLEARED},", ",")}
        assert self.redirect(door, "/desk/1").status == 302  # that denial is about other paths
        assert self.redirect(door, "/accounts/secret/1").status == 403

    def test_a_weaker_rule_is_named_by_its_own_challenge(self, door: OpenDoor) -> None:
        """Level 2, and no age, where any factor will do."""
        challenge = door.site.ask("GET", "/desk/1").headers["www-authenticate"]
        assert challenge == (
            'Bearer error="insufficient_user_authentication", acr_values="urn:doorward:level:2"'
        )

    @pytest.mark.parametrize(
        "authority", ["pay.test@evil.example", "evil.example", "pay.test/x", "pay.test:8443#x"]
    )
    def test_the_authority_is_the_application_s_own(self, door: OpenDoor, authority: str) -> None:
        """A Host that is not exactly the application's never gets as far as a redirect."""
        answer = door.site.ask("GET", PATH, headers=self.NAVIGATION, host=authority, sni="pay.test")
        assert answer.status in {400, 421}
        assert "location" not in answer.headers


class TestCookies:
    """Our cookies end at the door, and two of one name are refused."""

    TOKEN = f"{SESSION_COOKIE}=a.b.c"
    BEGIN = "__Host-doorward-begin=1-2"

    @pytest.mark.parametrize(
        ("sent", "left"),
        [
            ([TOKEN], []),
            ([f"{TOKEN}; a=1"], ["a=1"]),
            ([f"a=1; {TOKEN}"], ["a=1"]),
            ([f"a=1; {TOKEN}; b=2"], ["a=1; b=2"]),
            ([f"a=1;{TOKEN};b=2"], ["a=1; b=2"]),
            ([f"{BEGIN}; {TOKEN}"], []),
            ([f"{TOKEN}; {BEGIN}; a=1"], ["a=1"]),
            ([f"{TOKEN}; a=1; {BEGIN}"], ["a=1"]),
            ([f"z=0; {BEGIN}; a=1; {TOKEN}; b=2"], ["z=0; a=1; b=2"]),
            ([f"a=1; {TOKEN}; "], ["a=1"]),
            ([f"{TOKEN};b=2"], ["b=2"]),
            ([f"{TOKEN};"], []),
            ([f"a=1; b={TOKEN}; c=3"], [f"a=1; b={TOKEN}; c=3"]),
            ([f"a=1; x{TOKEN}; {BEGIN}; c=3"], [f"a=1; x{TOKEN}; c=3"]),
            ([f"x{TOKEN}; b=c d"], [f"x{TOKEN}; b=c d"]),
            ([f"a=1; {TOKEN}; {BEGIN}"], ["a=1"]),
            (["a=1; b=2"], ["a=1; b=2"]),
            (["a=1", "b=2"], ["a=1", "b=2"]),
            ([f"{SESSION_COOKIE}=; a=1"], ["a=1"]),
        ],
    )
    @pytest.mark.parametrize("path", ["/accounts/7", "/share/x"])
    def test_they_reach_no_application(
        self, give: Kept, witness: Witness, sent: Sequence[str], left: Sequence[str], path: str
    ) -> None:
        """First, last, alone, in lines of their own; on judged paths and on public ones."""
        opened = give(name="opened", public={"pay": ["/share/**"]})
        opened.authorizer.facts = FACTS
        assert opened.site.ask("GET", path, headers=[("Cookie", one) for one in sent]).status == 200
        assert witness.requests[-1].all_of("cookie") == list(left)

    def test_without_the_filter_they_would(self, give: Kept, witness: Witness) -> None:
        """`jwt_authn` leaves them where they are."""
        bare = give(without(*MANAGER, "http_filters", "doorward.cookie-field"), name="cookies")
        assert bare.site.ask("GET", "/accounts/7", headers=[("Cookie", self.TOKEN)]).status == 200
        assert witness.requests[-1].all_of("cookie") == [self.TOKEN]

    @pytest.mark.parametrize(
        "sent",
        [
            [f"{TOKEN}; {TOKEN}"],
            [f"{TOKEN}; a=1; {SESSION_COOKIE}=x"],
            [TOKEN, TOKEN],
            ["a=1", TOKEN],
            [TOKEN, "a=1"],
            [f"{BEGIN}; {BEGIN}"],
            [BEGIN, f"a=1; {BEGIN}"],
            [f"{TOKEN}; {BEGIN}; __Host-doorward-x=1"],
        ],
    )
    def test_two_of_a_name_are_refused(self, door: OpenDoor, witness: Witness, sent: Sequence[str]) -> None:
        """400, and nothing arrives."""
        mark = len(witness.requests)
        assert door.site.ask("GET", "/accounts/7", headers=[("Cookie", one) for one in sent]).status == 400
        assert not witness.since(mark)

    def test_crumbs_are_joined_before(self, door: OpenDoor, witness: Witness) -> None:
        """HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3)."""
        crumbs = [("cookie", one) for one in ("a=1", self.TOKEN, "b=2")]
        with door.connect(h2=True) as connection:
            client = H2Client(connection)
            assert client.ask("/accounts/7", *crumbs).status == 200
            assert witness.requests[-1].all_of("cookie") == ["a=1; b=2"]
            assert client.ask("/accounts/7", *crumbs, ("cookie", self.TOKEN)).status == 400

    def test_lines_are_held_against_the_expression_together(self, give: Kept) -> None:
        """With Envoy's default each line would be looked at alone."""
        bare = give(
            without(
                "base",
                "layered_runtime",
                "layers",
                0,
                "static_layer",
                "envoy.reloadable_features.match_headers_individually",
            ),
            name="lines alone",
        )
        sent = [("Cookie", self.TOKEN), ("Cookie", self.TOKEN)]
        assert bare.site.ask("GET", "/accounts/7", headers=sent).status == 200


class TestOwnSurface:
    """The callback and the sign-out are the door's own; nothing else is under that prefix."""

    def test_other_paths_are_not_there(self, door: OpenDoor, witness: Witness) -> None:
        """404, and nothing arrives at the application."""
        mark = len(witness.requests)
        for method, path in (
            ("GET", "/_doorward"),
            ("GET", "/_doorward/"),
            ("GET", "/_doorward/callback/x"),
            ("GET", "/_doorward/callbackx"),
            ("GET", "/_doorward/sign-out"),
            ("POST", "/_doorward/callback"),
            ("GET", "/_doorward/x/../callback/."),
        ):
            assert door.site.ask(method, path).status == 404, path
        assert not witness.since(mark)
