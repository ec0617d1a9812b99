"""Section 6, items 3, 12 and 13 by framing: no request hides inside another, over HTTP/1.1 and HTTP/2.

The application behind the door reads laxly (`Witness`). An attack succeeds where it takes something for
a request that the door has not judged: here, `/admin`, which no rule allows.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.posture.witness import Witness
from tests.support.attacks import HTTP, H2Client, changed, exchange, statuses, without
from tests.support.compiled_door import CompiledDoor, Kept
from tests.support.door_site import allow, id_of
from tests.support.doorway import eventually
from tests.support.envoy_process import facts_of

pytestmark = pytest.mark.xdist_group("posture-smuggling")


READ = allow("read", "all", "/public/**")
SEND = allow("send", "all", "/public/**", methods=("GET", "POST"))
APPS = {"pay": (SEND,), "other": (READ,)}
HIDDEN = b"GET /admin HTTP/1.1\r\nHost: pay.test\r\n\r\n"
HEAD = b"POST /public/x HTTP/1.1\r\nHost: pay.test\r\n"


@pytest.fixture
def gate(kept: Kept) -> CompiledDoor:
    """A door that opens /public and nothing else."""
    one = kept(name="smuggling", apps=APPS)
    one.authorizer.facts = facts_of(id_of("pay", SEND))
    return one


@pytest.fixture
def lax(witness: Witness) -> Iterator[Witness]:
    """An application that does not know Transfer-Encoding."""
    witness.blind_to = frozenset({"transfer-encoding"})
    yield witness
    witness.blind_to = frozenset()


def chunked(data: bytes) -> bytes:
    """Return a chunked body."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


FRAMINGS = {
    "both lengths": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(HIDDEN),
    "other order": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunked(HIDDEN),
    "two lengths": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "listed lengths": b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "signed length": b"Content-Length: +%d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "negative length": b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "hexadecimal length": b"Content-Length: 0x10\r\n\r\n" + HIDDEN,
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n" + chunked(HIDDEN),
    "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunked(HIDDEN),
    "coding with a tab": b"Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n" + chunked(HIDDEN),
    "space before the colon": b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n" + chunked(HIDDEN),
    "folded line": b"X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunked(HIDDEN),
    "bare line feeds": b"Content-Length: 0\n\n" + HIDDEN,
    "bare carriage return": b"X: 1\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"
    + chunked(HIDDEN),
    "chunk extension": b"Transfer-Encoding: chunked\r\n\r\n1;x=\n\r\nx\r\n0\r\n\r\n" + HIDDEN,
    "chunk size overflow": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + HIDDEN,
    "NUL in a value": b"X: a\0b\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
}
"""If the two servers disagree, the rest is a request of its own; the door must judge or refuse it."""


