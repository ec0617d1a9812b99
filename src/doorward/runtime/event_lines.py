"""An event in one line for people: time, actor, event, result, reason.

Not here: where events come from (`reading`), and any judgement: a line says what the event says. What a peer
said about itself is called claimed here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from doorward.core.names import PORTAL_APPLICATION
from doorward.enforcement.envoy.rules import NO_RULE

_NO_RULE_NEEDED = "no rule was needed"
"""For a public path, or a preflight that the door answered."""

GOOD_REASONS = frozenset(
    {
        "certificate-well-formed",
        "issuer-known",
        "certificate-known",
        "certificate-valid",
        "path-valid",
        "certificate-in-time",
        "purpose-client",
        "revocation-status-good",
        "revocation-not-provided",
        "name-matches",
        "principal-active",
        "application-known",
        "rule-allows",
        "public-path",
    }
)
"""Reasons in favour; a refusal is described by the others."""

RESULTS = ("ok", "refused", "failed")
_REFUSED = (
    "connection:refused",
    "invitation:refused",
    "certificate:refused",
    "certificate:clone-suspected",
    "renewal:refused",
    "evidence:refused",
    "handshake:failed",
    "factor:failed",
    "session:refused",
)
_FAILED = (
    "evidence:unavailable",
    "gateway:rolled-back",
    "envoy:died",
    "access:gap",
    "access:malformed",
)
_NO_UPSTREAM = frozenset({"UF", "UH", "UO"})
"""Envoy's flags of a connection for which the application could not be reached."""
_WORST_ANSWER, _CLIENT_ERROR = 500, 400
_OUR_REFUSALS = frozenset({401, 403})
"""Statuses with which the portal refuses; Envoy records no reason, because it only passed the request on."""
_SHOWN_ID = 24


class Names(Protocol):
    """Looks up the present names of ids; returns the id if it is unknown."""

    def principal(self, principal_id: str) -> str:
        """Return `person/alice`."""
        ...

    def application(self, application_id: str) -> str:
        """Return the application's name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One event in words; `result` is one of `RESULTS`, `outcome` the same with its number or word."""

    at: str
    who: str
    what: str
    result: str
    outcome: str
    why: str
    id: str

    def line(self) -> str:
        """Return the line: two spaces separate columns, and no text within a column has two, not even claimed text."""
        why = f" because {self.why}" if self.why else ""
        columns = (self.at, self.who, self.what, f"{self.outcome}{why}", self.id)
        return "  ".join(" ".join(one.split()) for one in columns)


def describe_event(event: Mapping[str, Any], names: Names) -> EventLine:
    """Return an event in words.

    Args:
        event: as `Evidence.events` yields it.
        names: looks up names of ids.
    """
    data, personal = _part(event, "data"), _part(event, "personal")
    kind = str(event.get("type", ""))
    result = result_of(event)
    return EventLine(
        at=_when(str(event.get("at", ""))),
        who=_who(event, data, personal, names),
        what=_what(kind, data, personal, names),
        result=result,
        outcome=_outcome(kind, data, result),
        why=_why(kind, data),
        id=str(event.get("id", "")),
    )


def result_of(event: Mapping[str, Any]) -> str:
    """Return the result: `ok`, `refused` by us, or `failed`."""
    kind, data = str(event.get("type", "")), _part(event, "data")
    if kind in _REFUSED:
        return "refused"
    if kind == "request:answered":
        status = data.get("status", 0)
        ours = data.get("application") == PORTAL_APPLICATION and status in _OUR_REFUSALS
        if ours or data.get("reason") or (isinstance(status, int) and status == 429):  # noqa: PLR2004  too many
            return "refused"
        return "failed" if not isinstance(status, int) or not 0 < status < _WORST_ANSWER else "ok"
    if kind == "connection:closed":
        flags = set(str(data.get("response_flags", "")).split(","))
        return "refused" if data.get("reason") else "failed" if flags & _NO_UPSTREAM else "ok"
    return "failed" if kind in _FAILED else "ok"


def _who(event: Mapping[str, Any], data: Mapping[str, Any], personal: Mapping[str, Any], names: Names) -> str:
    actor, principal = str(event.get("actor", "system")), data.get("principal")
    acted_on = str(event.get("type", "")).partition(":")[0] not in {"connection", "request"}
    source = personal.get("source")
    if isinstance(principal, str) and not acted_on:
        return names.principal(principal) + (f" from {source}" if source else "")
    if actor != "system":
        return names.principal(actor) if "_" in actor else actor
    claimed = personal.get("claimed_subject")
    if source:
        return f"{source} (claims {claimed})" if claimed else str(source)
    return "system"


def _what(kind: str, data: Mapping[str, Any], personal: Mapping[str, Any], names: Names) -> str:
    words = [kind]
    if kind == "request:answered":
        words += [str(data.get("method", "")), str(personal.get("path", ""))]
    elif kind == "events:counted":
        words += [f"{data.get('number', 0)} of", ", ".join(map(str, data.get("types", ())))]
    elif kind.partition(":")[0] not in {"connection", "handshake"}:
        if principal := data.get("principal"):
            words.append(names.principal(str(principal)))
        shown = (
            "name",
            "partner_name",
            "inner_name",
            "group_name",
            "revision",
            "certificate",
            "kind",
            "subject",
            "url",
            "number",
        )
        words += [str(data[name]) for name in shown if data.get(name) not in (None, "")]
        if base := data.get("base_number"):  # of a delta CRL
            words.append(f"since {base}")
    if application := data.get("application"):
        words.append(f"at {names.application(str(application))}")
    elif server := personal.get("claimed_server_name"):
        words.append(f"at {server} (claimed)")
    return " ".join(one for one in words if one)


def _outcome(kind: str, data: Mapping[str, Any], result: str) -> str:
    if kind == "request:answered":
        return f"{result} {data.get('status', 0)}"
    if kind == "connection:closed" and isinstance(span := data.get("duration_ms"), int):
        taken, given = data.get("bytes_received", 0), data.get("bytes_sent", 0)
        return f"{result} after {span / 1000:.1f} s, {taken} bytes in, {given} out"
    return result


def _why(kind: str, data: Mapping[str, Any]) -> str:
    reasons = [str(one) for one in data.get("reasons", ()) if one not in GOOD_REASONS]
    if data.get("reason"):
        reasons.append(str(data["reason"]))
    detail, status = data.get("detail"), data.get("status")
    # For a path, the detail names rule and section; for a request or handshake, it is Envoy's own word for the reason.
    own = kind not in {"request:answered", "handshake:failed"}
    wrong = not isinstance(status, int) or status >= _CLIENT_ERROR
    if detail and (own or (wrong and not reasons)):
        reasons.append(str(detail))
    rules = [_NO_RULE_NEEDED if one == NO_RULE else f"rule {one}" for one in data.get("rules", ())]
    return ", ".join(reasons or rules)


def _when(text: str) -> str:
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except ValueError:
        return text[:_SHOWN_ID]


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = event.get(name)
    return value if isinstance(value, Mapping) else {}
