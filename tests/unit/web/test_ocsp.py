"""OCSP over HTTP: both methods, caching, limits, and requests that come in pieces, together or among others."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar
from urllib.parse import quote

import pytest
from cryptography.x509 import ocsp
from structlog.testing import capture_logs

from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.web import edge, protocol
from doorward.web.ocsp import MAX_OCSP_REQUEST_BYTES, MOST_TOGETHER, decode_ocsp_path, ocsp_caching
from doorward.web.pool import UseCasePool
from tests.support.ocsp_listener import OCSP_TYPE, Listener, listening, ocsp_request, render
from tests.support.ports import NOON
from tests.support.world import OPERATOR, Held, World

DONE, MALFORMED = ocsp.OCSPResponseStatus.SUCCESSFUL, ocsp.OCSPResponseStatus.MALFORMED_REQUEST
GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED
NONCE = b"n" * 32
T = TypeVar("T")


@pytest.fixture
def listener(world: World, pool: UseCasePool) -> Iterator[Listener]:
    """A status listener over a founded authority."""
    with listening(world.services, pool) as made:
        yield made


def question(held: Held, nonce: bytes | None = None) -> bytes:
    """Return an OCSP request about a certificate."""
    return ocsp_request(*held.chain_der[:2], nonce=nonce)


def get(held: Held, nonce: bytes | None = None) -> str:
    """Return the first words of a GET about a certificate."""
    return "GET /ocsp/" + quote(base64.b64encode(question(held, nonce)).decode(), safe="")


def post(held: Held, nonce: bytes | None = None, **fields: str) -> bytes:
    """Return a whole POST about a certificate."""
    return render("POST /ocsp", question(held, nonce), content_type=OCSP_TYPE, **fields)


@pytest.mark.parametrize("nonce", [None, NONCE])
def test_a_post_follows_a_revocation_at_once(
    world: World, listener: Listener, alice: Held, nonce: bytes | None
) -> None:
    """Good, then revoked, in the very next answer of the same connection."""
    peer = listener.connect()
    for status in (GOOD, GOOD, REVOKED):
        if status is REVOKED:
            revocation.revoke(world.services, alice.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
        peer.send(post(alice, nonce))
        (answer,) = peer.answers(1)
        assert answer.ocsp.certificate_status is status
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "encode", [lambda text: quote(text, safe=""), lambda text: text, lambda text: text.rstrip("=")]
)
def test_a_get_is_cacheable(listener: Listener, alice: Held, encode: object) -> None:
    """However a client writes base64 into the path, the answer comes with RFC 5019 caching fields."""
    path = "/ocsp/" + encode(base64.b64encode(question(alice)).decode())  # type: ignore[operator]
    answer = listener.ask(f"GET {path}")
    assert (answer.status, answer.ocsp.response_status) == (200, DONE)
    assert answer.headers["cache-control"] == "public, max-age=300, no-transform, must-revalidate"
    assert answer.headers["last-modified"] == "Mon, 23 Nov 2026 12:00:00 GMT"
    assert answer.headers["expires"] == "Tue, 24 Nov 2026 00:00:00 GMT"
    known = listener.ask(f"GET {path}", if_none_match=f'"x", W/{answer.headers["etag"]}')
    assert (known.status, known.content, known.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert "content-type" not in known.headers


def test_a_response_near_its_end_is_cached_no_longer_than_that(
    world: World, listener: Listener, alice: Held
) -> None:
    """No cache keeps a response past its nextUpdate."""
    world.clock.turn(hours=12, seconds=-7)
    assert "max-age=7," in listener.ask(get(alice)).headers["cache-control"]


def test_head_has_the_fields_of_get_without_the_response(listener: Listener, alice: Held) -> None:
    """Every GET answers HEAD too (RFC 9110 section 9.3.2), and the connection goes on."""
    full, peer = listener.ask(get(alice)), listener.connect()
    peer.send(render(get(alice).replace("GET", "HEAD")))
    (head,) = peer.answers(1, method="HEAD")
    assert (head.status, head.headers) == (200, full.headers)
    assert bytes(peer.wire.written) == b""
    peer.send(post(alice))
    assert peer.answers(1)[0].status == 200


def test_an_answer_with_a_nonce_or_an_error_is_not_cached(listener: Listener, alice: Held) -> None:
    """A nonce is for one asker; an error may be over in a moment."""
    assert listener.ask(get(alice, NONCE)).headers["cache-control"] == "no-store"
    wrong = listener.ask("GET /ocsp/AAAA")
    assert (wrong.status, wrong.ocsp.response_status) == (200, MALFORMED)
    assert wrong.headers["cache-control"] == "no-store"


def test_an_answer_that_is_over_is_not_cached(listener: Listener, alice: Held) -> None:
    """Caching fields never promise more than the answer does."""
    der = listener.ask(get(alice)).content
    assert ocsp_caching(der, NOON + timedelta(days=30)) == {"Cache-Control": "no-store"}


def test_every_answer_has_the_protective_fields(listener: Listener, alice: Held) -> None:
    """As from the other routes, and nothing says which software answers."""
    for answer in (listener.ask(get(alice)), listener.ask("POST /ocsp", b"x"), listener.ask("PUT /ocsp")):
        for name, value in edge.PROTECTIVE_FIELDS.items():
            assert answer.headers[name.lower()] == value
        assert "server" not in answer.headers


CHUNKS = b"%x\r\n" % 5000 + b"x" * 5000 + b"\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (render("POST /ocsp", b"x"), 415, "media-type-wrong"),
        (
            render("POST /ocsp", b"x" * (MAX_OCSP_REQUEST_BYTES + 1), content_type=OCSP_TYPE),
            413,
            "body-too-large",
        ),
        (
            render("POST /ocsp", CHUNKS, content_type=OCSP_TYPE, transfer_encoding="chunked"),
            413,
            "body-too-large",
        ),
        (render("GET /ocsp"), 405, "method-wrong"),
        (render("POST /ocsp/AAAA"), 405, "method-wrong"),
        (render("DELETE /ocsp"), 405, "method-wrong"),
        (render("GET /ocspx"), 404, "path-unknown"),
        (render("GET /x/ocsp"), 404, "path-unknown"),
    ],
)
def test_wrong_requests(listener: Listener, data: bytes, status: int, code: str) -> None:
    """A wrong type, size, method or path is a problem document with its code."""
    peer = listener.connect()
    peer.send(data)
    (answer,) = peer.answers(1)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert code.encode() in answer.content
    assert ("allow" in answer.headers) is (status == 405)


def test_what_was_not_read_ends_the_connection(listener: Listener, alice: Held) -> None:
    """A refused body, and the content of a GET, cannot be taken for the next request."""
    for data in (
        render("POST /ocsp", b"GET /ocsp/AAAA HTTP/1.1\r\n\r\n"),
        render(get(alice), b"GET /ocsp/AAAA HTTP/1.1\r\n\r\n"),
        render("GET /ocsp", b"GET /ocsp/AAAA HTTP/1.1\r\n\r\n"),
    ):
        peer = listener.connect()
        peer.send(data)
        (answer,) = peer.answers(1)
        assert answer.headers["connection"] == "close"
        assert peer.wire.is_closing()


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_request_may_come_in_pieces(listener: Listener, alice: Held, size: int) -> None:
    """In any pieces, as one body or in chunks."""
    body = question(alice)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (body[:9], body[9:])) + b"0\r\n\r\n"
    chunked = render("POST /ocsp", chunks, content_type=OCSP_TYPE, transfer_encoding="chunked")
    peer = listener.connect()
    for data in (post(alice), chunked, render(get(alice))):
        for start in range(0, len(data), size):
            peer.send(data[start : start + size])
        (answer,) = peer.answers(1)
        assert answer.ocsp.certificate_status is GOOD


def test_a_client_that_expects_to_be_told_is_told(listener: Listener, alice: Held) -> None:
    """With Expect, a good head is answered by 100 before its body; a wrong one by its refusal."""
    data, peer = post(alice, expect="100-continue"), listener.connect()
    head, _, body = data.partition(b"\r\n\r\n")
    peer.send(head + b"\r\n\r\n")
    assert [one.status for one in peer.answers(1)] == [100]
    peer.send(body)
    assert [one.status for one in peer.answers(1)] == [200]
    assert listener.ask("POST /ocsp", b"x", expect="100-continue").status == 415
    peer = listener.connect()
    peer.send(
        post(alice) + head + b"\r\n\r\n"
    )  # told after the answer before it, which a client could take it for
    assert [one.status for one in peer.answers(2)] == [200, 100]
    peer.send(body)
    assert [one.status for one in peer.answers(1)] == [200]


def test_requests_on_one_connection_are_answered_in_order(
    world: World, listener: Listener, alice: Held
) -> None:
    """Those of both queues, refusals and the application's among each other, whichever is ready first."""
    bob = world.issue("bob")
    peer = listener.connect()
    peer.send(
        post(alice, NONCE)
        + render("GET /healthz")
        + post(bob)
        + render("PUT /ocsp")
        + post(alice)
        + render("GET /healthz")
    )
    answers = peer.answers(6)
    assert [one.status for one in answers] == [200, 200, 200, 405, 200, 200]
    assert [answers[one].ocsp.serial_number for one in (0, 2, 4)] == [
        alice.record.serial,
        bob.record.serial,
        alice.record.serial,
    ]
    assert len(list(answers[0].ocsp.extensions)) == 1
    assert answers[1].content == answers[5].content == b"ok\n"
    assert peer.wire.is_reading


