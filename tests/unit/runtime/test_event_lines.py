"""Events in one line for people."""

from __future__ import annotations

from typing import Any

import pytest

from doorward.core.names import PORTAL_APPLICATION
from doorward.runtime.event_lines import describe_event, result_of

AT = "2026-11-29T10:00:00.123456Z"
PERSON, APP = "per_" + "a" * 20, "app_" + "p" * 20


class Known:
    """Names for tests."""

    def principal(self, principal_id: str) -> str:
        """Alice, or the id."""
        return "person/alice" if principal_id == PERSON else principal_id

    def application(self, application_id: str) -> str:
        """Pay, or the id."""
        return "pay" if application_id == APP else application_id


def event(
    kind: str, actor: str = "system", personal: dict[str, str] | None = None, **data: Any
) -> dict[str, Any]:
    """An event as the log gives it."""
    return {"id": "evt_1", "type": kind, "at": AT, "actor": actor, "data": data, "personal": personal or {}}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (event("crl:published", number=7, entries=2), "system  crl:published 7  ok"),
        (
            event("crl:published", number=7, base_number=3, entries=1),
            "system  crl:published 7 since 3  ok",
        ),
        (
            event("factor:failed", PERSON, principal=PERSON, application=APP, reason="factor-wrong"),
            "person/alice  factor:failed person/alice at pay  refused because factor-wrong",
        ),
        (
            event(
                "invitation:created",
                PERSON,
                {"name": "alice"},
                invitation="inv_1",
                principal=PERSON,
                profile="person",
            ),
            "person/alice  invitation:created person/alice  ok",
        ),
        (
            event("invitation:refused", "inv_1", principal=PERSON, reason="invitation-voided"),
            "inv_1  invitation:refused person/alice  refused because invitation-voided",
        ),
        (
            event(
                "request:answered",
                PERSON,
                {"path": "/a", "source": "192.0.2.7"},
                principal=PERSON,
                application=APP,
                method="GET",
                status=403,
                reason="no-allow-rule",
            ),
            "person/alice from 192.0.2.7  request:answered GET /a at pay  refused 403 because no-allow-rule",
        ),
        (
            event("request:answered", application=PORTAL_APPLICATION, method="GET", status=403),
            "system  request:answered GET at app_portal  refused 403",
        ),
        (
            event("request:answered", PERSON, principal=PERSON, method="GET", status=200, rules=["rul_1"]),
            "person/alice  request:answered GET  ok 200 because rule rul_1",
        ),
        (
            event("request:answered", PERSON, principal=PERSON, method="GET", status=200, rules=["no-rule"]),
            "person/alice  request:answered GET  ok 200 because no rule was needed",
        ),
        (
            event(
                "request:answered",
                "system",
                {"source": "192.0.2.9"},
                method="GET",
                status=503,
                detail="upstream",
            ),
            "192.0.2.9  request:answered GET  failed 503 because upstream",
        ),
        (
            event(
                "connection:closed",
                PERSON,
                {"source": "192.0.2.7"},
                principal=PERSON,
                application=APP,
                duration_ms=61_250,
                bytes_received=12,
                bytes_sent=3456,
            ),
            "person/alice from 192.0.2.7  connection:closed at pay  ok after 61.2 s, 12 bytes in, 3456 out",
        ),
        (
            event(
                "connection:refused",
                "system",
                {"source": "192.0.2.9", "claimed_subject": "CN=root"},
                application="app_gone",
                reasons=["certificate-well-formed", "issuer-unknown"],
            ),
            "192.0.2.9 (claims CN=root)  connection:refused at app_gone  refused because issuer-unknown",
        ),
        (
            event(
                "handshake:failed", "system", {"claimed_server_name": "wiki"}, reason="server-name-unknown"
            ),
            "system  handshake:failed at wiki (claimed)  refused because server-name-unknown",
        ),
        (
            event("principal:suspended", "os:0", principal=PERSON, reason="left"),
            "os:0  principal:suspended person/alice  ok because left",
        ),
        (
            event(
                "events:counted",
                "system",
                {"source": "192.0.2.9"},
                number=7,
                types=["handshake:failed"],
                reason="source-over-limit",
            ),
            "192.0.2.9  events:counted 7 of handshake:failed  ok because source-over-limit",
        ),
        (event("policy:applied", PERSON, revision=3), "person/alice  policy:applied 3  ok"),
    ],
)
def test_lines(given: dict[str, Any], line: str) -> None:
    """When, who, what, how it came out, why, and the id."""
    assert describe_event(given, Known()).line() == f"2026-11-29 10:00:00.123Z  {line}  evt_1"


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (event("request:answered", status=200), "ok"),
        (event("request:answered", status=404), "ok"),
        (event("request:answered", status=429), "refused"),
        (event("request:answered", status=403, reason="deny-rule"), "refused"),
        (event("request:answered", status=0), "failed"),
        (event("request:answered", status="x"), "failed"),
        (event("request:answered", status=502), "failed"),
        (event("connection:closed", response_flags="-"), "ok"),
        (event("connection:closed"), "ok"),
        (event("connection:closed", response_flags="UF,X"), "failed"),
        (event("connection:closed", reason="rules-changed"), "refused"),
        (event("invitation:refused", reason="x"), "refused"),
        (event("access:gap", reason="x"), "failed"),
        (event("certificate:issued"), "ok"),
    ],
)
def test_results(given: dict[str, Any], result: str) -> None:
    """A refusal is ours; an application's own 404 is an answer."""
    assert result_of(given) == result


def test_a_damaged_event_is_told_too() -> None:
    """A leaf that somebody altered stops no reading."""
    assert describe_event({"at": "yesterday", "data": 7}, Known()).line().startswith("yesterday  system")


def test_what_a_stranger_claims_forges_no_column() -> None:
    """A subject of one's own making reads like the columns of another line; it stays within its own."""
    claimed = "CN=x)  connection:admitted at pay  ok  evt_2"
    refused = event("handshake:failed", personal={"source": "192.0.2.9", "claimed_subject": claimed})
    line = describe_event(refused, Known()).line()
    assert line.split("  ") == [
        "2026-11-29 10:00:00.123Z",
        "192.0.2.9 (claims CN=x) connection:admitted at pay ok evt_2)",
        "handshake:failed",
        "refused",
        "evt_1",
    ]
