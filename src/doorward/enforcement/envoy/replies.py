"""Envoy's own replies (local replies) to refused people and programs: in plain words, with the application's name and no rule.

A browser gets a page in its language if the plan has pages, a client that asks for JSON gets a problem document, and any
other client gets a sentence. All have the incident id, by which `doorward explain` finds the request.

Not here: the sentence and the state for each case (`reply_cases`), and rendering pages (they are in the plan).
Standard: RFC 9457 (problem details), RFC 9110 section 12.5.4 (Accept-Language), W3C Fetch Metadata section 2.1.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from doorward.enforcement.envoy.extension import CEL
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.enforcement.envoy.reply_cases import (
    CONDITION_CASES,
    DEFAULT_SENTENCE,
    STATUS_CASES,
    ReplyCase,
    build_filter,
)
from doorward.enforcement.plan.pages import Placeholder, ReplyPages

INCIDENT = r"%CEL(re.extract(request.id, '^(.{4})(.{4}).*$', r'\1-\2'))%"
"""The first eight hexadecimal digits of the request's id, in two groups; `-` without an id (the headers were not read)."""

WHO = (
    rf"%CEL(re.extract(string(filter_state['{ConnectionFact.PRINCIPAL.state_key}']), '^[^/]*/(.*)$', r'\1'))%"
)
"""The name of the principal without its kind; `-` if there is none."""

_REQUEST_ID = "%REQ(X-REQUEST-ID):64%"
_VALUES = {
    Placeholder.INCIDENT: INCIDENT,
    Placeholder.MOMENT: "%START_TIME(%Y-%m-%dT%H:%M:%SZ)%",
    # Percent-encoded (wire.header_text): no `<`, no quotation mark.
    Placeholder.WHO: WHO,
}
_HEADERS_TOO_LARGE = 431
_DOCUMENT = {"name": "sec-fetch-dest", "string_match": {"exact": "document"}}
_NO_DESTINATION = {"name": "sec-fetch-dest", "present_match": False}
_HTML = {"name": "accept", "string_match": {"contains": "text/html"}}
_NO_ACCEPT = {"name": "accept", "present_match": False}


def build_local_replies(
    name: str, first: Sequence[dict[str, Any]] = (), pages: ReplyPages | None = None
) -> dict[str, Any]:
    """Return Envoy's own replies at one door; answers of the application pass unchanged.

    Args:
        name: the application's name.
        first: mappers that come before all others.
        pages: pages for browsers; without them there are only sentences.
    """
    # RFC 9110 section 15.3.5: an answer with status 204 (a preflight's) has no content.
    mappers = [*first, _mapper([_status_is(204)], {"text_format_source": {"inline_string": ""}})]
    for case in (*CONDITION_CASES, *STATUS_CASES):
        holds = build_filter(case.holds) if case.holds else _status_is(case.status)
        mappers += build_case(holds, case, name, pages)
    return {"mappers": mappers, "body_format": _text(DEFAULT_SENTENCE.format(name=name))}


def build_case(
    holds: dict[str, Any],
    case: ReplyCase,
    name: str,
    pages: ReplyPages | None,
    changes: Mapping[str, Any] = MappingProxyType({}),
    *,
    has_text: bool = True,
) -> list[dict[str, Any]]:
    """Return the replies of one case: pages for browsers, then the problem document, then the sentence.

    Args:
        holds: the filter of the case.
        case: the case.
        name: the application's name.
        pages: as in `build_local_replies`.
        changes: the status and more header fields of the replies.
        has_text: whether there is a sentence; without it, a client that gets no page gets the problem document.
    """
    sentence = case.sentence.format(name=name)
    mappers = []
    if pages is not None and case.state:
        mappers += _pages(holds, case, name, pages)
    asks = [holds, _header(_asks_for_json())] if has_text else [holds]
    mappers.append(_mapper(asks, _problem(sentence, case.state, name, pages)))
    mappers += [_mapper([holds], _text(sentence))] if has_text else []
    added = changes.get("headers_to_add", [])
    return [
        {**one, **changes, "headers_to_add": [*one.get("headers_to_add", []), *added]} if changes else one
        for one in mappers
    ]


def _pages(holds: dict[str, Any], case: ReplyCase, name: str, pages: ReplyPages) -> list[dict[str, Any]]:
    default, *others = pages.languages
    looks = _any(_header(_DOCUMENT), _header(_NO_DESTINATION))
    asks = [holds, _header(_HTML), looks]
    mappers = [
        _page([*asks, _header(_prefers(language))], pages.html[case.state, language], name, pages)
        for language in others
    ]
    mappers.append(_page(asks, pages.html[case.state, default], name, pages))
    if case.status == _HEADERS_TOO_LARGE:
        # If the headers are too large, Envoy knows no field, not even Accept. The client is a browser with many cookies.
        mappers.append(_page([holds, _header(_NO_ACCEPT)], pages.html[case.state, default], name, pages))
    return mappers


def _page(filters: list[dict[str, Any]], page: str, name: str, pages: ReplyPages) -> dict[str, Any]:
    body = {
        "text_format_source": {"inline_string": _filled(page, html.escape(name))},
        "content_type": "text/html; charset=utf-8",
        "formatters": [CEL],
    }
    fields = {"cache-control": "no-store", "content-security-policy": pages.policy}
    added = [
        {
            "header": {"key": key, "value": _escaped(value)},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for key, value in fields.items()
    ]
    return {**_mapper(filters, body), "headers_to_add": added}


def _filled(text: str, name: str) -> str:
    """Return a text with its placeholders replaced, as an Envoy format string in which every other `%` is literal."""
    text = _escaped(text).replace(Placeholder.APPLICATION.value, _escaped(name))
    for placeholder, value in _VALUES.items():
        text = text.replace(placeholder.value, value)
    return text


def _prefers(language: str) -> dict[str, Any]:
    regex = rf"(?i)[ \t]*{re.escape(language)}(?:[-,; \t].*)?"
    return {"name": "accept-language", "string_match": {"safe_regex": {"regex": regex}}}


def _mapper(filters: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    one = filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
    return {"filter": one, "body_format_override": body}


def _any(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"or_filter": {"filters": list(filters)}}


def _header(matcher: dict[str, Any]) -> dict[str, Any]:
    return {"header_filter": {"header": matcher}}


def _status_is(status: int) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": "doorward.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _asks_for_json() -> dict[str, Any]:
    return {"name": "accept", "string_match": {"contains": "json"}}


def _problem(sentence: str, state: str, name: str, pages: ReplyPages | None) -> dict[str, Any]:
    fields = {"type": "about:blank", "status": "%RESPONSE_CODE%", "detail": _escaped(sentence)}
    if pages is not None and state in pages.words:
        title, detail = (_filled(one, name) for one in pages.words[state])
        fields |= {"type": _escaped(f"{pages.problems}{state}"), "title": title, "detail": detail}
    fields |= {"incident": INCIDENT, "request": _REQUEST_ID}
    return {"json_format": fields, "content_type": "application/problem+json", "formatters": [CEL]}


def _text(sentence: str) -> dict[str, Any]:
    body = f"{_escaped(sentence)}\n\nStatus %RESPONSE_CODE%, incident {INCIDENT}\n"
    return {"text_format_source": {"inline_string": body}, "content_type": "text/plain; charset=utf-8"}


def _escaped(sentence: str) -> str:
    return sentence.replace("%", "%%")
