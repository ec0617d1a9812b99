"""Requests from pages of other sites, and public paths, in compiled route tables."""

from __future__ import annotations

from itertools import product

import pytest

from doorward.enforcement.envoy.cross_origin import APPLICATIONS_OWN, CORS_FILTER
from doorward.enforcement.envoy.names import (
    FOREIGN_ORIGIN,
    IDENTITY_HEADERS,
    PREFLIGHT,
    PREFLIGHT_REFUSED,
    PUBLIC,
    Refusal,
)
from doorward.enforcement.envoy.routes import build_door_table
from doorward.enforcement.plan import HttpDoor, build_door
from doorward.policy.document import parse_document
from doorward.policy.paths import PathPattern
from tests.unit.enforcement.envoy.test_rules import state_of
from tests.unit.enforcement.plans import CERTIFICATE, TRUST, door, door_rule
from tests.unit.enforcement.rbac import answer_of, route_of

OWN = ("https://pay.test", "https://pay.test:8443")
LISTED = ("https://b.example",)
PLAIN = door(door_rule("g"), own_origins=OWN)
OPENED = door(
    door_rule("g", "/x/**"),
    own_origins=OWN,
    origins=LISTED,
    trust=TRUST,
    public=(PathPattern("/share/**"), PathPattern("/p@ge"), PathPattern("/*/logo")),
)
HELD = state_of("g")
ANONYMOUS = state_of(judged="0")
UPGRADE = {"upgrade": "websocket", "connection": "upgrade"}


def name_of(one: HttpDoor, method: str, headers: dict[str, str], path: str = "/x/1") -> str:
    """The name of the route that takes a request."""
    route = route_of(build_door_table(one), "pay.test", method, path, HELD, headers=headers)
    return str(route.get("name", "")) if route else "none"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "CONNECT", "QUERY"])
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://pay.test",
        "https://pay.test.",
        "https://PAY.test",
        "https://pay.test:443",
        "https://pay.test:9",
        "https://pay.test,https://pay.test",
        "https://pay.test/",
        "https://evil.pay.test",
        "https://pay.testevil.example",
        "https://payxtest",
        "null",
        "",
    ],
)
def test_unsafe_methods_of_other_sites_are_refused(method: str, origin: str) -> None:
    """RFC 9110 section 9.2.1 and RFC 6454: everything but GET, HEAD and OPTIONS, every origin but our own spelling."""
    assert name_of(PLAIN, method, {"origin": origin}) == FOREIGN_ORIGIN


@pytest.mark.parametrize(("method", "origin"), list(product(["POST", "DELETE"], OWN)))
def test_the_applications_own_pages_pass(method: str, origin: str) -> None:
    """An own origin is each host of the application with each public port of the door."""
    assert name_of(PLAIN, method, {"origin": origin}) == ""


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_safe_methods_pass_from_anywhere(method: str) -> None:
    """Links from other sites work; the other site cannot read the answers."""
    assert name_of(PLAIN, method, {"origin": "https://evil.example"}) == ""


def test_requests_without_origin_pass() -> None:
    """Programs send no Origin."""
    for method in ("GET", "POST", "DELETE"):
        assert name_of(PLAIN, method, {}) == ""
    assert name_of(PLAIN, "GET", UPGRADE) == ""


@pytest.mark.parametrize("one", [PLAIN, OPENED])
@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"origin": "https://evil.example"}, FOREIGN_ORIGIN),
        ({"origin": "null"}, FOREIGN_ORIGIN),
        ({"origin": OWN[0]}, ""),
        ({"sec-fetch-site": "cross-site"}, FOREIGN_ORIGIN),
    ],
)
def test_the_same_rules_hold_for_web_sockets(one: HttpDoor, headers: dict[str, str], name: str) -> None:
    """RFC 6455 section 10.2: a handshake is a GET, and only its Origin shows the site that sends it."""
    assert name_of(one, "GET", {**UPGRADE, **headers}) == name


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"origin": "null", "sec-fetch-site": "same-origin"}, ""),
        ({"origin": "null", "sec-fetch-site": "cross-site"}, FOREIGN_ORIGIN),
        ({"origin": "null", "sec-fetch-site": "same-origin,same-origin"}, FOREIGN_ORIGIN),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, FOREIGN_ORIGIN),
        ({"sec-fetch-site": "none"}, ""),
        ({"sec-fetch-site": "same-origin"}, ""),
        ({"sec-fetch-site": "same-site"}, FOREIGN_ORIGIN),
        ({"sec-fetch-site": ""}, FOREIGN_ORIGIN),
    ],
)
def test_fetch_metadata_is_the_second_signal(headers: dict[str, str], name: str) -> None:
    """W3C Fetch Metadata section 2.4: a page with no-referrer posts with Origin null to its own origin."""
    assert name_of(PLAIN, "POST", headers) == name