class TestHttp1:
    """One connection, and two servers that differ about the end of a request."""

    @pytest.mark.parametrize("framing", FRAMINGS)
    def test_nothing_unjudged_reaches_the_application(
        self, gate: CompiledDoor, lax: Witness, framing: str
    ) -> None:
        """Each ambiguous framing is refused, or its tail is judged as a request of its own."""
        mark = len(lax.requests)
        with gate.connect() as connection:
            came = exchange(connection, HEAD + FRAMINGS[framing], quiet=0.25)
        assert "/admin" not in lax.targets(mark)
        assert set(statuses(came)) <= {200, 400, 403, 501, 502}

    def test_the_application_can_be_fooled(self, lax: Witness) -> None:
        """The same bytes as above, sent to the application itself, hide a request."""
        mark = len(lax.requests)
        with socket.create_connection(("127.0.0.1", lax.port), timeout=30) as plain:
            exchange(plain, HEAD + FRAMINGS["both lengths"], quiet=0.25)
            assert eventually(lambda: "/admin" in lax.targets(mark))

    def test_both_lengths_with_the_option_on(self, gate: CompiledDoor, kept: Kept, witness: Witness) -> None:
        """`allow_chunked_length` is off: 400. Turned on, the request is accepted (and framed again)."""
        request = HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"body")
        with gate.connect() as connection:
            assert statuses(exchange(connection, request, answers=1)) == [400]
        on = kept(
            changed(*HTTP, "http_protocol_options", "allow_chunked_length", to=True),
            name="lengths",
            apps=APPS,
        )
        on.authorizer.facts = facts_of(id_of("pay", SEND))
        with on.connect() as connection:
            assert statuses(exchange(connection, request, answers=1)) == [200]

    @pytest.mark.parametrize(
        "line",
        [
            b"GET /public/x HTTP/1.0\r\n\r\n",
            b"GET /public/x\r\n",
            b"GET http://other.test/public/x HTTP/1.1\r\nHost: pay.test\r\n\r\n",
            b"CONNECT pay.test:443 HTTP/1.1\r\nHost: pay.test\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: pay.test\r\n\r\n",
            b"GET /public/x HTTP/1.1\r\n\r\n",
            b"GET /public/x HTTP/1.1\r\nHost: pay.test\r\nHost: other.test\r\n\r\n",
            b"get /public/x HTTP/1.1\r\nHost: pay.test\r\n\r\n",
            b"GET /public/x HTTP/1.1\r\nHost: pay.test\r\n: empty\r\n\r\n",
            b"\x00\x01\x02\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
        ids=range(11),
    )
    def test_odd_requests_reach_no_application(
        self, gate: CompiledDoor, witness: Witness, line: bytes
    ) -> None:
        """Old versions, absolute targets of others, tunnels, missing and double hosts end at the door."""
        mark = len(witness.requests)
        with gate.connect() as connection:
            came = exchange(connection, line, quiet=0.25, answers=1)
        assert witness.since(mark) == []
        assert set(statuses(came)) <= {400, 403, 404, 421, 426}

    def test_http_1_0_with_the_option_on(self, kept: Kept) -> None:
        """`accept_http_10` is off; turned on, a request without Host and keep-alive is served."""
        on = kept(changed(*HTTP, "http_protocol_options", "accept_http_10", to=True), name="1.0", apps=APPS)
        on.authorizer.facts = facts_of(id_of("pay", SEND))
        with on.connect() as connection:
            came = exchange(connection, b"GET /public/x HTTP/1.0\r\nHost: pay.test\r\n\r\n")
        assert statuses(came) == [200]

    def test_pipelined_requests_are_judged_one_by_one(self, gate: CompiledDoor, witness: Witness) -> None:
        """Many requests in one piece: each is answered by its own right."""
        mark = len(witness.requests)
        good = b"GET /public/x HTTP/1.1\r\nHost: pay.test\r\n\r\n"
        with gate.connect() as connection:
            assert statuses(exchange(connection, HIDDEN + good, answers=2)) == [403, 200]
        with gate.connect() as connection:
            assert statuses(exchange(connection, good + good + HIDDEN, answers=3)) == [200, 200, 403]
        assert witness.targets(mark) == ["/public/x"] * 3


FORBIDDEN = {
    "transfer-encoding": [("transfer-encoding", "chunked")],
    "connection": [("connection", "doorward-principal")],
    "keep-alive": [("keep-alive", "1")],
    "upgrade": [("upgrade", "websocket")],
    "line break in a value": [("x-a", "b\r\ntransfer-encoding: chunked")],
    "line feed in a value": [("x-a", "b\nx: y")],
    "NUL in a value": [("x-a", "b\0c")],
    "line break in a name": [("x-a: b\r\nx", "y")],
    "upper case": [("X-Upper", "1")],
    "colon in a name": [("x:a", "b")],
    "space in a name": [("x a", "b")],
    "wrong length": [("content-length", "5")],
    "two lengths": [("content-length", "1"), ("content-length", "0")],
    "te": [("te", "gzip")],
}
PSEUDO = {
    "space in the path": {":path": "/public/x HTTP/1.1\r\nHost: other.test\r\n\r\nGET /admin"},
    "line break in the path": {":path": "/public/x\r\nx: y"},
    "empty path": {":path": ""},
    "path without a slash": {":path": "admin"},
    "absolute path": {":path": "https://other.test/admin"},
    "line break in the method": {":method": "GET /admin HTTP/1.1\r\nx:"},
    "space in the method": {":method": "GET /admin HTTP/1.1"},
    "empty method": {":method": ""},
    "line break in the authority": {":authority": "pay.test\r\nx: y"},
    "user in the authority": {":authority": "other.test@pay.test"},
    "odd scheme": {":scheme": "https://other.test/admin?"},
    "other scheme": {":scheme": "ftp"},
}


VALID = {":method": "GET", ":scheme": "https", ":authority": "pay.test", ":path": "/public/x"}


def _at_once(
    door: CompiledDoor, cases: Mapping[str, tuple[Mapping[str, str], Sequence[tuple[str, str]]]]
) -> dict[str, int]:
    """Send each case on a connection of its own, all at once; return the statuses.

    A refused connection ends after a second (`delayed_close_timeout`): one after the other takes long.
    """

    def send(case: str) -> int:
        pseudo, fields = cases[case]
        with door.connect(h2=True) as connection:
            return H2Client(connection).ask("", *fields, pseudo=[*pseudo.items()]).status

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(cases, pool.map(send, cases), strict=True))


