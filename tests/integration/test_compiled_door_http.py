"""The compiled door in a real Envoy: headers for applications, answers to refused requests, log lines."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.access_log.lines import parse_access_line
from tests.support.attacks import H2Client, exchange, statuses
from tests.support.compiled_door import CompiledDoor
from tests.support.door_site import APPS, CLEARED, TELLER, id_of
from tests.support.envoy_process import facts_of

UPGRADE = (
    "GET /accounts/feed HTTP/1.1\r\nHost: pay.test\r\nConnection: Upgrade\r\nUpgrade: {}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class TestHeaders:
    """The headers that an application gets."""

    SPOOFED = (
        ("Client-Cert", ":forged:"),
        ("Client-Cert-Chain", ":forged:"),
        ("Doorward-Principal", "person/root"),
        ("Doorward-Assertion", "forged"),
        ("Doorward-Anything", "forged"),
        ("X-Doorward-Application", "forged"),
        ("X-Forwarded-Client-Cert", "URI=spiffe://corp.example/person/root"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Host", "forged"),
        ("X-Forwarded-User", "forged"),
        ("Forwarded", "for=203.0.113.9"),
        ("X-Real-IP", "203.0.113.9"),
        ("X-Original-URL", "/forged"),
        ("X-Rewrite-URL", "/forged"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-Envoy-Max-Retries", "99"),
        ("X-Envoy-Original-Path", "/forged"),
        ("X-Request-Id", "forged"),
        ("Remote-User", "forged"),
        ("Proxy", "forged"),
    )

    def test_the_application_hears_who_calls(self, door: CompiledDoor) -> None:
        """Certificate, principal and assertion reach the application exactly once, from the authorizer."""
        seen = door.site.ask("GET", "/accounts/7").seen["headers"]
        expected = {
            "client-cert": ":Y2VydA==:",
            "doorward-principal": "person/alice",
            "doorward-certificate": "crt_alice",
            "doorward-assertion": "aaa.bbb.ccc",
        }
        for name, value in expected.items():
            assert [found for header, found in seen if header == name] == [value]

    def test_a_client_cannot_say_who_it_is(self, door: CompiledDoor) -> None:
        """No header with which a client could lie about itself or its request gets through."""
        seen = door.site.ask("GET", "/accounts/7", headers=self.SPOOFED).seen["headers"]
        assert not [
            value for _, value in seen if "forged" in value or "203.0.113.9" in value or "root" in value
        ]
        names = {name for name, _ in seen}
        # Envoy marks requests that it would trust: none is internal, not even on loopback.
        assert not {"x-http-method-override", "x-envoy-max-retries", "x-envoy-internal"} & names

    @pytest.mark.parametrize(
        "fact",
        [
            ConnectionFact.CLIENT_CERT,
            ConnectionFact.PRINCIPAL,
            ConnectionFact.ASSERTION,
            ConnectionFact.CERTIFICATE,
        ],
    )
    def test_an_empty_fact_lets_no_spoof_through(self, door: CompiledDoor, fact: ConnectionFact) -> None:
        """If the authorizer's value is empty, the client's own header does not take its place."""
        door.authorizer.facts = facts_of(TELLER, CLEARED, **{fact.value: ""})
        seen = door.site.ask("GET", "/accounts/7", headers=self.SPOOFED).seen["headers"]
        assert not [value for _, value in seen if "forged" in value or "root" in value]

    def test_underscores_in_header_names_are_refused(self, door: CompiledDoor) -> None:
        """Doorward_Principal, one with Doorward-Principal to CGI and WSGI, is refused."""
        assert (
            door.site.ask("GET", "/accounts/7", headers=[("Doorward_Principal", "person/root")]).status == 400
        )

    def test_identity_cannot_be_struck_off_by_connection_options(self, door: CompiledDoor) -> None:
        """Naming an identity header in Connection does not remove it on the way (RFC 9110 7.6.1)."""
        headers = [("Connection", "Doorward-Principal, Client-Cert")]
        seen = dict(door.site.ask("GET", "/accounts/7", headers=headers).seen["headers"])
        assert seen["doorward-principal"] == "person/alice"
        assert "doorward" not in seen.get("connection", "").lower()

    def test_answers_do_not_tell_what_runs_here(self, door: CompiledDoor) -> None:
        """Server software is named neither by the application's answers nor by the door's own."""
        for path in ("/accounts/7", "/elsewhere"):
            headers = door.site.ask("GET", path).headers
            assert not {"server", "x-powered-by", "x-envoy-upstream-service-time"} & set(headers)


class TestRefusals:
    """The answers to refused requests."""

    def test_a_refusal_names_the_application_and_no_rule(self, door: CompiledDoor) -> None:
        """The text is for people, says which application, and hides which rule or filter spoke."""
        answer = door.site.ask("GET", "/elsewhere")
        assert "pay" in answer.body
        assert "rbac" not in answer.body.lower()
        assert answer.headers["content-type"].startswith("text/plain")

    def test_a_program_gets_problem_details(self, door: CompiledDoor) -> None:
        """A client that accepts JSON gets RFC 9457 problem details with the request's name."""
        answer = door.site.ask("GET", "/elsewhere", headers=[("Accept", "application/json")])
        assert answer.headers["content-type"] == "application/problem+json"
        assert '"status":403' in answer.body

    def test_an_applications_own_refusal_passes_unchanged(self, door: CompiledDoor) -> None:
        """Only the door's own answers are reworded."""
        assert door.site.ask("GET", "/accounts/7").body.startswith('{"method"')


