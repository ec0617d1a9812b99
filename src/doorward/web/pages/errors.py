"""Pages for errors that a surface does not handle itself: not found, unavailable, internal error.

Not here: refusals, which have texts of their own (`web.answers`), and problem documents (`web.problems`).
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from doorward.core.errors import DoorwardError, NotFound, Unavailable
from doorward.web.edge import ErrorPage
from doorward.web.look.languages import language_of
from doorward.web.look.rendering import Look
from doorward.web.pages.message import Message, answer_message, wants_page
from doorward.web.pages.states import ActionTarget
from doorward.web.problems import choose_status

_BY_STATUS = {
    HTTPStatus.NOT_FOUND: "nothing-here",
    HTTPStatus.METHOD_NOT_ALLOWED: "not-offered",
}


def build_error_page(look: Look) -> ErrorPage:
    """Return the function that makes the error pages of one surface.

    Args:
        look: the templates of the surface.
    """

    def answer(request: Request, error: Exception, incident: str) -> Response | None:
        state = _state_of(error)
        if not state or not wants_page(request):
            return None
        message = Message(
            state=state,
            language=language_of(request),
            values={"application": look.brand.name},
            incident=incident,
            targets={ActionTarget.AGAIN: "", ActionTarget.ROOT: "/"},
        )
        return answer_message(look, request, message)

    return answer


def _state_of(error: Exception) -> str:
    match error:
        case HTTPException(status_code=status):
            return _BY_STATUS.get(HTTPStatus(status), "")
        case NotFound():
            return "nothing-here"
        case Unavailable():
            return "door-starting"
        case DoorwardError():
            return "internal-error" if choose_status(error) is HTTPStatus.INTERNAL_SERVER_ERROR else ""
        case _:
            return "internal-error"
