"""The way to the portal, and requests that are not sent there."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import pytest

from tests.posture.witness import Witness
from tests.support.attacks import Edit, H2Client, changed
from tests.support.compiled_door import CompiledDoor
from tests.support.door_site import CLEARED
from tests.support.envoy_process import facts_of
from tests.support.session_doors import FACTS, MANAGER, PATH, Give
from tests.support.session_tokens import PORTAL

pytestmark = pytest.mark.xdist_group("posture-step-up")

REDIRECT = (*MANAGER, "local_reply_config", "mappers", 0)
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
"""Targets that must not become another place."""


def not_minding(part: str) -> Edit:
    """Take one condition out of the redirect's."""

    def cut(text: str) -> str:
        left = [one for one in text.split(" && ") if part not in one]
        assert len(left) < len(text.split(" && ")), text
        return " && ".join(left)

    return changed(*REDIRECT, "filter", "extension_filter", "typed_config", "expression", to=cut)


class TestStepUp:
    """Only navigations that a factor would help are sent to the portal; nothing in an address changes where."""

    NAVIGATION = (("Sec-Fetch-Dest", "document"),)

    def redirect(self, asking: CompiledDoor, path: str, *more: tuple[str, str], method: str = "GET") -> Any:
        """Return the answer to a request without a session."""
        return asking.site.ask(method, path, headers=[*self.NAVIGATION, *more])

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
    def test_the_whole_path_comes_behind_a_constant(self, asking: CompiledDoor, path: str) -> None:
        """302 to the portal; what follows the first question mark is the path as Envoy forwards it, and no more."""
        answer = self.redirect(asking, path)
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
    def test_no_target_leads_elsewhere(self, asking: CompiledDoor, *, h2: bool) -> None:
        """Of a rule for every path: each target comes behind the constant as a path of its own, or is refused."""
        for target in TARGETS:
            status, location = self.sent(asking, target, h2=h2)
            assert status in {302, 400, 404, 421, 426, 0}, target
            if status != 302:
                continue
            place, mark, back = location.partition("?")
            assert place.rpartition("/")[0] == f"{PORTAL}/step-up/app_other/other.test", target
            assert mark
            assert re.fullmatch(r"/(?![/\\])[!-~\x80-\xff]*", back), target

    @staticmethod
    def sent(asking: CompiledDoor, target: bytes, *, h2: bool) -> tuple[int, str]:
        """Send a target as it is; status 0 if the connection or the stream ended."""
        with asking.connect("other.test", h2=h2) as connection:
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
    def test_other_requests_than_navigations_get_a_challenge(
        self, asking: CompiledDoor, headers: list[tuple[str, str]]
    ) -> None:
        """401 with the challenge: a fetch, a frame, a program, a doubled field."""
        answer = asking.site.ask("GET", PATH, headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == (
            'Bearer error="insufficient_user_authentication",'
            ' acr_values="urn:doorward:level:3", max_age="300"'
        )
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.body)["status"] == 401
        assert "set-cookie" not in answer.headers

    def test_a_form_is_not_sent_on(self, asking: CompiledDoor, give: Give) -> None:
        """POST is told and not redirected: its body would be lost. Without the condition it would be."""
        bare = give(not_minding("request.method == 'GET'"), name="any method")
        for one, status in ((asking, 401), (bare, 302)):
            origin = ("Origin", f"https://pay.test:{one.site.port}")
            assert self.redirect(one, PATH, origin, method="POST").status == status

    def test_without_the_condition_fetches_would_be_sent_on(self, give: Give) -> None:
        """A page's own request would end at another site."""
        bare = give(not_minding("request.headers['sec-fetch-dest'] == 'document'"), name="any destination")
        assert bare.site.ask("GET", PATH, headers=[("Sec-Fetch-Dest", "empty")]).status == 302

    def test_without_the_shadow_rules_every_request_is_sent_on(self, give: Give) -> None:
        """Also requests that no factor would help."""
        bare = give(not_minding("shadow_engine_result"), name="no shadow")
        assert self.redirect(bare, "/nothing").status == 302

    def test_who_may_not_with_any_factor_is_refused_plainly(self, asking: CompiledDoor) -> None:
        """No rule, another method, a denial: 403, and no person is asked for a factor in vain."""
        for path, method in (("/nothing", "GET"), (PATH, "DELETE"), ("/desk/TRACE", "TRACE")):
            assert self.redirect(asking, path, method=method).status in {403, 405}
        asking.authorizer.facts = facts_of(CLEARED)
        assert self.redirect(asking, PATH).status == 403
        asking.authorizer.facts = {**FACTS, "grants": FACTS["grants"].replace(f",{CLEARED},", ",")}
        assert self.redirect(asking, "/desk/1").status == 302  # that denial is about other paths
        assert self.redirect(asking, "/accounts/secret/1").status == 403

    def test_a_weaker_rule_is_named_by_its_own_challenge(self, asking: CompiledDoor) -> None:
        """Level 2, and no age, if any factor is enough."""
        challenge = asking.site.ask("GET", "/desk/1").headers["www-authenticate"]
        assert challenge == (
            'Bearer error="insufficient_user_authentication", acr_values="urn:doorward:level:2"'
        )

    @pytest.mark.parametrize(
        "authority", ["pay.test@evil.example", "evil.example", "pay.test/x", "pay.test:8443#x"]
    )
    def test_the_authority_is_the_application_s_own(self, asking: CompiledDoor, authority: str) -> None:
        """A Host that is not exactly the application's never gets as far as a redirect."""
        answer = asking.site.ask("GET", PATH, headers=self.NAVIGATION, host=authority, sni="pay.test")
        assert answer.status in {400, 421}
        assert "location" not in answer.headers


class TestOwnSurface:
    """The callback and the sign-out are the door's own; nothing else is under that prefix."""

    def test_other_paths_are_not_there(self, asking: CompiledDoor, witness: Witness) -> None:
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
            assert asking.site.ask(method, path).status == 404, path
        assert not witness.since(mark)
