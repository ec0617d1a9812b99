"""What holds for every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from doorward.core.errors import NotFound, RequestRefused, Unavailable
from doorward.web import edge
from doorward.web.app import build_surface
from doorward.web.edge import EdgeMiddleware, read_body
from doorward.web.look.rendering import Look


async def refuse(_request: Request) -> Response:
    """Refuse with an error of ours."""
    raise RequestRefused("no-way", "no")


async def crash(_request: Request) -> Response:
    """Fail as a programming error does."""
    raise KeyError("token")


async def break_off(_request: Request) -> Response:
    """Fail after the answer has begun."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"half"
        raise KeyError("token")

    return StreamingResponse(parts())


async def echo(request: Request) -> Response:
    """Answer with the body."""
    return PlainTextResponse(await read_body(request, 10))


async def framed(_request: Request) -> Response:
    """Answer with a policy of its own."""
    return PlainTextResponse("", headers={"Content-Security-Policy": "default-src 'self'"})


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of a small application behind the edge."""
    routes = [
        Route("/refuse", refuse, methods=["GET", "POST"]),
        Route("/crash", crash),
        Route("/break", break_off),
        Route("/echo", echo, methods=["POST"]),
        Route("/framed", framed),
    ]
    with TestClient(Starlette(routes=routes, middleware=[Middleware(EdgeMiddleware)])) as running:
        yield running


def test_errors_of_ours_become_problem_documents(client: TestClient) -> None:
    """The use case's code reaches the client."""
    assert client.get("/refuse").json()["code"] == "no-way"


def test_unexpected_errors_do_not_leave_the_edge(client: TestClient) -> None:
    """A programming error is a 500 without a trace of itself."""
    answer = client.get("/crash")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "KeyError" not in answer.text


def test_an_answer_that_broke_off_breaks_the_connection(client: TestClient) -> None:
    """Half an answer is not passed off as a whole one, and the secret in the error is not in the next one."""
    with pytest.raises(ConnectionAbortedError, match="incident") as caught:
        client.get("/break")
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("path", ["/refuse", "/crash", "/framed"])
def test_every_answer_carries_the_protective_fields(client: TestClient, path: str) -> None:
    """Answers cannot be sniffed, framed or referred from; a route may tighten its own policy."""
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    own = "default-src 'self'" if path == "/framed" else "default-src 'none'; frame-ancestors 'none'"
    assert headers["content-security-policy"].startswith(own)


def test_a_body_within_the_limit_is_read(client: TestClient) -> None:
    """Ten bytes are taken, and the connection may live on."""
    answer = client.post("/echo", content=b"0123456789")
    assert answer.text == "0123456789"
    assert "connection" not in answer.headers


def test_a_body_that_is_announced_too_long_is_not_read(client: TestClient) -> None:
    """The connection closes, so that the unread rest is not taken for the next request."""
    answer = client.post("/echo", content=b"0123456789a")
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert answer.headers["connection"] == "close"


def test_a_body_without_announced_length_is_cut_at_the_limit(client: TestClient) -> None:
    """Chunked bodies are counted as they come."""
    answer = client.post("/echo", content=iter([b"01234", b"56789", b"a"]))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_a_refusal_before_the_body_was_read_closes_the_connection(client: TestClient) -> None:
    """If a request is refused by its head, its body is not read."""
    assert client.post("/refuse", content=b"x").headers["connection"] == "close"
    assert "connection" not in client.post("/refuse").headers


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a body ends, however little of it is missing."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.0)

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Unavailable) as caught:
        asyncio.run(read_body(Request({"type": "http", "headers": [], "method": "POST"}, never), 10))
    assert caught.value.code == "request-too-slow"


def test_a_client_that_hangs_up_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that goes away in the middle of its body is no error of ours."""
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await read_body(Request(scope, receive), 10)

    asyncio.run(EdgeMiddleware(app)({"type": "http", "headers": [], "method": "POST"}, gone, send))
    assert sent == []


def test_a_peer_that_does_not_wait_for_its_answer_is_no_incident() -> None:
    """Where the server cannot write any more, nothing is logged and nothing is raised."""

    async def send(_message: Message) -> None:
        raise RuntimeError("the transport is closed")

    scope = {"type": "http", "headers": [], "method": "GET", "path": "/"}
    with capture_logs() as logs:
        asyncio.run(EdgeMiddleware(PlainTextResponse("hello"))(scope, None, send))  # type: ignore[arg-type]  # not called
    assert logs == []


def test_what_is_not_http_is_passed_on() -> None:
    """The edge has no opinion on the life cycle messages of a server."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    asyncio.run(EdgeMiddleware(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]  # not called
    assert seen == ["lifespan"]


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/nothing", 404, "There is nothing here"),
        ("/lost", 404, "There is nothing here"),
        ("/busy", 503, "One moment"),
    ],
)
def test_people_read_on_a_page_what_went_wrong(path: str, status: int, title: str) -> None:
    """With the incident id of the request; programs get the problem document with the same id."""
    client = TestClient(told_app(), raise_server_exceptions=False)
    page = client.get(path, headers={"Accept": "text/html", "X-Request-Id": REQUEST_ID})
    assert page.status_code == status
    assert f"<h1>{title}</h1>" in page.text
    assert "3f2a-9c1b" in page.text
    problem = client.get(path, headers={"Accept": "application/json", "X-Request-Id": REQUEST_ID})
    assert problem.json()["incident"] == "3f2a-9c1b"


def test_an_unexpected_error_is_a_page_with_the_id_of_its_log_line() -> None:
    """Nothing of the error is on it."""
    client = TestClient(told_app(), raise_server_exceptions=False)
    with capture_logs() as logs:
        page = client.get("/broken", headers={"Accept": "text/html", "X-Request-Id": REQUEST_ID})
    assert page.status_code == 500
    assert "Something went wrong here" in page.text
    assert "secret" not in page.text
    assert logs[0]["incident"] == "3f2a-9c1b"
    assert "3f2a-9c1b" in page.text


def test_a_request_id_that_is_none_gives_no_incident_id() -> None:
    """What is not a UUID is not repeated."""
    client = TestClient(told_app(), raise_server_exceptions=False)
    problem = client.get("/nothing", headers={"X-Request-Id": '3f2a9c1b"><script>'})
    assert "incident" not in problem.json()
    assert "script" not in problem.text


REQUEST_ID = "3f2a9c1b-0d5e-4c6f-8a7b-000000000000"


def told_app() -> Starlette:
    """A surface with a look, and routes that fail."""

    async def lost(_request: Request) -> Response:
        raise NotFound("thing-unknown", "no such thing")

    async def busy(_request: Request) -> Response:
        raise Unavailable("server-busy", "busy")

    async def broken(_request: Request) -> Response:
        raise KeyError("secret")

    return build_surface([Route("/lost", lost), Route("/busy", busy), Route("/broken", broken)], Look())