@pytest.mark.parametrize(
    ("origin", "name", "status"),
    [
        (LISTED[0], PREFLIGHT, 204),
        (OWN[0], PREFLIGHT_REFUSED, 403),
        ("null", PREFLIGHT_REFUSED, 403),
        ("https://B.example", PREFLIGHT_REFUSED, 403),
        ("https://b.example,https://b.example", PREFLIGHT_REFUSED, 403),
    ],
)
@pytest.mark.parametrize("path", ["/x/1", "/share/x", "/"])
def test_preflights_end_at_the_door(origin: str, name: str, status: int, path: str) -> None:
    """Fetch section 4.8: OPTIONS with Origin and Access-Control-Request-Method, on every path."""
    headers = {"origin": origin, "access-control-request-method": "PUT"}
    assert name_of(OPENED, "OPTIONS", headers, path) == name
    got = answer_of(build_door_table(OPENED), "pay.test", "OPTIONS", path, ANONYMOUS, headers=headers)
    assert got[0] == status


def test_if_no_site_is_listed_preflights_are_ordinary_requests() -> None:
    """Then the door adds no CORS header, and changes no header of the application."""
    headers = {"origin": LISTED[0], "access-control-request-method": "PUT"}
    assert name_of(PLAIN, "OPTIONS", headers) == ""
    table = build_door_table(PLAIN)
    assert not set(APPLICATIONS_OWN) & set(table["response_headers_to_remove"])
    assert "typed_per_filter_config" not in table["virtual_hosts"][0]


def test_the_door_replaces_the_cors_headers_of_the_application() -> None:
    """The application's CORS headers are removed, except the exposed headers, and caches keep sites apart."""
    table = build_door_table(OPENED)
    assert set(APPLICATIONS_OWN) <= set(table["response_headers_to_remove"])
    assert "access-control-expose-headers" not in table["response_headers_to_remove"]
    host = table["virtual_hosts"][0]
    policy = host["typed_per_filter_config"][CORS_FILTER]
    assert policy["allow_origin_string_match"] == [{"exact": one} for one in LISTED]
    (vary,) = host["response_headers_to_add"]
    assert vary["header"] == {"key": "vary", "value": "Origin"}
    assert vary["append_action"] == "APPEND_IF_EXISTS_OR_ADD"
    assert host["domains"] == ["pay.test"]


@pytest.mark.parametrize(
    ("path", "is_public"),
    [
        ("/share", True),
        ("/share/", True),
        ("/share/a/b", True),
        ("/p%40ge", True),
        ("/p@ge/", True),
        ("/a/logo", True),
        ("/shared", False),
        ("/Share", False),
        ("/x/share/logo", False),
        ("/", False),
    ],
)
def test_public_routes_match_only_the_patterns(path: str, is_public: object) -> None:
    """Both routes of a path match exactly the pattern's paths; the anonymous one has no identity headers."""
    table = build_door_table(OPENED)
    for state in (HELD, ANONYMOUS, {}):
        route = route_of(table, "pay.test", "POST", path, state)
        assert route is not None
        assert (route.get("name") == PUBLIC) is is_public
        if is_public:
            removed = route.get("request_headers_to_remove", [])
            assert removed == ([] if state is HELD else sorted(IDENTITY_HEADERS))
        elif state is not HELD:
            assert answer_of(table, "pay.test", "POST", path, state)[0] == 403
    assert table["most_specific_header_mutations_wins"] is True


def test_an_application_without_public_paths_and_listed_sites_has_no_such_route() -> None:
    """The default is closed, and without CORS."""
    routes = build_door_table(PLAIN)["virtual_hosts"][0]["routes"]
    refusals = {one.word for one in Refusal}
    assert {one.get("name", "") for one in routes} - refusals == {"", FOREIGN_ORIGIN}


def test_a_door_for_anonymous_connections_has_an_unverified_chain() -> None:
    """Without it the handshake would end anonymous connections; the compiler names our own authorities in the handshake."""
    with pytest.raises(ValueError, match="handshake"):
        door(door_rule("g"), origins=LISTED)
    text = (
        "trust_domain: a.b\napps:\n  pay:\n    hosts: [pay.test]\n    upstream: http://127.0.0.1:1\n"
        "    public: [/x]\n"
    )
    app = parse_document(text).apps[0]
    made = build_door(app, "ten_1", "app_1", CERTIFICATE, trust=TRUST, ports={8443})
    assert made.admits_anonymous
    assert made.own_origins == ("https://pay.test:8443",)
