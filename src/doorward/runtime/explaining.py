"""What the record has about an id: a request, decision, certificate, session, factor, event or incident.

Not here: judging again (`doorward policy explain` says what a rule would do now). The record says what was
decided then, and why.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from doorward.authority.inventory import require_certificate
from doorward.core.errors import NotFound
from doorward.core.names import PORTAL_APPLICATION
from doorward.directory.help_desk import Explained
from doorward.runtime.advice import advise
from doorward.runtime.compose import Installation
from doorward.runtime.event_lines import describe_event, result_of
from doorward.runtime.explaining_sessions import find_facts
from doorward.runtime.incidents import find_incident, incident_of, parse_incident
from doorward.runtime.reading import Reader, Wanted

MOST_LINES = 20
"""How many related events are shown: the newest."""

MOST_DECISIONS = 2000
LONGEST_CONNECTION = timedelta(hours=12)
"""How far back the decision about a request's connection is looked for, if the request does not name it."""

_CONNECTION = ("gateway", "connection", "application")


def explain_id(installation: Installation, text: str) -> Explained:
    """Return what the record has about an id.

    Raises:
        NotFound: `id-unknown`.
        MalformedInput: `id-malformed`.
    """
    reader = Reader(installation)
    incident = find_incident(installation.layout.incidents, text)
    if incident is not None:
        return _incident(text, incident)
    digits = parse_incident(text)
    events = reader.of_incident(digits) if digits else reader.mentioning(text)
    if text.startswith("crt_"):
        return _certificate(installation, reader, text, events)
    kept = _kept(installation, reader, text, events)
    if kept is not None:
        return kept
    if not events:
        raise NotFound(
            "id-unknown",
            f"nothing in the record mentions the id '{text[:64]}'",
            hint="check that the id is complete. An event is in the record a second after it happened, while `doorward serve` "
            "runs. Of many refusals of one source only some have their own event (events:counted): "
            "search by time with `doorward audit tail --result refused --since 1h`",
        )
    requests = {str(one["data"]["request"]) for one in events} if digits else set()
    if len(requests) > 1:
        return _several(reader, digits, events)
    main = _main(events, requests.pop() if requests else text)
    around = [one for one in events if one is not main]
    decision = _decision_of(reader, main)
    around += (
        [decision] if decision is not None and decision["id"] not in {one["id"] for one in around} else []
    )
    return _event(reader, main, around, decision)


def _decision_of(reader: Reader, event: dict[str, Any]) -> dict[str, Any] | None:
    """Return the decision about a request's connection: by the id in the event, or for a refused one by the connection."""
    data = event.get("data", {})
    if named := data.get("decision"):
        return next((one for one in reader.mentioning(str(named)) if one["id"] == named), None)
    if "request" not in data or "connection" not in data:
        return None
    refused = reader.newest(
        Wanted(
            application_id=str(data.get("application", "")),
            event="connection",
            since=datetime.fromisoformat(event["at"]) - LONGEST_CONNECTION,
            until=datetime.fromisoformat(event["at"]),
        ),
        MOST_DECISIONS,
        end=reader.size(),
    )
    same = [one for one in refused if all(one["data"].get(key) == data.get(key) for key in _CONNECTION)]
    return same[-1] if same else None


def _several(reader: Reader, digits: str, events: list[dict[str, Any]]) -> Explained:
    """List the requests that share eight digits; a person knows by the time which one is meant."""
    shown = events[-MOST_LINES:]
    return Explained(
        title=f"{len(events)} requests have the incident id {digits[:4]}-{digits[4:]}",
        facts=(),
        lines=tuple(describe_event(one, reader).line() for one in shown),
        hints=("run `doorward explain` with the event id at the end of the line with the right time",),
        value={"events": shown},
    )