def test_few_requests_wait_behind_another(listener: Listener, alice: Held) -> None:
    """Beyond the limit the connection ends."""
    peer = listener.connect()
    peer.send(post(alice) * (protocol.MAX_PIPELINED + 3))
    assert peer.wire.is_closing()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_connection_ends_if_the_client_says_so(listener: Listener, alice: Held, version: str) -> None:
    """HTTP/1.0, and Connection: close."""
    peer = listener.connect()
    data = (
        post(alice, connection="close") if version == "1.1" else post(alice).replace(b"HTTP/1.1", b"HTTP/1.0")
    )
    peer.send(data)
    (answer,) = peer.answers(1)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert peer.wire.is_closing()


def test_a_server_that_stops_finishes_open_answers(listener: Listener, alice: Held) -> None:
    """An answer that is awaited is sent, and the connection ends with it."""
    peer = listener.connect()
    peer.send(post(alice))
    listener.loop.call_soon(peer.protocol.shutdown)
    (answer,) = peer.answers(1)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_client_that_left_gets_nothing(listener: Listener, alice: Held) -> None:
    """The answer of a lost connection is dropped, and the others of its batch come."""
    gone, stays = listener.connect(), listener.connect()

    async def leave_at_once() -> None:
        gone.protocol.data_received(post(alice))
        gone.protocol.connection_lost(None)

    listener.loop.run_until_complete(leave_at_once())
    stays.send(post(alice))
    assert stays.answers(1)[0].status == 200
    assert bytes(gone.wire.written) == b""


