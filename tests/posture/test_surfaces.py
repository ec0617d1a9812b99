"""Every route of the surfaces without callers: who may send what to it, and that nothing else is there.

The enrolment host is the one door without a client certificate; the status listener is public. Both
have a list of routes here: a route that is added needs a line, and a reason to be open. The portal's routes: test_routes.py.
"""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from starlette.routing import Route

from doorward.enforcement.open_routes import ENROLMENT_ROUTES, EST_ROUTES, OpenRoute
from doorward.web.acme_challenges import PATH as CHALLENGE_PATH
from doorward.web.app import build_challenge_app, build_enrolment_app, build_est_app, build_status_app
from doorward.web.pool import UseCasePool
from tests.support.attacks import changed, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.doorway import Doorway
from tests.support.tcp import ports_of

pytestmark = pytest.mark.xdist_group("posture-living")


ENROLMENT = {
    ("GET", "/"): "a page for people; says nothing of anybody",
    ("GET", "/join"): "the same; the link's token stays in the fragment",
    ("GET", "/static/{name}"): "the page's style, read at the start",
    ("GET", "/root.pem"): "public; compared with the link's SHA-256",
    ("GET", "/roots.pem"): "public; a client accepts what a root of its own has signed",
    ("GET", "/roots.crl"): "RFC 5280: public; the client checks the root's signature",
    ("POST", "/v1/certificates"): "needs a one-time token",
    ("GET", "/renew/nonce"): "random bytes, their age and a MAC; nothing is stored",
    ("POST", "/renew"): "needs a proof by the key of a certificate",
    ("POST", "/renew/report"): "needs a proof by the key of a certificate",
}
EST = {
    ("GET", "/.well-known/est/cacerts"): "RFC 7030 4.1: public",
    ("GET", "/.well-known/est/csrattrs"): "RFC 7030 4.5: a constant",
    ("POST", "/.well-known/est/serverkeygen"): "off by default; needs a one-time token",
    ("POST", "/.well-known/est/simpleenroll"): "needs a one-time token, or a certificate that is judged",
    ("POST", "/.well-known/est/simplereenroll"): "needs a certificate that is judged",
}
STATUS = {
    ("GET", "/crl/{authority_id}.crl"): "RFC 5280: public",
    ("GET", "/crl/{authority_id}/{partition}.crl"): "RFC 5280 5.2.5: public",
    ("GET", "/ca/{authority_id}.cer"): "RFC 5280 4.2.2.1: public",
    ("GET", "/root.pem"): "public",
    ("GET", "/roots.pem"): "public",
    ("GET", "/jwks.json"): "public keys",
    ("GET", "/healthz"): "one word",
    ("GET", "/readyz"): "one word",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")
PATHS = (
    "/", "/join", "/root.pem", "/roots.pem", "/roots.crl", "/static/x.css", "/v1/certificates", "/v1/certificates/", "/v1", "/renew", "/renew/nonce", "/renew/nonce/x", "/renew/report", "/v1/people",
    "/api/v1/principals", "/console", "/admin", "/metrics", "/docs", "/openapi.json", "/_doorward/callback",
    "/static/../v1/certificates", "/static/%2e%2e/x", "/ocsp", "/crl/x.crl", "/healthz", "/.env", "/server_info",
)  # fmt: skip


def routes_of(app: Any) -> set[tuple[str, str]]:
    """Return method and path of every route; HEAD goes with GET."""
    found = set()
    for route in app.routes:
        assert isinstance(route, Route), route
        found |= {(method, route.path) for method in route.methods or ()}
    return found - {("HEAD", path) for _, path in found}


class TestLists:
    """The applications have exactly the routes that are listed."""

    def test_enrolment(self, living: Doorway) -> None:
        """Eight routes, each with its reason."""
        app = build_enrolment_app(living.services, UseCasePool(), origin="https://enroll.test")
        assert routes_of(app) == set(ENROLMENT)

    def test_est(self, living: Doorway) -> None:
        """Each operation of RFC 7030 that is served, and no other path."""
        assert routes_of(build_est_app(living.services, UseCasePool())) == set(EST)

    def test_status(self, living: Doorway) -> None:
        """Eight routes, each public by nature; none changes anything. OCSP is answered before them, and is public too (RFC 6960)."""
        assert routes_of(build_status_app(living.services, UseCasePool())) == set(STATUS)

    def test_challenges(self, living: Doorway) -> None:
        """Two routes: the answer to a challenge of an ACME authority, and the way to the door; neither changes anything."""
        app = build_challenge_app(living.services, UseCasePool(), public_port=443, portal_host="")
        assert routes_of(app) == {("GET", CHALLENGE_PATH), ("GET", "/{path:path}")}

    def test_the_door_passes_on_the_same(self) -> None:
        """The gateway lets through exactly the routes of the surface."""
        assert {(one.method, one.path) for one in ENROLMENT_ROUTES} == set(ENROLMENT)
        assert {(one.method, one.path) for one in EST_ROUTES} == set(EST)

    @pytest.mark.parametrize("path", ["/v1/{}/x", "v1", "/a b", "/**", "/a/**", "/a?b", "/a%2fb", ""])
    def test_an_open_route_cannot_be_wide(self, path: str) -> None:
        """An open route is exact, or one open segment at its end below a fixed one."""
        with pytest.raises(ValueError, match="open route"):
            OpenRoute(method="GET", path=path)


def ask(doorway: Doorway, method: str, path: str, **options: Any) -> tuple[int, bytes]:
    """Ask the enrolment host without a certificate."""
    with doorway.session(None, app="enroll") as session:
        reply = session.request(method, path, **options)
        return reply.status, reply.body


class TestEnrolmentDoor:
    """Through the real door, without a client certificate."""

    @pytest.mark.parametrize("method", METHODS)
    def test_what_is_not_listed_is_not_there(self, living: Doorway, method: str) -> None:
        """Of every method and path only the listed ones are answered by more than 404."""
        listed = {
            (one.method, one.path.replace("{name}", "x.css"))
            for one in ENROLMENT_ROUTES
            if one.method == method
        }
        answered = set()
        with living.session(None, app="enroll") as session:
            for path in PATHS:
                reply = session.request(method, path)
                if reply.status not in {400, 404, 405, 501}:
                    answered.add((method, path))
        same = {("POST", "/static/../v1/certificates")}  # normalised, it is a listed one
        assert answered <= listed | same

    @pytest.mark.parametrize(
        "authorization",
        [None, "Bearer ", "Bearer x", "Basic eDp5", f"Bearer {'a' * 43}", f"bearer {'a' * 43}"],
    )
    def test_no_token_no_certificate(self, living: Doorway, authorization: str | None) -> None:
        """Without a good token a CSR becomes nothing, and no new certificate is in the inventory."""
        before = self._count(living)
        headers = {"Content-Type": "application/pkcs10"}
        if authorization is not None:
            headers["Authorization"] = authorization
        status, _ = ask(living, "POST", "/v1/certificates", headers=headers, body=b"x")
        assert status in {400, 401, 403, 429}
        assert self._count(living) == before

    @staticmethod
    def _count(doorway: Doorway) -> int:
        from doorward.authority.inventory import certificate_counts

        return sum(certificate_counts(doorway.services).values())

    def test_its_connections_reach_no_application(self, living: Doorway) -> None:
        """Another Host on the open connection is 421, with any header that claims an identity."""
        for host in (living.host("app"), "other.test"):
            headers = {"Host": host, "Doorward-Principal": "person/alice", "Client-Cert": ":AAAA:"}
            assert ask(living, "GET", "/x", headers=headers)[0] == 421

    def test_each_field_of_its_routes_holds(self, kept: Kept, door: CompiledDoor) -> None:
        """Method and end of path are matched; without the matchers more reaches the socket (503: nothing listens)."""
        place = ("routes", "doorward_enrol", "virtual_hosts", "doorward_enrol", "routes")
        loose = kept(
            without(*place, 2, "match", "headers"),
            without(*place, 3, "match", "headers"),
            changed(*place, 3, "match", "safe_regex", "regex", to="/i/.*"),
        )
        for one, status in ((door, 404), (loose, 503)):
            assert one.site.ask("DELETE", "/enrol", host="enroll.test", certificate=None).status == status
            assert one.site.ask("GET", "/i/a/../../b/c", host="enroll.test", certificate=None).status == 404
            assert one.site.ask("GET", "/i/a/b", host="enroll.test", certificate=None).status == status

    def test_a_visitors_address_is_the_doors_word(self, living: Doorway) -> None:
        """The throttle counts the kernel's address: no header of the visitor's changes who fails."""
        statuses = []
        for number in range(40):
            headers = {
                "Content-Type": "application/pkcs10",
                "Authorization": f"Bearer {number:043d}",
                "X-Forwarded-For": f"203.0.113.{number}",
                "Doorward-Source": f"203.0.113.{number}",
            }
            statuses.append(ask(living, "POST", "/v1/certificates", headers=headers, body=_CSR)[0])
            if statuses[-1] == 429:
                break
        assert statuses[-1] == 429, statuses


_CSR = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"


class TestStatusListener:
    """Public, and without power."""

    def test_nothing_else_is_there_and_nothing_changes(self, living: Doorway) -> None:
        """Every method on every path changes no state, and unlisted paths are 404 or 405."""
        host, _, port = living.installation.settings.status_listen.rpartition(":")
        with living.services.work.read() as stores:
            before = stores.changes.head()
        listed = {"/root.pem", "/roots.pem", "/ocsp", "/healthz"}
        for method in METHODS:
            for path in (*PATHS, "/readyz", "/jwks.json"):
                connection = http.client.HTTPConnection(host, int(port), timeout=5)
                connection.request(method, path, body=b"x" if method in {"POST", "PUT", "PATCH"} else None)
                status = connection.getresponse().status
                connection.close()
                if path not in listed | {"/readyz", "/jwks.json"} or method not in {"GET", "HEAD", "POST"}:
                    assert status in {400, 404, 405, 501}, (method, path, status)
        with living.services.work.read() as stores:
            assert stores.changes.head() == before


class TestSockets:
    """Inner surfaces are files of one user."""

    def test_modes(self, living: Doorway) -> None:
        """The authorizer, the surfaces and Envoy's admin interface open for their owner only."""
        layout = living.installation.layout
        running = living.gateway.supervisor.running
        assert running is not None
        sockets = (layout.enrol_socket, layout.portal_socket, layout.sessions_socket)
        for path in (layout.authorizer_socket, *sockets, running.folder / "admin.sock"):
            assert path.stat().st_mode & 0o777 == 0o600, path
            assert path.parent.stat().st_mode & 0o077 == 0, path

    def test_the_admin_interface_is_no_port(self, living: Doorway) -> None:
        """Envoy listens on one port, the door's: its admin interface, which has no login, on none."""
        running = living.gateway.supervisor.running
        assert running is not None
        assert ports_of(running.pid, "tcp", state="0A") == {living.port}