class TestHttp2:
    """Fields and pseudo fields that become something else as HTTP/1.1."""

    def test_forbidden_fields(self, gate: CompiledDoor, witness: Witness) -> None:
        """A field that HTTP/2 forbids reaches no application as what it says."""
        mark = len(witness.requests)
        answers = _at_once(gate, {case: (VALID, fields) for case, fields in FORBIDDEN.items()})
        for request in witness.since(mark):
            names = {name for name, _ in request.headers}
            assert not names & {"transfer-encoding", "connection", "keep-alive", "upgrade", "x", "te"}
            assert (request.method, request.target) == ("GET", "/public/x")
        assert set(answers.values()) <= {0, 200, 400}
        passed = {case for case, status in answers.items() if status == 200}
        assert passed <= {"connection", "keep-alive", "te"}, passed  # these are only dropped

    def test_pseudo_fields(self, gate: CompiledDoor, witness: Witness) -> None:
        """Method, path, authority and scheme cannot end their line of HTTP/1.1."""
        mark = len(witness.requests)
        answers = _at_once(gate, {case: (VALID | fields, []) for case, fields in PSEUDO.items()})
        for request in witness.since(mark):
            assert (request.method, request.target) == ("GET", "/public/x")
            assert request.all_of("host") == ["pay.test"]
            assert "x" not in {name for name, _ in request.headers}
        passed = {case for case, status in answers.items() if status == 200}
        assert passed <= {"odd scheme", "other scheme"}, passed

    def test_an_ordinary_request_passes(self, gate: CompiledDoor) -> None:
        """The fields that the attacks start from are good."""
        assert _at_once(gate, {"good": (VALID, [])}) == {"good": 200}

    @pytest.mark.parametrize(
        ("extra", "arrives"),
        [
            ([(":path", "/admin")], False),
            ([(":authority", "other.test")], False),
            ([(":method", "POST")], False),
            ([(":unknown", "x")], False),
            ([("host", "other.test")], True),
        ],
    )
    def test_double_and_late_pseudo_fields(
        self, gate: CompiledDoor, witness: Witness, extra: list[tuple[str, str]], *, arrives: bool
    ) -> None:
        """A second path, host or method never wins, at any position."""
        mark = len(witness.requests)
        with gate.connect(h2=True) as connection:
            H2Client(connection).ask("/public/x", *extra)
        for request in witness.since(mark):
            assert arrives
            assert request.target == "/public/x"
            assert request.all_of("host") == ["pay.test"]

    def test_an_invalid_message_ends_the_whole_connection(self, gate: CompiledDoor, kept: Kept) -> None:
        """After one forbidden message the connection has no second try; with the override only its stream ends."""
        place = (*HTTP, "http2_protocol_options", "override_stream_error_on_invalid_http_message")
        mild = kept(changed(*place, to=True), name="mild", apps=APPS)
        mild.authorizer.facts = facts_of(id_of("pay", SEND))
        for door, again in ((gate, 0), (mild, 200)):
            with door.connect(h2=True) as connection:
                client = H2Client(connection)
                assert client.ask("/public/x", ("transfer-encoding", "chunked")).status in {0, 400}
                assert client.ask("/public/x").status == again

    def test_a_websocket_over_http2_is_not_opened(self, gate: CompiledDoor, witness: Witness) -> None:
        """Extended CONNECT is off: no tunnel through one stream."""
        mark = len(witness.requests)
        fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "pay.test"),
            (":path", "/public/x"),
        ]
        with gate.connect(h2=True) as connection:
            assert H2Client(connection).ask("", pseudo=fields).status in {0, 400, 403, 405}
        assert witness.since(mark) == []