def test_a_body_that_does_not_come_is_refused(
    listener: Listener, alice: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within its time, whichever part is missing."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.05)
    peer = listener.connect()
    peer.send(post(alice)[:-1])
    (answer,) = peer.answers(1)
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert peer.wire.is_closing()


def test_an_answer_waits_for_a_client_that_does_not_read(listener: Listener, alice: Held) -> None:
    """One answer waits, the requests behind it are not read, and both go on when the client reads."""
    peer = listener.connect()
    peer.protocol.pause_writing()
    peer.send(post(alice))
    peer.send(post(alice))
    listener.turn(0.1)
    assert bytes(peer.wire.written) == b""
    assert not peer.wire.is_reading
    listener.loop.call_soon(peer.protocol.resume_writing)
    assert [one.status for one in peer.answers(2)] == [200, 200]
    peer.protocol.pause_writing()
    peer.protocol.resume_writing()
    assert bytes(peer.wire.written) == b""


def test_beyond_the_connections_there_is_503(listener: Listener, alice: Held) -> None:
    """The limit of connections holds for OCSP too."""
    listener.config.limit_concurrency = 1
    peer = listener.connect()
    peer.send(post(alice))
    assert peer.answers(1)[0].status == 503


def test_requests_of_one_turn_are_one_call(
    listener: Listener, alice: Held, pool: UseCasePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connections ask at the same time, they share a thread and a transaction; large numbers are divided."""
    calls: list[object] = []
    run = pool.run

    async def counted(call: object) -> object:
        calls.append(call)
        return await run(call)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "run", counted)
    given: list[bytes] = []

    async def ask() -> None:
        for _ in range(MOST_TOGETHER + 1):
            listener.surface.ask(question(alice), given.append)

    listener.loop.run_until_complete(ask())
    while len(given) <= MOST_TOGETHER:
        listener.turn(0.01)
    assert len(calls) == 2
    assert len(set(given)) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Unavailable("server-busy", "busy"), ocsp.OCSPResponseStatus.TRY_LATER),
        (RuntimeError("secret"), ocsp.OCSPResponseStatus.INTERNAL_ERROR),
    ],
)
def test_faults_of_a_call_are_answered(world: World, alice: Held, fault: Exception, said: object) -> None:
    """A full pool is tryLater, any other exception internalError and an incident; the next request is answered."""

    class Failing(UseCasePool):
        fails = True

        async def run(self, call: Callable[[], T]) -> T:
            if self.fails:
                raise fault
            return call()

    pool = Failing(workers=1)
    with listening(world.services, pool) as listener, capture_logs() as logs:
        assert listener.post(question(alice)).response_status is said
        pool.fails = False
        assert listener.post(question(alice)).certificate_status is GOOD
    assert len(logs) == isinstance(fault, RuntimeError)
    assert "secret" not in str(logs)


def test_an_answer_that_cannot_be_made_ends_its_connection(
    listener: Listener, alice: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an incident, and the other answers of the batch are sent."""
    broken, fine = listener.connect(), listener.connect()
    monkeypatch.setattr(broken.protocol, "default_lines", lambda: 1 / 0)
    with capture_logs() as logs:
        broken.send(post(alice))
        fine.send(post(alice))
        assert fine.answers(1)[0].status == 200
    assert broken.wire.is_closing()
    assert [one["event"] for one in logs] == ["internal-error"]


@pytest.mark.parametrize(
    ("path", "request_bytes"),
    [
        (b"/ocsp/AAAA", b"\0\0\0"),
        (b"/ocsp/%2Bw%3D%3D", b"\xfb"),
        (b"/ocsp/+/+/", b"\xfb\xff\xbf"),
        (b"/ocsp/%2B//A", b"\xfb\xff\xc0"),
        (b"/ocsp/\xff", b""),
        (b"/ocsp/%FF", b""),
        (b"/ocsp/A", b""),
        (b"/ocsp/" + b"A" * 20000, b""),
    ],
)
def test_get_paths_are_total(path: bytes, request_bytes: bytes) -> None:
    """Any path gives bytes; what is not base64 gives none."""
    assert decode_ocsp_path(path) == request_bytes
