"""Parsing one line of Envoy's access log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.audit.events import EventType, build_event
from doorward.enforcement.envoy.logs import (
    build_connection_log,
    build_handshake_log,
    build_open_log,
    build_request_log,
)
from doorward.enforcement.envoy.names import ENROL_CHAIN, FOREIGN_PROTOCOL_CHAIN
from doorward.gateway.access_log import lines as module
from doorward.gateway.access_log.lines import LONGEST_LINE, AccessLine, Sender, parse_access_line, sender_of
from doorward.policy.model import UnixUpstream
from tests.support.log_lines import joined
from tests.support.ports import NOON

GATEWAY = "gtw_aaaaaaaaaaaaaaaaaaaa"
APP = "app_bbbbbbbbbbbbbbbbbbbb"
REFUSED_BY_RULES = "rbac_access_denied_matched_policy[none]"
REQUEST = {
    "kind": "request",
    "time": "2026-11-23T12:00:00.123Z",
    "connection": "17",
    "remote": "192.0.2.7:55000",
    "application": APP,
    "method": "GET",
    "path": "/accounts/7",
    "status": 200,
    "flags": "UF",
    "duration_ms": 3,
    "bytes_sent": 120,
    "bytes_received": 0,
    "principal": "per_cccccccccccccccccccc",
    "certificate": "crt_dddddddddddddddddddd",
    "decision": "evt_eeeeeeeeeeeeeeeeeeee",
    "detail": "via_upstream",
    "rule": "gabc",
    "request": "4f1c",
    "protocol": "HTTP/1.1",
}
HANDSHAKE = {
    "kind": "handshake",
    "time": "2026-11-23T12:00:00Z",
    "connection": "18",
    "remote": "[2001:db8::1]:5000",
    "application": APP,
    "flags": "-",
    "tls": "-",
    "server_name": "bank.test",
    "failure": "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
    "claimed_sha256": "ab" * 32,
    "claimed_serial": "0a0b",
    "claimed_subject": "CN=alice",
    "claimed_issuer": "CN=x",
    "claimed_uri": "spiffe://corp.example/person/alice",
}


def _parse(value: dict[str, Any]) -> AccessLine | None:
    return parse_access_line(json.dumps(value).encode(), GATEWAY)


def _fits(line: AccessLine) -> None:
    build_event(
        id="evt_aaaaaaaaaaaaaaaaaaaa",
        type=line.type,
        at=NOON,
        tenant="ten_default",
        actor=line.actor,
        data=line.data,
        personal=line.personal,
    )


def test_a_request_becomes_an_event_of_its_principal() -> None:
    """A request line names method, status, rule and principal; address and path are personal."""
    line = _parse(REQUEST)
    assert line is not None
    assert line.type is EventType.REQUEST_ANSWERED
    assert line.actor == "per_cccccccccccccccccccc"
    assert line.data["status"] == 200
    assert line.data["rules"] == ["gabc"]
    assert line.personal == {"source": "192.0.2.7", "path": "/accounts/7"}
    _fits(line)


def test_a_request_names_its_decision() -> None:
    """The event of a request names the event of the decision that let its connection in."""
    line = _parse(REQUEST)
    assert line is not None
    assert line.data["decision"] == "evt_eeeeeeeeeeeeeeeeeeee"


@pytest.mark.parametrize(
    ("halves", "reason"),
    [
        ({"cleared": "allowed", "detail": REFUSED_BY_RULES}, "no-allow-rule"),
        ({"cleared": None, "detail": REFUSED_BY_RULES}, "no-allow-rule"),
        ({"cleared": "denied", "detail": REFUSED_BY_RULES}, "deny-rule"),
        ({"cleared": "allowed", "detail": "via_upstream"}, None),
        ({"moved": "denied", "detail": REFUSED_BY_RULES}, "destination-not-allowed"),
        ({"route": "header-name-refused", "cleared": "allowed"}, "header-name-refused"),
        ({"route": "another", "cleared": "allowed"}, None),
        ({"detail": "path_normalization_failed"}, "path-ambiguous"),
        ({}, None),
    ],
)
def test_a_refusal_of_the_door_is_told_from_the_application_s(
    halves: dict[str, Any], reason: str | None
) -> None:
    """A 403 of the door says which half of the rules refused; one of the application has no reason."""
    line = _parse({**REQUEST, **halves, "status": 403})
    assert line is not None
    assert line.data.get("reason") == reason
    _fits(line)


@pytest.mark.parametrize(
    ("status", "reason"), [(302, "factor-missing"), (401, "factor-missing"), (403, "no-allow-rule")]
)
def test_a_missing_factor_is_told_from_a_missing_rule(status: int, reason: str) -> None:
    """The rules' refusal becomes a redirect or a challenge only if a factor would help."""
    line = _parse({**REQUEST, "detail": REFUSED_BY_RULES, "status": status})
    assert line is not None
    assert line.data["reason"] == reason
    _fits(line)


