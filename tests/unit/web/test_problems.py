"""Errors as problem documents."""

from __future__ import annotations

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog.testing import capture_logs

from doorward.core.errors import (
    AccessDenied,
    DoorwardError,
    IntegrityError,
    MalformedInput,
    NotFound,
    RequestRefused,
    Unavailable,
)
from doorward.web.problems import PROBLEM_TYPE, render_http_error, render_internal, render_problem


def read(response: Response) -> dict[str, object]:
    """Return the members of a problem document."""
    assert response.headers["content-type"] == PROBLEM_TYPE
    assert response.headers["cache-control"] == "no-store"
    members = json.loads(bytes(response.body))
    assert members["status"] == response.status_code
    assert members["type"] == "about:blank"
    return dict(members)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MalformedInput("a", "d"), 400),
        (RequestRefused("a", "d"), 403),
        (NotFound("a", "d"), 404),
        (AccessDenied("d", reasons=["x"]), 403),
        (Unavailable("a", "d"), 503),
        (RequestRefused("invitation-invalid", "d"), 401),
        (RequestRefused("token-missing", "d"), 401),
        (MalformedInput("body-too-large", "d"), 413),
        (MalformedInput("csr-too-large", "d"), 413),
        (MalformedInput("media-type-wrong", "d"), 415),
        (Unavailable("request-too-slow", "d"), 408),
        (NotFound("not-founded", "d"), 503),
    ],
)
def test_each_error_has_its_status(error: DoorwardError, status: int) -> None:
    """By code if HTTP has a word for it, otherwise by kind."""
    members = read(render_problem(error))
    assert (members["status"], members["code"], members["detail"]) == (status, error.code, "d")
    assert "hint" not in members


def test_the_hint_is_shown_and_the_context_is_not() -> None:
    """Context is for the operator: it may name what a peer must not learn."""
    members = read(render_problem(NotFound("crl-unknown", "none", hint="look elsewhere", path="/srv/secret")))
    assert members["hint"] == "look elsewhere"
    assert "/srv/secret" not in str(members)


def test_who_must_wait_is_told_how_long() -> None:
    """429 and 503 carry Retry-After: the error's own, or five seconds."""
    slow = RequestRefused("too-many-attempts", "wait", retry_after_seconds=77)
    assert render_problem(slow).headers["retry-after"] == "77"
    assert render_problem(Unavailable("server-busy", "busy")).headers["retry-after"] == "5"


def test_a_missing_token_is_asked_for() -> None:
    """401 carries WWW-Authenticate (RFC 9110 section 11.6.1)."""
    assert (
        render_problem(RequestRefused("token-missing", "d")).headers["www-authenticate"].startswith("Bearer")
    )


def test_the_routers_refusals_have_the_same_form() -> None:
    """Unknown paths and methods are problem documents too, with Allow if HTTP wants it."""
    assert read(render_http_error(HTTPException(404)))["code"] == "path-unknown"
    wrong = render_http_error(HTTPException(405, headers={"Allow": "GET"}))
    assert read(wrong)["code"] == "method-wrong"
    assert wrong.headers["allow"] == "GET"
    assert read(render_http_error(HTTPException(406)))["code"] == "refused"


def _raise(error: Exception) -> None:
    """Raise it, so that it has a traceback."""
    raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("token=s3cret"), IntegrityError("chain-broken", "token=s3cret")]
)
def test_an_unexpected_error_shows_an_incident_number_only(error: Exception) -> None:
    """Peer and log share the number; the text of the exception, which may hold a secret, is in neither."""
    with pytest.raises(type(error)):
        _raise(error)
    with capture_logs() as logs:
        response = render_problem(error) if isinstance(error, DoorwardError) else render_internal(error)
    members = read(response)
    assert (members["status"], members["code"]) == (500, "internal-error")
    assert logs[0]["incident"] == members["incident"]
    assert members["incident"] in str(members["hint"])
    assert logs[0]["kind"] == type(error).__name__
    assert "test_problems.py" in logs[0]["where"][0]
    assert "s3cret" not in str(logs) + str(members)
