"""What a refused person or program reads: short, in plain words, naming the application and no rule.

Standard: RFC 9457 (problem details, for whoever asks for JSON).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from doorward.enforcement.envoy.sentences import SENTENCES, build_filter

WORDS = MappingProxyType(
    {
        400: "This request is malformed or has two meanings, so it was not passed on to {name}.",
        403: "You are known here, but you may not do this in {name}.",
        404: "There is nothing here.",
        405: "This method repeats the request in its answer; it was not passed on to {name}.",
        408: "This request did not arrive in time, so it was not passed on to {name}.",
        413: "This request is too large for {name}.",
        421: "This connection was made for {name}; open another one for this host.",
        426: "The door of {name} speaks HTTP/1.1 and HTTP/2, and no older version.",
        429: "Too many requests came from you at once. Wait a second, then try again: {name} did not get this one.",
        431: "The header fields of this request are too large or too many for {name}.",
        502: "The answer of {name} is malformed or its header fields are too large.",
        503: "{name} does not answer. It may be back shortly.",
        504: "{name} took too long to answer.",
    }
)
"""Status code to sentence; `{name}` is the application's name."""

OTHERWISE = "The door of {name} could not pass this request on."

_REQUEST_ID = "%REQ(X-REQUEST-ID):64%"


def build_local_replies(name: str, first: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return the replies of one door that Envoy gives itself; an application's own pass unchanged.

    `first` are mappers that stand before all others.
    """
    # RFC 9110 section 15.3.5: an answer with status 204 (a preflight's) has no content.
    mappers = [*first, _mapper([_status_is(204)], {"text_format_source": {"inline_string": ""}})]
    cases = [(build_filter(expression), words) for expression, words in SENTENCES]
    cases += [(_status_is(status), words) for status, words in WORDS.items()]
    for holds, words in cases:
        sentence = words.format(name=name)
        mappers.append(_mapper([holds, _asks_for_json()], _problem(sentence)))
        mappers.append(_mapper([holds], _text(sentence)))
    return {"mappers": mappers, "body_format": _text(OTHERWISE.format(name=name))}


def _mapper(filters: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    one = filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
    return {"filter": one, "body_format_override": body}


def _status_is(status: int) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": status, "runtime_key": "doorward.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _asks_for_json() -> dict[str, Any]:
    return {"header_filter": {"header": {"name": "accept", "string_match": {"contains": "json"}}}}


def _problem(sentence: str) -> dict[str, Any]:
    fields = {
        "type": "about:blank",
        "status": "%RESPONSE_CODE%",
        "detail": _escaped(sentence),
        "request": _REQUEST_ID,
    }
    return {"json_format": fields, "content_type": "application/problem+json"}


def _text(sentence: str) -> dict[str, Any]:
    body = f"{_escaped(sentence)}\n\nStatus %RESPONSE_CODE%, request {_REQUEST_ID}\n"
    return {"text_format_source": {"inline_string": body}, "content_type": "text/plain; charset=utf-8"}


def _escaped(sentence: str) -> str:
    return sentence.replace("%", "%%")