class TestMethods:
    """Rules are about the method of the request line."""

    METHODS = ("DELETE", "PUT", "PATCH", "TRACE", "get", "Get", "GETX", "X", "PROPFIND", "HEAD")

    @pytest.mark.parametrize("h2", [False, True], ids=["http1", "http2"])
    @pytest.mark.parametrize("method", METHODS)
    def test_what_no_rule_names_is_refused(
        self, gate: CompiledDoor, witness: Witness, method: str, *, h2: bool
    ) -> None:
        """Methods are compared whole and by case; another spelling is another method."""
        mark = len(witness.requests)
        assert gate.ask("/public/x", method=method, h2=h2) in {0, 400, 403, 405}
        assert witness.since(mark) == []

    @pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
    def test_a_header_changes_no_method(self, gate: CompiledDoor, witness: Witness, name: str) -> None:
        """Applications that obey an override never see it; without the early mutation they would."""
        mark = len(witness.requests)
        assert gate.site.ask("GET", "/public/x", headers=[(name, "DELETE")]).status == 200
        assert witness.since(mark)[0].all_of(name) == []


class TestUpgrades:
    """Only WebSocket leaves HTTP, and its Connection field strikes off nothing."""

    @staticmethod
    def _upgrade(door: CompiledDoor, connection_field: str, protocol: str = "websocket") -> int:
        head = (
            f"GET /public/x HTTP/1.1\r\nHost: pay.test\r\nConnection: {connection_field}\r\n"
            f"Upgrade: {protocol}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n"
        )
        with door.connect() as connection:
            return (statuses(exchange(connection, head.encode(), quiet=0.2)) or [0])[0]

    @pytest.mark.parametrize(
        "field", ["Upgrade, Doorward-Principal", "client-cert, upgrade", "upgrade,cookie"]
    )
    def test_identity_is_not_struck_off(self, gate: CompiledDoor, witness: Witness, field: str) -> None:
        """An upgrade that names more in Connection is refused: a second proxy would remove those fields."""
        mark = len(witness.requests)
        assert self._upgrade(gate, field) == 400
        assert witness.since(mark) == []

    def test_without_the_route_it_would_be_passed_on(self, kept: Kept, witness: Witness) -> None:
        """Without the refusal the application's own proxy is told to remove the identity."""

        def lenient(routes: list[dict[str, object]]) -> list[dict[str, object]]:
            return [one for one in routes if "headers" not in dict(one["match"])]  # type: ignore[call-overload]

        place = ("routes", "app_pay", "virtual_hosts", "app_pay", "routes")
        door = kept(changed(*place, to=lenient), name="lenient", apps=APPS)
        door.authorizer.facts = facts_of(id_of("pay", SEND))
        mark = len(witness.requests)
        assert self._upgrade(door, "Upgrade, Doorward-Principal") == 101
        assert "doorward-principal" in witness.since(mark)[0].all_of("connection")[0].lower()

    @pytest.mark.parametrize("protocol", ["h2c", "tls/1.0", "CONNECT-UDP", "telnet"])
    def test_other_protocols_stay_out(self, gate: CompiledDoor, witness: Witness, protocol: str) -> None:
        """No other upgrade reaches the application as one."""
        mark = len(witness.requests)
        assert self._upgrade(gate, "Upgrade", protocol) != 101
        assert all(not one.all_of("upgrade") for one in witness.since(mark))

    def test_an_upgrade_is_under_the_rules(self, gate: CompiledDoor, kept: Kept) -> None:
        """A path that no rule allows is not upgraded; without WebSocket in the manager nothing upgrades."""
        assert self._upgrade(gate, "Upgrade") == 101
        none = kept(without(*HTTP, "upgrade_configs"), name="no upgrades", apps=APPS)
        none.authorizer.facts = facts_of(id_of("pay", SEND))
        assert self._upgrade(none, "Upgrade") == 403
