"""Errors as HTTP answers: problem documents with a stable code and a hint.

Only `code`, `detail` and `hint` of our own errors are shown. Any other exception becomes `internal-error` with an incident
id: the log has the id, the type of the exception and the place, but not its text, which may contain parts of a request.
Use cases do not know HTTP; the status of each error is chosen here.
Standard: RFC 9457 (problem details), RFC 9110 section 15 (status codes), RFC 6750 section 3 (Bearer).
"""

from __future__ import annotations

import json
import re
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

_INTERNAL = HTTPStatus.INTERNAL_SERVER_ERROR
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5

_BY_CODE = {
    "invitation-invalid": HTTPStatus.UNAUTHORIZED,
    "token-missing": HTTPStatus.UNAUTHORIZED,
    "credentials-missing": HTTPStatus.UNAUTHORIZED,
    "credentials-malformed": HTTPStatus.UNAUTHORIZED,
    "body-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "csr-too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "media-type-wrong": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "request-too-slow": HTTPStatus.REQUEST_TIMEOUT,
    "too-many-attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "enrolments-too-many": HTTPStatus.SERVICE_UNAVAILABLE,
    "lookups-too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "device-links-too-many": HTTPStatus.TOO_MANY_REQUESTS,
    "renewal-too-early": HTTPStatus.TOO_MANY_REQUESTS,
    "renewals-too-many": HTTPStatus.TOO_MANY_REQUESTS,
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


def incident_of(request_id: str) -> str:
    """Return the incident id of a request: the first eight hexadecimal digits of its id, in two groups.

    Args:
        request_id: a UUID (RFC 9562) from the door; for any other text the incident id is empty.
    """
    digits = request_id[:8]
    return f"{digits[:4]}-{digits[4:]}" if _UUID.fullmatch(request_id) else ""


def render_problem(error: DoorwardError, incident: str = "") -> Response:
    """Return the problem document of one of our errors.

    Standard: RFC 9457 section 3; `code` and `hint` are extension members, `type` is `about:blank`.
    """
    status = choose_status(error)
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="doorward enrolment"'
    headers |= retry_after_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return render_internal(error, incident)
    more = {"incident": incident} if incident else {}
    return _document(status, code=error.code, detail=error.detail, hint=error.hint, headers=headers, **more)


def retry_after_of(error: DoorwardError) -> dict[str, str]:
    """Return the Retry-After field of an error, if its status has one (RFC 9110 section 10.2.3)."""
    if choose_status(error) not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        return {}
    return {"Retry-After": str(error.context.get("retry_after_seconds", RETRY_AFTER_SECONDS))}


def render_http_error(error: HTTPException, incident: str = "") -> Response:
    """Return the problem document of an error of the router: unknown path, wrong method."""
    status = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "path-unknown", HTTPStatus.METHOD_NOT_ALLOWED: "method-wrong"}.get(
        status, "refused"
    )
    more = {"incident": incident} if incident else {}
    detail = status.description or status.phrase
    return _document(status, code=code, detail=detail, headers=error.headers or {}, **more)


def render_internal(error: BaseException, incident: str = "") -> Response:
    """Return an `internal-error` with the incident id under which it was logged; as `note_incident`."""
    return render_incident(note_incident(error, incident))


def render_incident(incident: str) -> Response:
    """Return the problem document of an incident that was logged."""
    return _document(
        _INTERNAL,
        code="internal-error",
        detail="something went wrong on our side",
        hint=f"give your administrator this incident number: {incident}",
        incident=incident,
    )


def note_incident(error: BaseException, incident: str = "") -> str:
    """Log an unexpected error without its text; return the incident id.

    Args:
        error: the exception.
        incident: id of the request, which is also in the access log; if empty, a random id is made.
    """
    if not incident:
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
