"""A stolen session, and a factor that is too old.

Tokens are signed by hand, with the keys that the door trusts and with others.
"""

from __future__ import annotations

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from doorward.enforcement.envoy.names import BOUND_FILTER
from doorward.wire.jose import render_jwk
from tests.posture.witness import Witness
from tests.support.attacks import HOSTS, Edit, changed, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors
from tests.support.session_doors import FACTS, MANAGER, MINT, PATH, PROVIDER, Give, ask_with
from tests.support.session_tokens import ASSERTION, EPOCH, cookie, fingerprint

pytestmark = pytest.mark.xdist_group("posture-sessions")

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
ANY_AUDIENCE = not_asking("session-aud")
ANY_ISSUER = without(*PROVIDER, "issuer")


def trusting(*keys: ec.EllipticCurvePrivateKey) -> Edit:
    """Give the door other keys."""
    key_set = json.dumps({"keys": [render_jwk(one.public_key()) for one in keys]})
    return changed(*PROVIDER, "local_jwks", "inline_string", to=key_set)


class TestBinding:
    """A cookie is worth nothing beside another certificate, in another application, or after its time."""

    def test_a_good_session_passes_and_is_told_to_the_application(
        self, asking: CompiledDoor, witness: Witness, own: str
    ) -> None:
        """200, with the session's assertion in place of the connection's; the cookie stays at the door."""
        assert ask_with(asking, MINT.token(own, webauthn=10)) == 200
        seen = witness.requests[-1]
        assert seen.all_of("doorward-assertion") == [ASSERTION]
        assert seen.all_of("cookie") == []
        assert not [name for name, _ in seen.headers if name.startswith("doorward-session")]

    def test_without_a_session_the_connection_s_assertion_goes_on(
        self, asking: CompiledDoor, witness: Witness, own: str
    ) -> None:
        """Also on a route that asks for a factor elsewhere, and with another's session."""
        for headers in ([], [cookie(MINT.token("0" * 64, webauthn=10))]):
            assert asking.site.ask("GET", "/accounts/7", headers=headers).status == 200
            assert witness.requests[-1].all_of("doorward-assertion") == ["aaa.bbb.ccc"]
        assert own != "0" * 64

    @pytest.mark.parametrize("thief", ["p384", "rsa2048", "0" * 64])
    def test_with_another_certificate_it_is_refused(
        self, asking: CompiledDoor, give: Give, own: str, thief: str
    ) -> None:
        """Of the same person or of another: what counts is the certificate. Without the comparison it would pass."""
        folder = asking.site.folder
        token = MINT.token(thief if len(thief) == 64 else fingerprint(folder, thief), webauthn=10)
        assert ask_with(asking, token) == 401
        assert ask_with(give(NO_CERTIFICATE, name="any certificate"), token) == 200

    def test_without_a_certificate_it_is_refused(self, give: Give, own: str) -> None:
        """At a door that answers anonymous connections: the authorizer grants nothing, and the binding holds alone."""
        headers = [cookie(MINT.token(own, webauthn=10))]
        anonymous = {**dict.fromkeys(FACTS, ""), "judged": "0", "grants": ","}
        for edits, facts, status in (
            ((), anonymous, 403),
            ((), FACTS, 401),
            ((NO_CERTIFICATE,), anonymous, 403),
            ((NO_CERTIFICATE,), FACTS, 200),
        ):
            name = f"opened, {len(edits)} edits"
            door = give(*edits, name=name, public={"pay": ["/share/**"]})
            door.authorizer.facts = facts
            assert door.site.ask("GET", PATH, headers=headers, certificate=None).status == status, name

    @pytest.mark.parametrize("epoch", ["0.1.0", "0.0.1", "1.0.0", ""])
    def test_after_a_sign_out_it_is_refused(
        self, asking: CompiledDoor, give: Give, own: str, epoch: str
    ) -> None:
        """A token of another epoch; without the comparison it would pass."""
        token = MINT.token(own, webauthn=10, claims={"epoch": epoch})
        assert ask_with(asking, token) == 401
        assert ask_with(give(NO_EPOCH, name="any epoch"), token) == 200

    def test_after_its_end_it_is_refused(self, asking: CompiledDoor, give: Give, own: str) -> None:
        """Five seconds are too late; with Envoy's default they would not be."""
        token = MINT.token(own, webauthn=10, lasts=-5)
        assert ask_with(asking, token) == 401
        assert ask_with(give(LENIENT, name="lenient"), token) == 200

    def test_in_another_application_it_is_refused(self, asking: CompiledDoor, give: Give, own: str) -> None:
        """The audience is one application; without it any application's session would do."""
        token = MINT.token(own, webauthn=10, claims={"aud": "app_other"})
        assert ask_with(asking, token) == 401
        for odd in ("", "app_pa", "app_pay2", "app_pay,app_pay", ["app_pay", "app_other"], None):
            assert ask_with(asking, MINT.token(own, webauthn=10, claims={"aud": odd})) == 401, odd
        assert ask_with(give(ANY_AUDIENCE, name="any audience"), token) == 200

    def test_of_another_issuer_it_is_refused(self, asking: CompiledDoor, give: Give, own: str) -> None:
        """The gateway's assertions have another issuer; a door that compares no issuer takes such a token."""
        token = MINT.token(own, webauthn=10, claims={"iss": "https://corp.example"})
        assert ask_with(asking, token) == 401
        assert ask_with(give(ANY_ISSUER, name="any issuer"), token) == 200

    def test_of_another_key_it_is_refused(self, asking: CompiledDoor, give: Give, own: str) -> None:
        """Signed by a stranger, or under a key's name by another; a door that trusts that key takes it."""
        strange = ec.generate_private_key(ec.SECP256R1())
        token = MINT.token(own, key=strange, webauthn=10)
        assert ask_with(asking, token) == 401
        body, good = token.rpartition(".")[0], MINT.token(own, webauthn=10)
        assert ask_with(asking, f"{good.rpartition('.')[0]}.{token.rpartition('.')[2]}") == 401
        assert ask_with(asking, f"{body}.{good.rpartition('.')[2]}") == 401
        assert ask_with(give(trusting(strange), name="strange"), token) == 200

    def test_a_key_that_was_rotated_is_good_until_it_is_removed(self, give: Give, own: str) -> None:
        """Two keys: both are good. The newer one alone: the older one's sessions are over."""
        newer = ec.generate_private_key(ec.SECP256R1())
        token = MINT.token(own, webauthn=10)
        assert ask_with(give(trusting(newer, MINT.keys[0]), name="both"), token) == 200
        assert ask_with(give(trusting(newer), name="newer"), token) == 401

    def test_claims_as_headers_are_nothing(self, asking: CompiledDoor, own: str, witness: Witness) -> None:
        """No client can set the value that the first filter hands to the second, with a token or without."""
        now = int(time.time())
        claims = {"aud": "app_pay", "fp": own, "epoch": EPOCH, "assertion": "x", "webauthn": now, "any": now}
        said = [(f"Doorward-Session-{name}", str(value)) for name, value in claims.items()]
        for token in ((), (cookie(MINT.token("0" * 64, webauthn=10)),), (cookie(MINT.token(own, totp=10)),)):
            assert asking.site.ask("GET", PATH, headers=[*said, *token]).status == 401
        assert asking.site.ask("GET", "/accounts/7", headers=said).status == 200
        assert not [name for name, _ in witness.requests[-1].headers if name.startswith("doorward-session")]

    def test_two_protections_keep_claims_from_clients(
        self, give: Give, doors: CompiledDoors, own: str
    ) -> None:
        """Without the early removal the first filter still drops what it is to say; without both, a claim is believed."""
        removal = (*MANAGER, "early_header_mutation_extensions", 0, "typed_config", "mutations", 0)
        regex = (*removal, "remove_on_match", "key_matcher", "safe_regex", "regex")
        late = changed(*regex, to=lambda text: text.replace(r"doorward\-|", ""))
        claims = {"aud": "app_pay", "fp": own, "epoch": EPOCH, "assertion": "x", "webauthn": int(time.time())}
        said = [(f"Doorward-Session-{name}", str(value)) for name, value in claims.items()]
        assert give(late, name="claims").site.ask("GET", PATH, headers=said).status == 401
        keyless = {"sessions": MINT.plan(doors.folder, jwks=())}
        assert give(name="keyless", **keyless).site.ask("GET", PATH, headers=said).status == 401
        assert give(late, name="neither", **keyless).site.ask("GET", PATH, headers=said).status == 200

    def test_unsigned_and_malformed_tokens_are_refused(self, asking: CompiledDoor, own: str) -> None:
        """No signature, `alg: none`, no token at all: there is no session, and nothing breaks."""
        head, claims, _ = MINT.token(own, webauthn=10).split(".")
        none = "eyJhbGciOiJub25lIn0"
        for token in (f"{head}.{claims}.", f"{none}.{claims}.", "a.b.c", "", "x"):
            assert ask_with(asking, token) == 401
        assert asking.site.ask("GET", PATH).status == 401
        assert ask_with(asking, MINT.token(own, claims={"factors": {}, "assertion": ""})) == 401


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
        self, asking: CompiledDoor, own: str, path: str, ages: dict[str, int], status: int
    ) -> None:
        """A passkey of the last five minutes, any factor, nothing."""
        assert ask_with(asking, MINT.token(own, **ages), path) == status

    def test_a_door_without_keys_has_no_sessions(self, give: Give, doors: CompiledDoors, own: str) -> None:
        """No key, or an invalid one: there is no session, and rules without a factor go on."""
        for name, jwks in {"none": (), "bad": ('{"kty":"EC"}', "x")}.items():
            keyless = give(name=f"keys: {name}", sessions=MINT.plan(doors.folder, jwks=jwks))
            assert ask_with(keyless, MINT.token(own, webauthn=10)) == 401
            assert ask_with(keyless, MINT.token(own, webauthn=10), "/accounts/7") == 200

    def test_a_door_that_knows_nothing_of_sessions_keeps_such_rules_closed(
        self, give: Give, own: str
    ) -> None:
        """No portal, no redirect: a plain refusal."""
        closed = give(name="no sessions", sessions=None)
        assert ask_with(closed, MINT.token(own, webauthn=10)) == 403