class TestLog:
    """Log lines."""

    def test_requests_are_logged_without_query_and_with_identity(self, door: CompiledDoor) -> None:
        """A line names who, what and by which rule, and never a query string."""
        door.site.ask("GET", "/accounts/logged?token=secret")
        line = _await_line(door, lambda one: one.get("path") == "/accounts/logged")
        assert line["kind"] == "request"
        assert line["application"] == "app_pay"
        assert line["principal"] == "per_alice"
        assert line["certificate"] == "crt_alice"
        assert line["decision"] == "evt_decision"
        assert line["detail"] == "via_upstream"
        assert line["rule"] == TELLER
        assert line["status"] == 200
        assert "secret" not in str(line)

    def test_a_refused_request_tells_which_half_refused(self, door: CompiledDoor) -> None:
        """No allow rule, or no clearance: the line tells them apart."""
        door.site.ask("GET", "/nothing/allows")
        line = _await_line(door, lambda one: one.get("path") == "/nothing/allows")
        assert (line["cleared"], line["rule"]) == (None, None)  # no deny rule is about this path
        assert line["detail"].startswith("rbac_access_denied")
        door.authorizer.facts = facts_of(TELLER)
        door.site.ask("GET", "/accounts/secret/denied")
        line = _await_line(door, lambda one: one.get("path") == "/accounts/secret/denied")
        assert line["cleared"] == "denied"

    def test_failed_handshakes_are_logged_as_claims(self, door: CompiledDoor) -> None:
        """A failed handshake is logged with the reason, and with its names in `claimed_…` fields."""
        door.site.alert("pay.test", "stranger")
        line = _await_line(door, lambda one: one.get("claimed_issuer") == "CN=Stranger")
        assert line["kind"] == "handshake"
        assert "CERTIFICATE_VERIFY_FAILED" in line["failure"]
        assert line["claimed_subject"] == "CN=alice"

    def test_good_connections_are_not_logged_as_handshakes(self, door: CompiledDoor) -> None:
        """The listener's log holds failures only: requests and decisions are on record already."""
        door.site.ask("GET", "/accounts/7")
        time.sleep(0.1)
        assert all(
            one["failure"] or one["flags"] == "NR"
            for one in door.site.log_lines()
            if one["kind"] == "handshake"
        )

    def test_the_enrolment_door_logs_no_path(self, door: CompiledDoor) -> None:
        """A one-time token in a path never reaches the log."""
        door.site.ask("GET", "/i/one-time-token", host="enroll.test", certificate=None)
        _await_line(door, lambda one: one["application"] == "doorward_enrol")
        assert "one-time-token" not in (door.site.folder / "access.log").read_text()

    def test_quotes_do_not_break_a_line(self, door: CompiledDoor) -> None:
        """Any name in a certificate stays inside its JSON string."""
        door.site.client_certificate("quoting", by=door.site.stranger, name='"},{"kind":"request')
        door.site.alert("pay.test", "quoting")
        line = _await_line(door, lambda one: '"},{' in str(one.get("claimed_subject")).replace("\\", ""))
        assert line["kind"] == "handshake"


