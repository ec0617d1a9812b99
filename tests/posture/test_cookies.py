"""Our cookies end at the door, and two of one name are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.web.look.languages import LANGUAGE_COOKIE
from tests.posture.witness import Witness
from tests.support.attacks import H2Client, without
from tests.support.compiled_door import CompiledDoor
from tests.support.session_doors import FACTS, MANAGER, Give

pytestmark = pytest.mark.xdist_group("posture-cookies")


class TestCookies:
    """Our cookies end at the door, and two of one name are refused."""

    TOKEN = f"{SESSION_COOKIE}=a.b.c"
    BEGIN = "__Host-doorward-begin=1-2"
    LANGUAGE = f"{LANGUAGE_COOKIE}=de"

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
            ([f"{TOKEN}; {LANGUAGE}; {BEGIN}"], [LANGUAGE]),
        ],
    )
    @pytest.mark.parametrize("path", ["/accounts/7", "/share/x"])
    def test_they_reach_no_application(
        self, give: Give, witness: Witness, sent: Sequence[str], left: Sequence[str], path: str
    ) -> None:
        """First, last, alone, in lines of their own; on judged paths and on public ones."""
        opened = give(name="opened", public={"pay": ["/share/**"]})
        opened.authorizer.facts = FACTS
        assert opened.site.ask("GET", path, headers=[("Cookie", one) for one in sent]).status == 200
        assert witness.requests[-1].all_of("cookie") == list(left)

    def test_without_the_filter_they_would(self, give: Give, witness: Witness) -> None:
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
            [f"a=1;  {TOKEN}"],
            [f"a=1;\t{TOKEN}"],
            [f"{BEGIN}; \t{TOKEN}"],
        ],
    )
    def test_two_of_a_name_are_refused(
        self, asking: CompiledDoor, witness: Witness, sent: Sequence[str]
    ) -> None:
        """400, and nothing arrives."""
        mark = len(witness.requests)
        assert asking.site.ask("GET", "/accounts/7", headers=[("Cookie", one) for one in sent]).status == 400
        assert not witness.since(mark)

    def test_crumbs_are_joined_before(self, asking: CompiledDoor, witness: Witness) -> None:
        """HTTP/2 may send each cookie in a field of its own (RFC 9113 section 8.2.3)."""
        crumbs = [("cookie", one) for one in ("a=1", self.TOKEN, "b=2")]
        with asking.connect(h2=True) as connection:
            client = H2Client(connection)
            assert client.ask("/accounts/7", *crumbs).status == 200
            assert witness.requests[-1].all_of("cookie") == ["a=1; b=2"]
            assert client.ask("/accounts/7", *crumbs, ("cookie", self.TOKEN)).status == 400

    def test_lines_are_held_against_the_expression_together(self, give: Give) -> None:
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