def _main(events: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Return the event with that id, or the first that mentions it."""
    own = [one for one in events if text in (one.get("id"), one.get("data", {}).get("request"))]
    return (own or events)[0]


def _event(
    reader: Reader,
    event: dict[str, Any],
    around: list[dict[str, Any]],
    decision: dict[str, Any] | None = None,
) -> Explained:
    line, data = describe_event(event, reader), event.get("data", {})
    facts = [("incident", incident_of(str(data["request"])))] if "request" in data else []
    facts += [("when", line.at), ("who", line.who), ("what", line.what), ("result", line.outcome)]
    facts += [("why", line.why)] if line.why else []
    if decision is not None and (decided := describe_event(decision, reader)).why:
        facts.append(("decided", f"{decided.outcome} because {decided.why}"))
    facts += [(name, _shown(value)) for name, value in data.items()]
    facts += [(f"{name} *", _shown(value)) for name, value in event.get("personal", {}).items()]
    facts.append(("event", line.id))
    return Explained(
        title=line.what,
        facts=tuple(facts),
        lines=tuple(describe_event(one, reader).line() for one in around[-MOST_LINES:]),
        hints=_hints(event, decision, reader),
        application=reader.application(str(data["application"])) if "application" in data else "",
        reasons=_reasons(event, decision) if result_of(event) == "refused" else (),
        value={"event": event, "decision": decision, "around": around[-MOST_LINES:]},
    )


def _certificate(
    installation: Installation, reader: Reader, text: str, events: list[dict[str, Any]]
) -> Explained:
    with installation.services.work.read() as stores:
        record = require_certificate(stores, text)
    holder = reader.principal(record.principal_id) if record.principal_id else record.subject_name
    facts = [
        ("holder", holder),
        ("state", record.state.value),
        ("reason", record.reason.value if record.reason else ""),
        ("valid from", f"{record.not_before:%Y-%m-%d %H:%M:%S}Z"),
        ("valid until", f"{record.not_after:%Y-%m-%d %H:%M:%S}Z"),
        ("serial", f"{record.serial:x}"),
        ("sha256", record.sha256),
    ]
    return Explained(
        title=f"certificate {record.id}",
        facts=tuple((name, value) for name, value in facts if value),
        lines=tuple(describe_event(one, reader).line() for one in events[-MOST_LINES:]),
        hints=(f"doorward cert show {record.id}", f"doorward audit tail --certificate {record.id}"),
        value={"certificate": dict(facts) | {"id": record.id}, "around": events[-MOST_LINES:]},
    )


def _kept(
    installation: Installation, reader: Reader, text: str, events: list[dict[str, Any]]
) -> Explained | None:
    """Return the stored facts of a session or a second factor, with its events."""
    services = installation.services
    with services.work.read() as stores:
        found = find_facts(stores, reader, text, services.clock.now())
    if found is None:
        return None
    title, facts = found
    name = dict(facts)["holder"].partition("/")[2]
    what = "session" if text.startswith("ses_") else "factor"
    return Explained(
        title=title,
        facts=tuple((word, value) for word, value in facts if value),
        lines=tuple(describe_event(one, reader).line() for one in events[-MOST_LINES:]),
        hints=(f"doorward {what} list {shlex.quote(name)}",),
        value={what: dict(facts) | {"id": text}, "around": events[-MOST_LINES:]},
    )


def _incident(text: str, line: dict[str, Any]) -> Explained:
    where = line.pop("where", None)
    facts = [(name, _shown(value)) for name, value in sorted(line.items()) if value not in ("", None)]
    return Explained(
        title=f"incident {text}: an unexpected error",
        facts=tuple(facts),
        lines=tuple(f"  {one}" for one in where) if isinstance(where, list) else (),
        hints=("this is a defect of the program: report it with these lines",),
        value={"incident": {**line, "where": where}},
    )


def _hints(event: Mapping[str, Any], decision: Mapping[str, Any] | None, reader: Reader) -> tuple[str, ...]:
    data = event.get("data", {})
    hints: tuple[str, ...] = ()
    if result_of(event) == "refused":
        known = {**(decision or {}).get("data", {}), **data}
        who = reader.principal(str(known["principal"])).partition("/")[2] if "principal" in known else ""
        explained = ""
        at_portal = (
            data.get("application") == PORTAL_APPLICATION
        )  # the portal has no rules and requires no step-up
        if who and "application" in data and not at_portal:
            asked = [str(data.get("method", "GET")), str(event.get("personal", {}).get("path", "/"))]
            words = ["--principal", who, "--app", reader.application(str(data["application"])), *asked]
            explained = f"doorward policy explain {shlex.join(words)}"
        status = data.get("status")
        hints = advise(
            _reasons(event, decision),
            status=status if isinstance(status, int) and not at_portal else 0,
            name=who,
            certificate=str(known.get("certificate", "")),
            explained=explained,
        )
    if certificate := data.get("certificate"):
        hints = (*hints, f"doorward explain {certificate}")
    return hints


def _reasons(event: Mapping[str, Any], decision: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the reasons of a refusal and of the decision about its connection."""
    data = event.get("data", {})
    known = {**(decision or {}).get("data", {}), **data}
    return tuple(filter(None, [*known.get("reasons", ()), str(data.get("reason", ""))]))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
