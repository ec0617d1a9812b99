"""Errors as HTTP answers, in one place: problem documents with a stable code and a hint.

Not here: any decision. What an error means in HTTP is presentation; the use cases know nothing of it.
Only `code`, `detail` and `hint` of an error of ours are shown. Anything else becomes `internal-error`
with an incident id: the log has the id, the kind of exception and where it happened, and not its
text, which may repeat a request.
Standard: RFC 9457 (problem details), RFC 9110 section 15 (status codes), RFC 6750 section 3 (Bearer).
"""

from __future__ import annotations

import json
import secrets
import traceback
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import Response

from doorward.core.errors import (
    AccessDenied,
    DoorwardError,
    MalformedInput,
    NotFound,
    RequestRefused,
    Unavailable,
)

_log = structlog.get_logger("doorward.web")

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_BY_CODE = {
    "invitation-invalid": HTTPStatus.UNAUTHORIZED,
    "token-missing": HTTPStatus.UNAUTHORIZED,
    "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "csr-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "media-type-wrong": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "request-too-slow": HTTPStatus.REQUEST_TIMEOUT,
    "too-many-attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "method-wrong": HTTPStatus.METHOD_NOT_ALLOWED,
    "not-founded": HTTPStatus.SERVICE_UNAVAILABLE,
}
_BY_KIND: tuple[tuple[type[DoorwardError], HTTPStatus], ...] = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (MalformedInput, HTTPStatus.BAD_REQUEST),
    (RequestRefused, HTTPStatus.FORBIDDEN),
    (AccessDenied, HTTPStatus.FORBIDDEN),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def choose_status(error: DoorwardError) -> HTTPStatus:
    """Return the HTTP status of an error: by its code, else by its kind, else 500."""
    by_kind = (status for kind, status in _BY_KIND if isinstance(error, kind))
    return _BY_CODE.get(error.code) or next(by_kind, HTTPStatus.INTERNAL_SERVER_ERROR)


def render_problem(error: DoorwardError) -> Response:
    """Return the problem document of an error of ours.

    Standard: RFC 9457 section 3; `code` and `hint` are extension members, `type` is `about:blank`.
    """
    status = choose_status(error)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="doorward enrolment"'
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(error.context.get("retry_after_seconds", RETRY_AFTER_SECONDS))
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return render_internal(error)
    return _document(status, code=error.code, detail=error.detail, hint=error.hint, headers=headers)


def render_http_error(error: HTTPException) -> Response:
    """Return the problem document of a refusal by the router: unknown path, wrong method."""
    status = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "path-unknown", HTTPStatus.METHOD_NOT_ALLOWED: "method-wrong"}.get(
        status, "refused"
    )
    return _document(
        status, code=code, detail=status.description or status.phrase, headers=error.headers or {}
    )


def render_internal(error: BaseException) -> Response:
    """Return an `internal-error` with the incident id under which it was logged."""
    incident = note_incident(error)
    return _document(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal-error",
        detail="something went wrong on our side",
        hint=f"tell your administrator this incident number: {incident}",
        incident=incident,
    )


def note_incident(error: BaseException) -> str:
    """Log what is safe to log of an unexpected error; return its incident id."""
    digits = secrets.token_hex(4)
    incident = f"{digits[:4]}-{digits[4:]}"
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    _log.error(
        "internal-error",
        incident=incident,
        kind=type(error).__name__,
        code=error.code if isinstance(error, DoorwardError) else "",
        where=[f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    )
    return incident


def _document(
    status: HTTPStatus,
    *,
    code: str,
    detail: str,
    hint: str = "",
    headers: Mapping[str, str] | None = None,
    **more: str,
) -> Response:
    members = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "code": code,
    }
    members |= {"hint": hint} if hint else {}
    return Response(
        json.dumps(members | more, ensure_ascii=False),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