CONNECTION: dict[str, Any] = {
    "kind": "connection",
    "time": "2026-11-23T12:00:00.000Z",
    "connection": 7,
    "remote": "192.0.2.7:5000",
    "flags": "UF",
    "duration_ms": 1500,
    "bytes_received": 12,
    "bytes_sent": 34,
    "principal": "per_alice",
    "certificate": "crt_alice",
    "decision": "evt_one",
    "application": APP,
    "detail": None,
}


def test_a_connection_that_ended() -> None:
    """The principal, the duration, the bytes each way; the actor is the principal."""
    line = _parse(CONNECTION)
    assert line is not None
    assert line.type is EventType.CONNECTION_CLOSED
    assert line.actor == "per_alice"
    assert line.personal == {"source": "192.0.2.7"}
    assert {
        key: line.data[key] for key in ("application", "duration_ms", "bytes_received", "bytes_sent")
    } == {
        "application": APP,
        "duration_ms": 1500,
        "bytes_received": 12,
        "bytes_sent": 34,
    }
    assert "reason" not in line.data
    _fits(line)
    refused = _parse({**CONNECTION, "detail": REFUSED_BY_RULES})
    assert refused is not None
    assert refused.data["reason"] == "rules-changed"
    assert sender_of(CONNECTION) == Sender(key="crt_alice", kind=EventType.CONNECTION_CLOSED, limited=False)
    stranger = sender_of({**CONNECTION, "certificate": None})
    assert stranger is not None
    assert stranger.limited


def test_a_foreign_protocol_is_a_handshake_that_was_not_begun() -> None:
    """The listener's line has neither a failure nor a flag; the chain says it."""
    value = {**HANDSHAKE, "failure": None, "flags": "-", "application": FOREIGN_PROTOCOL_CHAIN}
    line = _parse(value)
    assert line is not None
    assert line.data["reason"] == "application-protocol-refused"
    assert "application" not in line.data
    sender = sender_of(value)
    assert sender is not None
    assert sender.limited
    _fits(line)


@pytest.mark.parametrize(
    ("log", "lines"),
    [
        (
            build_request_log("/l", APP, UnixUpstream(path="/run/a.sock"), destination=True),
            (
                {**REQUEST, "detail": REFUSED_BY_RULES, "attempts": 2},
                {**REQUEST, "cleared": "denied"},
                {**REQUEST, "route": "foreign-origin"},
                {**REQUEST, "moved": "denied"},
                {**REQUEST, "route": "misdirected"},
                {**REQUEST, "detail": "direct_response", "grpc": 7},
            ),
        ),
        (
            build_open_log("/l", "doorward_enrol"),
            (
                {**REQUEST, "application": ENROL_CHAIN},
                {**REQUEST, "route": "misdirected"},
                {**REQUEST, "detail": "direct_response", "grpc": 7},
            ),
        ),
        (build_connection_log("/l", APP), (CONNECTION, {**CONNECTION, "detail": REFUSED_BY_RULES})),
        (
            build_handshake_log("/l"),
            ({**HANDSHAKE, "tls": "TLSv1.3"}, {**HANDSHAKE, "failure": None, "flags": "NR"}),
        ),
    ],
    ids=["request", "enrolment", "connection", "handshake"],
)
def test_every_field_that_envoy_writes_is_read(
    log: dict[str, Any], lines: tuple[dict[str, Any], ...]
) -> None:
    """Without any one field of the log format some event would say something else: nothing is written in vain."""
    config = log.get("typed_config") or log
    for name in joined(config["log_format"]["json_format"]):
        assert any(_parse(line) != _parse({**line, name: None}) for line in lines), name


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ({"detail": "rbac_access_denied_matched_policy[none]", "grpc": 7}, 403),
        ({"detail": "direct_response", "route": "misdirected", "grpc": 2}, 421),
        ({"detail": "direct_response", "grpc": 12}, 404),
        ({"detail": "upstream_reset_before_response_started", "grpc": 14}, 503),
        ({"detail": "direct_response", "grpc": 2}, 500),
        ({"detail": "direct_response", "grpc": None}, 200),
        ({"detail": "direct_response", "grpc": 0}, 200),
        ({"detail": "via_upstream", "grpc": 7}, 200),
    ],
)
def test_a_refused_grpc_call_is_recorded_as_refused(line: dict[str, Any], status: int) -> None:
    """Envoy answers gRPC with 200 and a code in a trailer; the record says what the refusal was."""
    event = _parse({**REQUEST, **line})
    assert event is not None
    assert event.data["status"] == status
    _fits(event)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("TLS_error:|33554464:system library:OPENSSL_internal:Success:TLS_error_end", "connection-lost"),
        ("TLS_error:|33554536:system library:OPENSSL_internal:Connection reset by peer", "connection-lost"),
        ("TLS_error:|1:SSL routines:OPENSSL_internal:Something odd", "handshake-failed"),
        ("TLS_error:|1:SSL routines:OPENSSL_internal:UNKNOWN_CA:TLS_error_end", "unknown-ca"),
        ("TLS_error:|1:SSL routines:OPENSSL_internal:UNKNOWN_CA", "unknown-ca"),
    ],
)
def test_a_failed_handshake_has_a_whole_reason(failure: str, reason: str) -> None:
    """A word of errno is no reason of TLS, and no part of a word is one."""
    event = _parse({**HANDSHAKE, "failure": failure})
    assert event is not None
    assert event.data["reason"] == reason
    _fits(event)


