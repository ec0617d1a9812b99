"""How the agent reads a server's refusals; enrolment itself is in tests/integration/test_enrol_agent.py."""

from __future__ import annotations

import json

import pytest

from doorward.agent.client import read_problem
from doorward.agent.link import Link
from doorward.agent.transport import Response
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable

LINK = Link(host="enroll.corp.example", port=443, token="A" * 43, root_sha256="0" * 64)
PROBLEM = "application/problem+json"


def problem(status: int = 401, **members: object) -> Response:
    """Return a problem document as a server sends it."""
    body = json.dumps({"code": "invitation-invalid", "detail": "no", "hint": "ask", **members}).encode()
    return Response(status=status, media_type=PROBLEM, body=body)


def test_a_problem_document_becomes_an_error_with_the_same_words() -> None:
    """The error has the code, detail and hint of the server."""
    error = read_problem(problem(), LINK)
    assert isinstance(error, RequestRefused)
    assert (error.code, error.detail, error.hint) == ("invitation-invalid", "no", "ask")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_retryable_refusal_is_unavailable(status: int) -> None:
    """These refusals are retryable: a script may try again later."""
    assert isinstance(read_problem(problem(status), LINK), Unavailable)


def test_a_server_cannot_rewrite_the_terminal() -> None:
    """Escape sequences are dropped and long texts are cut."""
    error = read_problem(problem(detail="\x1b[2Jdone\r\n" + "x" * 999, hint=7), LINK)
    assert error.detail.startswith("[2Jdonexxx")
    assert len(error.detail) == 300
    assert error.hint == ""
    assert (
        read_problem(problem(detail=None), LINK).detail == "the server refused the request and gave no reason"
    )


@pytest.mark.parametrize("status", [503, 504])
def test_a_door_without_its_server_is_asked_again(status: int) -> None:
    """While `serve` is away the door answers by itself: that is no wrong address, and a later try may succeed."""
    error = read_problem(
        Response(status=status, media_type="text/plain", body=b"upstream connect error"), LINK
    )
    assert isinstance(error, Unavailable)
    assert error.code == "server-unreachable"
    assert str(status) in error.detail


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=502, media_type="text/html", body=b"<html>"),
        Response(status=200, media_type=PROBLEM, body=b"not json"),
        Response(status=400, media_type=PROBLEM, body=b"[" * 60000),
        Response(status=400, media_type=PROBLEM, body=b"[]"),
        Response(status=400, media_type=PROBLEM, body=b'{"code": 1}'),
        Response(status=400, media_type=PROBLEM, body=b'{"code": "\\u001b[2J"}'),
    ],
)
def test_other_answers_say_that_this_is_no_enrolment_server(answer: Response) -> None:
    """The page of a captive portal is not read as a refusal by Doorward."""
    error = read_problem(answer, LINK)
    assert isinstance(error, MalformedInput)
    assert error.code == "server-answer-malformed"
    assert str(answer.status) in error.detail
