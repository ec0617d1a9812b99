"""Rendering a state as a page or as a problem document, with the same texts.

Not here: choosing the state (`states`, `surface`), and the templates.
Standard: RFC 9457 (problem details).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from doorward.web.look.dates import render_moment
from doorward.web.look.rendering import Look, mark, page_policy, translate, translate_markup
from doorward.web.pages.states import STATES, ActionTarget, PageAction
from doorward.web.problems import PROBLEM_TYPE

PROBLEMS_PATH = "/_doorward/problems/"
"""On each application's host, this path with the name of a state is the page that explains it: the `type` of problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The content of one answer.

    Args:
        state: a name in `STATES`.
        language: of the page; problem documents are in English.
        values: values for title and reason, such as `application`.
        why: replaces the reason of the state; marked for translation.
        incident: as `problems.incident_of` returns it.
        at: when it happened.
        facts: further pairs of name and value for the help desk, already translated.
        targets: URLs of buttons and links; an action without a URL is not shown.
        until: the end of the countdown on the page.
    """

    state: str
    language: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    why: str = ""
    incident: str = ""
    at: datetime | None = None
    facts: Sequence[tuple[str, object]] = ()
    targets: Mapping[ActionTarget, str] = field(default_factory=lambda: MappingProxyType({}))
    until: datetime | None = None


def wants_page(request: Request) -> bool:
    """Say whether a person reads the answer: the request is a navigation, or an older browser accepts HTML."""
    destination = request.headers.get("sec-fetch-dest", "")
    return "text/html" in request.headers.get("accept", "") and destination in {"", "document"}


def answer_message(
    look: Look, request: Request, message: Message, *, template: str = "door.html"
) -> Response:
    """Return the page of a state, or its problem document if a program asks."""
    status = STATES[message.state].status
    headers = {"Cache-Control": "no-store", "Vary": "Accept, Accept-Language, Sec-Fetch-Dest"}
    if STATES[message.state].reloads:
        headers["Retry-After"] = str(STATES[message.state].reloads[0])
    if not wants_page(request):
        return Response(
            json.dumps(describe_problem(message), ensure_ascii=False), status, headers, PROBLEM_TYPE
        )
    page = look.render(template, build_context(look, message), message.language)
    return HTMLResponse(page, status, headers | {"Content-Security-Policy": page_policy()})


def describe_problem(message: Message) -> dict[str, Any]:
    """Return the members of the problem document."""
    state = STATES[message.state]
    values = {name: _plain(value) for name, value in message.values.items()}
    return {
        "type": f"{PROBLEMS_PATH}{message.state}",
        "title": translate(state.title, "en", **values),
        "status": state.status,
        "detail": translate(message.why or state.why, "en", **values),
        "incident": message.incident,
    }


def build_context(look: Look, message: Message) -> dict[str, Any]:
    """Return the values for the template of a message."""
    state, language = STATES[message.state], message.language
    targets = dict(message.targets)
    if look.brand.help_address:
        targets.setdefault(ActionTarget.HELP, look.brand.help_address)
    offered = [one for one in state.button if one.target in targets]
    button = offered[:1]
    links = [
        one
        for one in state.links
        if one.target in targets and one.target not in {action.target for action in button}
    ]

    def shown(action: PageAction) -> tuple[str, str]:
        return translate(action.words, language, **message.values), targets[action.target]

    facts: list[tuple[str, object]] = []
    if message.incident:
        facts.append((translate(mark("Incident"), language), _id(message.incident)))
    if message.at is not None:
        facts.append((translate(mark("Time"), language), render_moment(message.at, language)))
    facts += message.facts
    facts.append((translate(mark("Number"), language), state.status))
    return {
        "icon_name": state.icon,
        "tone": state.tone,
        "title": translate(state.title, language, **message.values),
        "why": translate_markup(message.why or state.why, language, **message.values),
        "button": shown(button[0]) if button else None,
        "links": [shown(one) for one in links[:2]],
        "facts": facts,
        "reloads": ",".join(map(str, state.reloads)),
        "now": f"{message.at:%Y-%m-%dT%H:%M:%SZ}" if message.at and message.until else "",
        "until": f"{message.until:%Y-%m-%dT%H:%M:%SZ}" if message.until else "",
        "explains_certificates": message.state == "certificate-missing",
        "explains_another": any(one.target is ActionTarget.ANOTHER for one in (*button, *links[:2])),
    }


def _id(text: str) -> Markup:
    return Markup('<span class="id" data-copyable>{}</span>').format(text)


def _plain(value: object) -> object:
    return value.striptags() if isinstance(value, Markup) else value