@pytest.mark.parametrize(("attempts", "told"), [(0, None), (1, None), (2, 2), ("2", None), (None, None)])
def test_a_second_try_is_on_record(attempts: object, told: int | None) -> None:
    """RFC 9110 section 9.2.2: a request that was sent again has its number of attempts; a single attempt has none."""
    line = _parse({**REQUEST, "attempts": attempts})
    assert line is not None
    assert line.data.get("attempts") == told
    _fits(line)


def test_what_is_unknown_is_left_out() -> None:
    """Dashes and nulls of Envoy, and ids that are none, do not reach the event."""
    line = _parse(
        {
            **REQUEST,
            "principal": "-",
            "certificate": None,
            "decision": "-",
            "rule": "-",
            "duration_ms": "x",
            "time": "now",
            "status": None,
            "method": None,
            "remote": None,
        }
    )
    assert line is not None
    assert line.actor == "system"
    assert line.data["status"] == 0
    assert line.data["method"] == "UNREADABLE"
    assert not {"principal", "decision"} & line.data.keys()
    assert "started_at" not in line.data
    assert "source" not in line.personal
    _fits(line)


def test_a_moment_without_zone_is_left_out() -> None:
    """A time that does not say its zone is no moment."""
    line = _parse({**REQUEST, "time": "2026-11-23T12:00:00"})
    assert line is not None
    assert "started_at" not in line.data


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_moment_beyond_the_calendar_is_left_out(time: str) -> None:
    """A time without a date in UTC is left out, and does not stop the lines after it."""
    line = _parse({**REQUEST, "time": time})
    assert line is not None
    assert line.type is EventType.REQUEST_ANSWERED
    assert "started_at" not in line.data


def test_a_line_that_fails_to_parse_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the reader itself costs one line: it is recorded as unreadable."""

    def fault(_value: object, _gateway_id: str) -> None:
        raise OverflowError

    monkeypatch.setattr(module, "_request", fault)
    line = _parse(REQUEST)
    assert line is not None
    assert line.type is EventType.ACCESS_MALFORMED


def test_the_enrolment_door_keeps_no_path() -> None:
    """A request at the enrolment host is recorded without its path."""
    line = _parse({**REQUEST, "application": "doorward_enrol"})
    assert line is not None
    assert "path" not in line.personal
    assert "application" not in line.data


def test_a_failed_handshake_is_labelled_as_claimed() -> None:
    """The identity in a failed handshake is in fields called `claimed_…`, because nothing has proved it."""
    line = _parse(HANDSHAKE)
    assert line is not None
    assert line.type is EventType.HANDSHAKE_FAILED
    assert line.data["reason"] == "certificate-verify-failed"
    assert line.personal["claimed_subject"] == "CN=alice"
    assert line.personal["source"] == "2001:db8::1"
    assert not {name for name in (*line.data, *line.personal) if name in {"principal", "subject", "name"}}
    _fits(line)


def test_an_unknown_server_name_is_a_failed_handshake() -> None:
    """A connection that found no chain has no TLS failure, but is on record."""
    line = _parse({**HANDSHAKE, "failure": None, "flags": "NR"})
    assert line is not None
    assert line.data["reason"] == "server-name-unknown"


def test_a_failure_without_a_name_is_on_record() -> None:
    """A failure in other words than BoringSSL's keeps its words as detail."""
    line = _parse({**HANDSHAKE, "failure": "peer went away", "claimed_sha256": "?"})
    assert line is not None
    assert line.data["reason"] == "handshake-failed"
    assert "claimed_sha256" not in line.data
    _fits(line)


def test_a_good_handshake_is_not_told_twice() -> None:
    """A successful handshake has no event: its decision is on record already."""
    assert _parse({**HANDSHAKE, "failure": "-", "flags": "-"}) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"17",
        b'{"kind": "other"}',
        b'{"kind": []}',
        b"\xff\xfe",
        b"[" * 5000,
        b"x" * (LONGEST_LINE + 1),
    ],
)
def test_an_unreadable_line_is_news_and_not_an_error(line: bytes) -> None:
    """Any bytes in the file give an event."""
    found = parse_access_line(line, GATEWAY)
    assert found is not None
    assert found.type is EventType.ACCESS_MALFORMED
    assert found.data["length"] == len(line)
    _fits(found)


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["request", "handshake"])},
        optional={
            name: st.one_of(
                st.none(), st.text(), st.integers(), st.booleans(), st.lists(st.text(), max_size=2)
            )
            for name in (set(REQUEST) | set(HANDSHAKE)) - {"kind"}
        },
    )
)
def test_any_value_in_any_field_fits_the_catalogue(value: dict[str, Any]) -> None:
    """No value that a peer can make Envoy write makes an event that cannot be recorded."""
    line = _parse(value)
    if line is not None:
        _fits(line)