class TestProtocols:
    """HTTP/2 and upgrades."""

    @pytest.mark.parametrize(
        ("authority", "path", "status"),
        [
            ("pay.test", "/accounts/7", "200"),
            ("pay.test", "/else", "403"),
            ("other.test", "/accounts/7", "421"),
        ],
    )
    def test_http2_is_under_the_same_rules(
        self, door: CompiledDoor, authority: str, path: str, status: str
    ) -> None:
        """HTTP/2 requests meet the same rules, and coalesced ones for another host are misdirected."""
        context = door.site.tls("p256")
        context.set_alpn_protocols(["h2"])
        with door.site.connect("pay.test", context=context) as connection:
            fields = {":method": "GET", ":scheme": "https", ":authority": authority, ":path": path}
            assert _exchange_h2(connection, *fields.items())[":status"] == status

    def test_an_invalid_http2_message_ends_the_connection(self, door: CompiledDoor) -> None:
        """Request smuggling by forbidden HTTP/2 fields costs the whole connection."""
        context = door.site.tls("p256")
        context.set_alpn_protocols(["h2"])
        with door.site.connect("pay.test", context=context) as connection:
            fields = {":method": "GET", ":scheme": "https", ":authority": "pay.test", ":path": "/accounts/7"}
            answer = _exchange_h2(connection, *fields.items(), ("transfer-encoding", "chunked"))
        assert "ended" in answer

    def test_a_websocket_passes_if_a_rule_allows_it(self, door: CompiledDoor) -> None:
        """An upgrade is a GET under the rules; afterwards bytes flow both ways."""
        with door.site.connect("pay.test") as connection:
            head = _upgrade(connection, "/accounts/feed")
            assert head.startswith("HTTP/1.1 101")
            connection.sendall(b"ping")
            assert connection.recv(16) == b"ping"
        with door.site.connect("pay.test") as connection:
            assert _upgrade(connection, "/elsewhere").startswith("HTTP/1.1 403")

    @pytest.mark.parametrize(
        ("field", "status"),
        [
            ("Upgrade", 101),
            ("keep-alive, Upgrade", 101),
            ("Upgrade, Doorward-Principal", 400),
            ("Client-Cert,upgrade", 400),
            ("upgrade, x-forwarded-for", 400),
        ],
    )
    def test_an_upgrade_cannot_strike_off_identity(self, door: CompiledDoor, field: str, status: int) -> None:
        """A proxy behind the door would remove headers named by Connection: of an upgrade it names nothing else."""
        with door.site.connect("pay.test") as connection:
            head = _upgrade(connection, "/accounts/feed", connection_field=field)
        assert head.startswith(f"HTTP/1.1 {status}")

    @pytest.mark.parametrize(
        "protocol", ["telnet", "TLS/1.2", "websocke", "websockets", "h2c", "TLS/1.0, HTTP/2.0"]
    )
    def test_other_upgrades_are_ignored(self, door: CompiledDoor, protocol: str) -> None:
        """RFC 9110 section 7.8: a server may ignore Upgrade; the application does not hear of it."""
        with door.site.connect("pay.test") as connection:
            came = exchange(connection, UPGRADE.format(protocol).encode(), answers=1)
        assert statuses(came) == [200]
        assert b'"upgrade"' not in came

    @pytest.mark.parametrize("protocol", ["websocket", "WebSocket", "h2c, websocket", "websocket, TLS/1.2"])
    def test_of_several_the_websocket_is_taken(self, door: CompiledDoor, protocol: str) -> None:
        """RFC 9110 section 7.8: the field is a list; only `websocket` reaches the application."""
        with door.site.connect("pay.test") as connection:
            came = exchange(connection, UPGRADE.format(protocol).encode(), quiet=0.2)
        assert statuses(came) == [101]
        assert b"upgrade: websocket" in came.lower()

    def test_an_application_that_refuses_the_websocket_is_heard(self, door: CompiledDoor) -> None:
        """Status and fields are the application's, Location among them; of its body the door says that it is gone."""
        with door.site.connect("pay.test") as connection:
            request = UPGRADE.format("websocket").replace("/accounts/feed", "/accounts/login-first")
            came = exchange(connection, request.encode(), answers=1)
        assert statuses(came) == [302]
        assert b"location: /login" in came
        assert b"did not open a WebSocket" in came

    def test_a_refusal_comes_before_100(self, door: CompiledDoor) -> None:
        """RFC 9110 section 10.1.1: who may not send is told before the body, and is never asked for it."""
        head = "POST {} HTTP/1.1\r\nHost: pay.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        with door.site.connect("pay.test") as connection:
            assert statuses(exchange(connection, head.format("/nothing").encode(), answers=1)) == [403]
        with door.site.connect("pay.test") as connection:
            assert statuses(exchange(connection, head.format("/transfers").encode(), quiet=0.2)) == [100]
            assert statuses(exchange(connection, b"hello", answers=1)) == [200]

    def test_early_hints_arrive(self, door: CompiledDoor) -> None:
        """RFC 8297: 103 is for the browser."""
        with door.site.connect("pay.test") as connection:
            request = b"GET /accounts/early HTTP/1.1\r\nHost: pay.test\r\n\r\n"
            came = exchange(connection, request, answers=1)
        assert statuses(came) == [103, 200]
        assert b"link: </a.css>" in came.lower()

    @pytest.mark.parametrize("count", [110, 250, 480])
    def test_many_small_cookies_arrive(self, door: CompiledDoor, count: int) -> None:
        """RFC 9113 section 8.2.3: a browser may send each cookie as a field of its own; the application gets one."""
        cookies = [("cookie", f"c{number}=" + "v" * 40) for number in range(count)]
        context = door.site.tls("p256")
        context.set_alpn_protocols(["h2"])
        with door.site.connect("pay.test", context=context) as connection:
            heard = H2Client(connection).ask("/accounts/7", *cookies)
        assert heard.status == 200, heard
        (line,) = (value for name, value in heard.seen()["headers"] if name == "cookie")
        assert len(line.split("; ")) == count

    def test_many_header_lines_pass_both_ways(self, door: CompiledDoor) -> None:
        """Hundreds of fields of some 100 bytes; an answer may set as many cookies."""
        fields = [(f"X-{number}", "v" * 100) for number in range(400)]
        answer = door.site.ask("GET", "/accounts/7", headers=fields)
        assert "got more than 100 headers" in answer.body  # the application's own limit, behind the door
        with door.site.connect("pay.test") as connection:
            request = b"GET /accounts/cookies HTTP/1.1\r\nHost: pay.test\r\n\r\n"
            came = exchange(connection, request, answers=1)
        assert statuses(came) == [200]
        assert came.lower().count(b"set-cookie:") == 300

    def test_beyond_the_limit_it_says_so(self, door: CompiledDoor) -> None:
        """RFC 6585 section 5: 431, with a sentence."""
        answer = door.site.ask("GET", "/accounts/7", headers=[("X-Large", "v" * 70_000)])
        assert answer.status == 431
        assert "too large or too many" in answer.body

    def test_an_old_version_reads_why(self, door: CompiledDoor) -> None:
        """RFC 9110 section 15.5.22: 426, with a sentence."""
        with door.site.connect("pay.test") as connection:
            came = exchange(connection, b"GET /accounts/7 HTTP/1.0\r\nHost: pay.test\r\n\r\n", answers=1)
        assert statuses(came) == [426]
        assert b"HTTP/1.1 and HTTP/2" in came

    def test_a_method_of_webdav_is_judged_by_rules(self, door: CompiledDoor) -> None:
        """RFC 3253: over HTTP/1.1 no list of the parser stands before the rules."""
        assert door.site.ask("VERSION-CONTROL", "/accounts/7").status == 403
        door.authorizer.facts = facts_of(id_of("other", APPS["other"][0]))
        answer = door.site.ask("VERSION-CONTROL", "/accounts/7", host="other.test")
        assert (answer.status, answer.seen["method"]) == (200, "VERSION-CONTROL")

    def test_a_refused_grpc_call_is_on_record_as_refused(self, door: CompiledDoor) -> None:
        """Envoy answers with 200 and a code; the record has the status of the refusal."""
        answer = door.site.ask("POST", "/grpc.Service/Call", headers=[("Content-Type", "application/grpc")])
        assert (answer.status, answer.headers["grpc-status"]) == (200, "7")
        event = parse_access_line(
            json.dumps(_logged(door, "/grpc.Service/Call")).encode(), "gtw_aaaaaaaaaaaaaaaaaaaa"
        )
        assert event is not None
        assert (event.data["status"], event.data["reason"]) == (403, "no-allow-rule")

    def test_cleartext_http2_is_no_way_past_the_rules(self, door: CompiledDoor) -> None:
        """An upgrade to h2c is ignored, and the application never hears of it."""
        fields = [
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABk"),
        ]
        answer = door.site.ask("GET", "/accounts/7", headers=fields)
        assert answer.status == 200
        assert not {"upgrade", "connection", "http2-settings"} & {name for name, _ in answer.seen["headers"]}


