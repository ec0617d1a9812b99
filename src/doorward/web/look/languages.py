"""The language of a page: the person's choice, otherwise the browser's preference, otherwise English.

Standard: RFC 9110 section 12.5.4 (Accept-Language), RFC 4647 section 3.4 (look-up).
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from doorward.web.look.catalogues import CATALOGUES, SOURCE

LANGUAGE_COOKIE = "__Host-doorward.language"
"""The cookie with the chosen language, for a year; it contains no personal data.

Its name does not begin with `__Host-doorward-`: the door refuses a request with three cookies of that prefix, and after the
portal a browser has two.
"""

_YEAR = 365 * 24 * 3600
_MOST_CHARACTERS, _MOST_RANGES = 400, 16
_RANGE = re.compile(
    r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)(?:[ \t]*;[ \t]*q=([01](?:\.[0-9]{0,3})?))?", re.ASCII
)


def choose_language(accepted: str, *chosen: str) -> str:
    """Return one of our languages.

    Args:
        accepted: the Accept-Language field; malformed parts, and characters beyond 400, are ignored.
        chosen: the person's choices, best first; empty or unknown ones are ignored.
    """
    for one in chosen:
        if one in CATALOGUES:
            return one
    best, weight = SOURCE, 0.0
    for part in accepted[:_MOST_CHARACTERS].split(",")[:_MOST_RANGES]:
        found = _RANGE.fullmatch(part.strip())
        if not found:
            continue
        language, q = found[1].partition("-")[0].lower(), float(found[2] or 1)
        if language in CATALOGUES and q > weight:
            best, weight = language, q
    return best


def language_of(request: Request) -> str:
    """Return the language of the answer: `?lang=`, the cookie, Accept-Language, English."""
    accepted = request.headers.get("accept-language", "")
    return choose_language(
        accepted, request.query_params.get("lang", ""), request.cookies.get(LANGUAGE_COOKIE, "")
    )


def remember_language(request: Request, response: Response) -> None:
    """Store the language that the person chose on this page (`?lang=`) in a cookie, for the next pages."""
    chosen = request.query_params.get("lang", "")
    if chosen in CATALOGUES:
        response.set_cookie(
            LANGUAGE_COOKIE, chosen, max_age=_YEAR, path="/", secure=True, httponly=True, samesite="lax"
        )
