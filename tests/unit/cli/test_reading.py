"""Reading what happened: a line an event, filters, and one id explained."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.names import PORTAL_APPLICATION
from doorward.runtime.incidents import IncidentFile
from doorward.runtime.serve import Serve
from doorward.stores.events import new_event
from tests.support.factor_records import factor, session
from tests.unit.cli.conftest import DOCUMENT, Site

GATEWAY = "gtw_" + "a" * 20
REQUEST = "0f9c2f6e-0000-4000-8000-1234567890ab"


@pytest.fixture
def told(site: Site) -> Site:
    """A site with a refused request of alice on record."""
    installation = site.opened()
    certificate = site.certificate("alice")
    with installation.services.work.read() as stores:
        alice = stores.directory.by_name("alice")
    assert alice is not None
    event = new_event(
        installation.services,
        EventType.REQUEST_ANSWERED,
        actor=alice.id,
        data={
            "gateway": GATEWAY,
            "method": "GET",
            "status": 403,
            "reason": "no-allow-rule",
            "principal": alice.id,
            "certificate": certificate,
            "application": "app_" + "z" * 20,
            "request": REQUEST,
        },
        personal={"path": "/secret's", "source": "192.0.2.7"},
    )
    installation.services.work.record([event])
    Serve(installation).stop()  # sequences what waits
    installation.close()
    return site


def lines(site: Site, *words: str) -> list[str]:
    """The lines of `audit tail`."""
    return site.say("audit", "tail", *words).splitlines()


def test_a_line_an_event(told: Site) -> None:
    """When, who, what, result, why, id: without JSON, and with it all fields."""
    (last,) = lines(told, "-n", "1")
    assert "person/alice from 192.0.2.7  request:answered GET /secret's at app_" in last
    assert "refused 403 because no-allow-rule" in last
    value = json.loads(told.run("audit", "tail", "-n", "1", "--json").stdout)
    assert value["data"]["request"] == REQUEST


def test_filters(told: Site) -> None:
    """By person, certificate, event, result and time; together they narrow."""
    certificate = told.do("explain", REQUEST)["event"]["data"]["certificate"]
    for words in (
        ["--person", "alice"],
        ["--certificate", certificate],
        ["--event", "request"],
        ["--event", "request:answered", "--result", "refused", "--since", "1h"],
    ):
        assert "no-allow-rule" in lines(told, "-n", "1", *words)[0]
    assert lines(told, "--event", "request", "--until", "1h") == ["no event matches"]
    assert lines(told, "--event", "request", "--result", "ok") == ["no event matches"]
    assert len(lines(told, "-n", "1000")) > 3
    assert told.do("audit", "tail", "--person", "nobody-here", code=1)["code"] == "principal-unknown"
    assert told.do("audit", "tail", "--application", "nothing", code=1)["code"] == "application-unknown"
    assert told.do("audit", "tail", "--since", "soon", code=2)["code"] == "time-malformed"
    misspelt = told.do("audit", "tail", "--event", "certificates", code=2)
    assert (misspelt["code"], misspelt["hint"]) == ("event-unknown", "did you mean certificate?")


def test_a_request_is_explained(told: Site) -> None:
    """By the id that its page of refusal shows: who, what, why, and what to ask next."""
    text = told.say("explain", REQUEST)
    for word in ("person/alice", "refused 403", "no-allow-rule", "192.0.2.7"):
        assert word in text
    assert "doorward policy explain --principal alice --app app_zzzzzzzzzzzzzzzzzzzz GET" in text
    value = told.do("explain", REQUEST)
    assert value["event"]["data"]["request"] == REQUEST
    assert told.say("explain", value["event"]["id"]) == text


@pytest.mark.parametrize("typed", ["0f9c-2f6e", "0F9C 2F6E", "0f9c2f6e"])
def test_an_incident_id_leads_to_its_request(told: Site, typed: str) -> None:
    """As a person reads it out: in capitals, with a space, without the sign."""
    text = told.say("explain", typed)
    for word in ("0f9c-2f6e", "person/alice", "refused 403", "no-allow-rule", REQUEST):
        assert word in text
    assert told.do("explain", typed)["event"]["data"]["request"] == REQUEST


def record_request(site: Site, *events: tuple[EventType, dict[str, object], dict[str, object]]) -> None:
    """Put more events on record."""
    installation = site.opened()
    made = [
        new_event(
            installation.services, kind, actor="system", data={"gateway": GATEWAY, **data}, personal=said
        )
        for kind, data, said in events
    ]
    installation.services.work.record(made)
    Serve(installation).stop()
    installation.close()


def test_requests_that_share_an_incident_id_are_listed(told: Site) -> None:
    """Eight digits may come twice; each line ends with an id that is unique."""
    again = {"method": "GET", "status": 403, "request": REQUEST[:9] + "1" * 27}
    record_request(told, (EventType.REQUEST_ANSWERED, again, {"path": "/other"}))
    text = told.say("explain", "0f9c-2f6e")
    assert "2 requests have the incident id 0f9c-2f6e" in text
    assert "/secret" in text
    assert "/other" in text
    assert len(told.do("explain", "0f9c-2f6e")["events"]) == 2


def test_a_refused_connection_is_explained_by_its_decision(told: Site) -> None:
    """The request names no decision; that of its connection says why, and what to do."""
    application = "app_" + "z" * 20
    common = {"connection": "17", "application": application}
    reasons = ["certificate-well-formed", "certificate-expired"]
    asked = {
        "method": "GET",
        "status": 403,
        "reason": "connection-refused",
        "request": "abcd1234" + REQUEST[8:],
    }
    record_request(
        told,
        (EventType.CONNECTION_REFUSED, {**common, "reasons": reasons}, {}),
        (EventType.CONNECTION_REFUSED, {**common, "connection": "18", "reasons": ["issuer-unknown"]}, {}),
        (EventType.REQUEST_ANSWERED, {**common, **asked}, {"path": "/"}),
    )
    text = told.say("explain", "abcd-1234")
    assert "refused because certificate-expired" in text
    assert "issuer-unknown" not in text
    assert "doorward invite" in text


def test_an_unknown_incident_id_says_what_could_be_the_reason(told: Site) -> None:
    """Not recorded yet, only counted, or too old."""
    refused = told.do("explain", "ffff-ffff", code=1)
    assert refused["code"] == "id-unknown"
    for word in ("a second after", "events:counted", "audit tail"):
        assert word in refused["hint"]


def test_a_certificate_is_explained(told: Site) -> None:
    """Its holder, its state, and the newest events about it."""
    certificate = told.do("explain", REQUEST)["event"]["data"]["certificate"]
    text = told.say("explain", certificate)
    assert "person/alice" in text
    assert "certificate:issued" in text
    assert "no-allow-rule" in text


@pytest.mark.parametrize(("end", "state"), [(None, "open until"), ("ended", "ended at"), ("over", "expired")])
def test_a_session_is_explained(told: Site, end: str | None, state: str) -> None:
    """Whose it is, where, by which factors, whether it goes on, and what happened to it."""
    installation = told.opened()
    services = installation.services
    now = services.clock.now()
    with services.work.change() as stores:
        alice = stores.directory.by_name("alice")
        assert alice is not None
        made = session(
            "bank",
            principal_id=alice.id,
            application_id=PORTAL_APPLICATION,
            ends_at=now + timedelta(hours=-1 if end == "over" else 1),
            ended_at=now if end == "ended" else None,
        )
        stores.sessions.add(made)
        data = {"session": made.id, "principal": alice.id, "reason": "signed-out"}
        stores.outbox.add(new_event(services, EventType.SESSION_ENDED, actor=alice.id, data=data))
    Serve(installation).stop()
    installation.close()
    text = told.say("explain", made.id)
    for word in (
        "person/alice",
        "portal",
        state,
        "webauthn at",
        "192.0.2.7",
        "session:ended",
        "doorward session list alice",
    ):
        assert word in text
    assert told.do("explain", made.id)["session"]["id"] == made.id


def test_a_factor_is_explained(told: Site) -> None:
    """Whose it is, what kind, when it was used; nothing of its secret."""
    installation = told.opened()
    with installation.services.work.change() as stores:
        alice = stores.directory.by_name("alice")
        assert alice is not None
        made = factor("blue key", principal_id=alice.id)
        stores.factors.add(made)
    installation.close()
    text = told.say("explain", made.id)
    for word in ("person/alice", "webauthn", "blue key", "never", "portal.corp.example"):
        assert word in text
    assert "secret" not in text
    assert "secret" not in json.dumps(told.do("explain", made.id))
    assert told.do("explain", "fct_" + "q" * 20, code=1)["code"] == "id-unknown"


def test_an_incident_is_explained(told: Site) -> None:
    """What the log said of it."""
    keep = IncidentFile(told.opened().layout.incidents)
    keep(None, "error", {"incident": "0123456789ab", "kind": "KeyError", "where": ["edge.py:1 answer"]})
    text = told.say("explain", "0123456789ab")
    assert "KeyError" in text
    assert "edge.py:1 answer" in text


@pytest.mark.parametrize(
    ("text", "code", "exit_code"), [("nothing-of-this", "id-unknown", 1), ("a b", "id-malformed", 2)]
)
def test_what_is_unknown(told: Site, text: str, code: str, exit_code: int) -> None:
    """Says so, and what to look at."""
    assert told.do("explain", text, code=exit_code)["code"] == code


def test_a_list_gives_everything_or_says_that_there_is_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that ends at the hundredth row would be taken for all; a table says how to go on."""
    monkeypatch.setattr("doorward.cli.commands.cert._SHOWN", 1)
    monkeypatch.setattr("doorward.cli.commands.cert._PAGE", 1)
    issued = {site.certificate(name) for name in ("alice", "alice", "alice")}
    assert "there are more: continue with --after crt_" in site.say("cert", "list")
    for words in ((), ("--ending", "3650d")):
        listed = site.run("cert", "list", *words, "--csv")
        assert (len(listed.stdout.splitlines()), listed.stderr) == (4, "")
        rows = json.loads(site.run("cert", "list", *words, "--json").stdout)
        assert {row["id"] for row in rows} == issued
    limited = site.run("cert", "list", "--json", "--limit", "2")
    assert len(json.loads(limited.stdout)) == 2
    assert "there are more" in limited.stderr


def test_a_short_history_says_that_there_is_more(site: Site) -> None:
    """Also under --json, beside the document."""
    site.do("apply", "-f", "-", stdin=DOCUMENT.replace("[GET]", "[GET, HEAD]"))
    for words in ((), ("--json",)):
        assert "there are more" in site.run("policy", "history", "--limit", "1", *words).stderr
        assert "there are more" not in site.run("policy", "history", *words).stderr