def _exchange_h2(connection: ssl.SSLSocket, *headers: tuple[str, str]) -> dict[str, str]:
    """Send one request by HTTP/2 and return the answer's headers, or what ended the connection."""
    machine = h2.connection.H2Connection(
        h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    )
    machine.initiate_connection()
    machine.send_headers(1, list(headers), end_stream=True)
    while True:
        connection.sendall(machine.data_to_send())
        data = connection.recv(65536)
        if not data:
            return {"ended": "closed"}
        for event in machine.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                return {name.decode(): value.decode() for name, value in event.headers}
            if isinstance(event, h2.events.ConnectionTerminated | h2.events.StreamReset):
                return {"ended": str(event.error_code)}


def _upgrade(
    connection: ssl.SSLSocket,
    path: str,
    *,
    protocol: str = "websocket",
    connection_field: str = "Upgrade",
) -> str:
    """Ask for another protocol; return the head of the answer."""
    fields = {
        "Host": "pay.test",
        "Connection": connection_field,
        "Upgrade": protocol,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    return head.decode()


def _await_line(door: CompiledDoor, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [one for one in door.site.log_lines() if wanted(one)]
        if found:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(door.site.log_lines()[-3:])


def _logged(door: CompiledDoor, path: str) -> dict[str, Any]:
    """Return the line of a request for this path, once it is there."""
    deadline = time.monotonic() + 60
    while not (found := [one for one in door.site.log_lines() if one.get("path") == path]):
        assert time.monotonic() < deadline, "no line came"
        time.sleep(0.02)
    return found[0]
