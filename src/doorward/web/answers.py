"""HTML pages as HTTP answers: in the reader's language, not cached, with a strict content security policy.

Not here: templates and styles (look), and which page is shown.
Standard: RFC 9111 section 5.2.2.5 (no-store); Content Security Policy level 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from doorward.core.errors import AccessDenied, DoorwardError, MalformedInput, RequestRefused, Unavailable
from doorward.web.edge import read_body
from doorward.web.look.error_texts import render_error_texts
from doorward.web.look.languages import language_of, remember_language
from doorward.web.look.rendering import Look, page_policy, translate
from doorward.web.problems import choose_status, incident_of
from doorward.wire.cookies import parse_cookie
from doorward.wire.forms import FORM_TYPE, MAX_FORM_BYTES, parse_form

MESSAGE = "portal/message.html"
CUT_DELAY_SECONDS = 0.2
"""Delay between an answer and the change that cuts its connection; the device still loses access within a second."""

PAGE_KINDS = (MalformedInput, RequestRefused, AccessDenied, Unavailable)
"""Errors that are explained on a page; any other error is an incident."""


class Pages:
    """Makes answers from templates.

    Args:
        look: the templates of this installation.
    """

    def __init__(self, look: Look) -> None:
        self.look = look

    def page(
        self,
        request: Request,
        template: str,
        context: Mapping[str, Any],
        *,
        status: int = 200,
        cookies: Sequence[str] = (),
    ) -> Response:
        """Return a page.

        Args:
            request: the request to answer.
            template: name of the template.
            context: values for the template.
            status: the HTTP status.
            cookies: Set-Cookie fields.
        """
        text = self.look.render(template, context, language_of(request))
        answer = HTMLResponse(
            text,
            status_code=status,
            headers={
                "Content-Security-Policy": page_policy(),
                "Cache-Control": "no-store",
                # With `no-referrer`, browsers would send `Origin: null` with a form (Fetch section 3.2, "serialize a request
                # origin"). With `same-origin`, other origins still get no referrer.
                "Referrer-Policy": "same-origin",
                "Vary": "Accept-Language, Cookie",
            },
        )
        remember_language(request, answer)
        return with_cookies(answer, cookies)

    def message(
        self,
        request: Request,
        *,
        title: str,
        text: str,
        hint: str = "",
        action: tuple[str, str] | None = None,
        status: int = 200,
        cookies: Sequence[str] = (),
        **values: object,
    ) -> Response:
        """Return a page with one message and at most one thing to do.

        Args:
            request: the request to answer.
            title: what happened; marked for translation, like all texts here.
            text: why.
            hint: what to do.
            action: a URL of ours and the text of its link.
            status: the HTTP status.
            cookies: Set-Cookie fields.
            values: for placeholders in the texts.
        """
        language = language_of(request)
        context = {
            "title": translate(title, language, **values),
            "text": translate(text, language, **values) if text else "",
            "hint": translate(hint, language, **values) if hint else "",
            "action": (action[0], translate(action[1], language, **values)) if action else None,
        }
        return self.page(request, MESSAGE, context, status=status, cookies=cookies)

    def refusal(self, request: Request, error: DoorwardError) -> Response:
        """Return the page of an error; raise the error again if a program asks, or if it is an incident."""
        if not isinstance(error, PAGE_KINDS) or not wants_page(request):
            raise error
        title, hint = render_error_texts(error, language_of(request))
        incident = incident_of(request.headers.get("x-request-id", ""))
        context = {"title": title, "text": "", "hint": hint, "action": None, "incident": incident}
        return self.page(request, MESSAGE, context, status=choose_status(error))


def wants_page(request: Request) -> bool:
    """Say whether a person reads the answer: browsers list text/html in Accept, programs do not."""
    return "text/html" in request.headers.get("accept", "")


def redirect(path: str, cookies: Sequence[str] = ()) -> Response:
    """Return a redirect to be followed with GET (RFC 9110 section 15.4.4)."""
    answer = RedirectResponse(path, status_code=303, headers={"Cache-Control": "no-store"})
    return with_cookies(answer, cookies)


def with_cookies(answer: Response, cookies: Sequence[str]) -> Response:
    """Return an answer with these Set-Cookie fields."""
    for one in cookies:
        answer.headers.append("Set-Cookie", one)
    return answer


def cookie_of(request: Request, name: str) -> str:
    """Return the request's cookie with that name; empty if there is none; raises as `parse_cookie`."""
    return parse_cookie(request.headers.getlist("cookie"), name)


async def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of a form.

    Raises:
        MalformedInput: `media-type-wrong`, `body-too-large`, `form-malformed`.
        Unavailable: `request-too-slow`.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise MalformedInput("media-type-wrong", f"send a form, as {FORM_TYPE}")
    return parse_form(await read_body(request, MAX_FORM_BYTES))
