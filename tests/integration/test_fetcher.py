"""A hostile or broken server can do nothing to a fetch of evidence but make it fail."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from doorward.core.addresses import PRIVATE_NETWORKS
from doorward.core.errors import DoorwardError, MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import FetchRequest, FetchResponse
from doorward.runtime.fetching.fetcher import HttpFetcher, connect_to
from doorward.runtime.own_listeners import OwnListeners, is_local, own_ports
from doorward.runtime.settings import load_settings
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.responders import answer, drip, moved, say, served, silent

YESTERDAY, TOMORROW = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
LOOPBACK = ip_address("127.0.0.1")
HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = 20.0
"""Seconds that a request would take if its own deadline did not hold: half a second."""


def fetch(url: str, *, fetcher: HttpFetcher | None = None, **options) -> FetchResponse:
    """Fetch with short limits; private addresses are allowed."""
    words = {"limit": 10_000, "seconds": 10.0, "allow_private": PRIVATE_NETWORKS, **options}
    return (fetcher or HttpFetcher(ssl.create_default_context())).fetch(FetchRequest(url=url, **words))


def refused_by(url: str, **options) -> DoorwardError:
    """The error that a fetch ends with."""
    with pytest.raises(DoorwardError) as raised:
        fetch(url, **options)
    return raised.value


def test_a_body_is_fetched():
    """The body arrives whole, and the request names no person and carries nothing else."""
    with served(say(answer(b"abc", etag='"1"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT"))) as place:
        got = fetch(f"{place.url}a.crl?x=1#y", accept="application/pkix-crl")
    assert got == FetchResponse(body=b"abc", etag='"1"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    lines = place.requests[0].decode().splitlines()
    assert lines[0] == "GET /a.crl?x=1 HTTP/1.1"
    names = {line.partition(":")[0] for line in lines[1:] if line}
    assert names == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


def test_a_body_is_posted():
    """A POST carries its body and media type."""
    with served(say(answer(b"ok"))) as place:
        got = fetch(place.url, body=b"question", media_type="application/ocsp-request")
    assert got.body == b"ok"
    head, _, body = place.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/ocsp-request\r\n" in head
    assert body == b"question"


def test_nothing_new_is_told():
    """Validators are sent back unchanged; 304 means that nothing changed, and counts only if it was asked for."""
    script = say(answer(status="304 Not Modified"))
    with served(script) as place:
        got = fetch(place.url, etag='W/"7"', last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
        assert got.body is None
        assert b'\r\nIf-None-Match: W/"7"\r\nIf-Modified-Since: Mon, 01' in place.requests[0]
        assert refused_by(place.url).code == "fetch-answer-refused"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nabcd",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"abcd"),
    ],
    ids=["chunked", "http-1.0", "continue"],
)
def test_forms_of_a_body(text):
    """Chunks, the end of the connection, and an interim answer are all understood."""
    with served(say(text)) as place:
        assert fetch(place.url).body == b"abcd"


@pytest.mark.parametrize(
    "script",
    [
        silent,
        drip(HEAD, b"A"),
        drip(HEAD, b"A: b\r\n"),
        drip(HEAD + b"Content-Length: 9000\r\n\r\n"),
        drip(HEAD + b"\r\n"),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "line", "fields", "body", "endless", "chunks", "continue"],
)
def test_a_slow_answer_delays_no_other(script):
    """However the bytes drip, the deadline is for all of them together."""
    began = time.monotonic()
    with served(script) as place:
        error = refused_by(place.url, seconds=0.5)
        assert time.monotonic() - began < LONG
    assert isinstance(error, Unavailable)
    assert error.code == "fetch-too-slow"


@pytest.mark.parametrize(
    "script",
    [
        say(answer(b"x" * 10_001)),
        say(HEAD + b"\r\n" + b"x" * 10_001),
        drip(HEAD + b"Content-Length: 10001\r\n\r\n"),
        drip(HEAD + b"\r\n", b"x" * 1000, 0),
        drip(HEAD + b"Content-Length: 100000000000\r\n\r\n", b"x" * 1000, 0),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"y" * 900 + b"\r\nx\r\n", 0),
        drip(HEAD, b"A: " + b"b" * 1000 + b"\r\n", 0),
        drip(HEAD, b"b" * 1000, 0),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 0),
    ],
    ids=[
        "long",
        "long-unsaid",
        "says-long",
        "endless",
        "says-endless",
        "chunks",
        "extensions",
        "fields",
        "line",
        "continue",
    ],
)
def test_an_answer_without_end_is_left(script):
    """A body longer than the limit is dropped at the limit, with any length in its header."""
    with served(script) as place:
        error = refused_by(place.url, seconds=60.0)
    assert isinstance(error, MalformedInput)
    assert error.code in {"fetch-answer-too-large", "fetch-answer-malformed"}


def test_the_whole_limit_may_be_used():
    """A body of exactly the limit is taken, chunked too."""
    body = b"x" * 10_000
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2710\r\n" + body + b"\r\n0\r\n\r\n"
    with served(say(answer(body)), say(chunked)) as place:
        assert fetch(place.url).body == body
        assert fetch(place.url).body == body


@pytest.mark.parametrize(
    "text",
    [
        answer(b"abc", length=10),
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        answer(b"\x1f\x8b", content_encoding="gzip"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        HEAD + b"a b c\r\n" * 200 + b"\r\n",
    ],
    ids=["short", "half-a-chunk", "no-chunk", "compressed", "ssh", "tls", "many-fields"],
)
def test_what_is_not_a_whole_answer_is_refused(text):
    """A length that lies, a broken chunk, a compressed body, another protocol: none is an answer."""
    with served(say(text)) as place:
        error = refused_by(place.url)
    assert (type(error), error.code) == (MalformedInput, "fetch-answer-malformed")


def test_no_server_answers():
    """A closed port, an early end and a bad status are told apart."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refused_by(f"http://127.0.0.1:{port}/").code == "fetch-unreachable"
    with served(say()) as place:
        assert refused_by(place.url).code == "fetch-unreachable"
    with served(say(answer(b"<html>", status="503 Busy"))) as place:
        error = refused_by(place.url)
    assert (error.code, error.context["status"]) == ("fetch-answer-refused", 503)


def test_a_redirect_is_followed():
    """A resource that moved is fetched from its new address."""
    with served(say(answer(b"abc"))) as new, served(moved(f"{new.url}b"), moved("/c"), moved(new.url)) as old:
        assert fetch(old.url).body == b"abc"
        assert fetch(old.url).body == b"abc"
        assert [one.split(b" ")[1] for one in (*old.requests, *new.requests)] == [
            b"/",
            b"/",
            b"/c",
            b"/b",
            b"/",
        ]


def test_redirects_end():
    """A loop of redirects ends after three."""
    with served(moved("/again")) as place:
        assert refused_by(place.url).code == "fetch-redirects"
    assert len(place.requests) == 4


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "fetch-address-refused"),
        ("http://user@127.0.0.1/", "fetch-url-unusable"),
        ("file:///etc/passwd", "fetch-url-unusable"),
        ("", "fetch-url-unusable"),
    ],
)
def test_a_redirect_is_judged_again(location, code):
    """A redirect leads nowhere that a certificate could not lead."""
    with served(moved(location)) as place:
        assert refused_by(place.url).code == code


def test_a_post_is_not_turned_into_a_get():
    """A question that is moved by 302 is not asked elsewhere in another way; by 307 it is, as it was."""
    with served(say(answer(b"yes"))) as new:
        with served(moved(new.url)) as old:
            assert refused_by(old.url, body=b"question").code == "fetch-answer-refused"
        with served(moved(new.url, "307 Temporary Redirect")) as old:
            assert fetch(old.url, body=b"question").body == b"yes"
    assert [one.endswith(b"\r\n\r\nquestion") for one in new.requests] == [True]


def test_a_private_address_is_not_asked():
    """Without permission nothing on this machine is asked: no connection is opened."""
    with served(say(answer(b"abc"))) as place:
        error = refused_by(place.url, allow_private=())
        assert refused_by(place.url.replace("127.0.0.1", "localhost"), allow_private=()).code == error.code
        assert refused_by(place.url.replace("127.0.0.1", "0x7f.1"), allow_private=()).code == error.code
    assert (type(error), error.code) == (RequestRefused, "fetch-address-refused")
    assert place.requests == []


def test_our_own_listeners_are_never_asked():
    """With any allowed network, under every address of this machine, and by no redirect."""
    with served(say(answer(b"abc"))) as place, served(moved(f"{place.url}a.crl")) as beside:
        ours = OwnListeners([place.port])
        for host in ("127.0.0.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]", "localhost"):
            fetcher = HttpFetcher(is_ours=ours.has)
            error = refused_by(f"http://{host}:{place.port}/a.crl", fetcher=fetcher)
            assert (type(error), error.code) == (RequestRefused, "fetch-address-refused"), host
        assert refused_by(beside.url, fetcher=fetcher).code == "fetch-address-refused"
        assert fetch(
            f"http://127.0.0.1:{place.port}/", fetcher=HttpFetcher(is_ours=OwnListeners([1]).has)
        ).body
    assert len(place.requests) == 1


def test_what_the_kernel_delivers_here_is_local():
    """The routing table says it, also of addresses that nothing listens at; what it routes away is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.77", 9))
        here = ip_address(probe.getsockname()[0])
    assert is_local(here)
    assert all(is_local(ip_address(text)) for text in ("127.9.9.9", "::1", "0.0.0.0", "::"))
    assert not is_local(ip_address("8.8.8.8"))
    ours = OwnListeners([8443])
    assert (ours.has(here, 8443), ours.has(here, 8444), ours.has(ip_address("8.8.8.8"), 8443)) == (
        True,
        False,
        False,
    )
    assert ours.has(ip_address(f"::ffff:{here}"), 8443)


def test_what_the_kernel_does_not_say_counts_as_ours(monkeypatch):
    """Unknown is not good: without an answer an address with our port is not asked."""

    def refuse(*_arguments):
        raise PermissionError(errno.EPERM, "no netlink")

    monkeypatch.setattr(socket, "socket", refuse)
    assert is_local(ip_address("10.0.0.1"))


def test_ports_of_this_installation():
    """Those that it binds, and those of its public addresses, where another device may lead back to them."""
    settings = load_settings(
        environ={},
        data=Path("/nonexistent"),
        gateway_listen="0.0.0.0:8443",
        status_url="http://pki.corp.example",
    )
    assert own_ports(settings) == {8443, 8480, 80}
    settings = load_settings(environ={}, data=Path("/nonexistent"), gateway_public_port=443)
    assert own_ports(settings) == {443, 8443, 8480}


def test_one_private_address_refuses_them_all():
    """A name with an address of ours among its own is refused as a whole."""
    fetcher = HttpFetcher(resolve=lambda host, seconds: [ip_address("8.8.8.8"), LOOPBACK])
    assert (
        refused_by("http://pki.example/", fetcher=fetcher, allow_private=()).code == "fetch-address-refused"
    )


def test_the_open_network_leads_into_no_private_one():
    """A server in the open network cannot send us into a private one, also if the partner may lie there."""
    with served(moved("http://inside.example/")) as place:
        hosts = {"outside.example": [ip_address("8.8.8.8")], "inside.example": [ip_address("10.0.0.1")]}
        fetcher = HttpFetcher(
            resolve=lambda host, seconds: hosts[host],
            connect=lambda address, port, seconds: connect_to(LOOPBACK, place.port, seconds),
        )
        assert refused_by("http://outside.example/", fetcher=fetcher).code == "fetch-address-refused"
        assert len(place.requests) == 1


def test_a_name_is_looked_up_once():
    """The connection goes to the address that was judged; a name that means another a moment later gains nothing."""
    answers = iter([[ip_address("8.8.8.8")], [LOOPBACK]])
    connected = []

    def connect(address, port, seconds):
        connected.append(str(address))
        raise ConnectionRefusedError

    fetcher = HttpFetcher(resolve=lambda host, seconds: next(answers), connect=connect)
    assert refused_by("http://pki.example/", fetcher=fetcher, allow_private=()).code == "fetch-unreachable"
    assert connected == ["8.8.8.8"]
    assert next(answers) == [LOOPBACK]


def test_another_address_is_tried():
    """If the first address of a host does not answer, the next one is asked."""
    with socket.create_server(("127.0.0.2", 0)) as dead, served(say(answer(b"abc"))) as place:
        dead.close()
        fetcher = HttpFetcher(resolve=lambda host, seconds: [ip_address("127.0.0.2"), LOOPBACK])
        assert fetch(f"http://pki.example:{place.port}/", fetcher=fetcher).body == b"abc"


def test_a_name_without_address():
    """A name that does not exist is told as such (RFC 6761 section 6.4 keeps it so)."""
    assert refused_by("http://nobody.invalid/").code in {"fetch-unresolved", "fetch-too-slow"}


def test_the_environment_has_no_say(monkeypatch, tmp_path):
    """No proxy and no key log of the environment is used."""
    keys = tmp_path / "keys"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    with served(say(answer(b"abc"))) as place:
        assert HttpFetcher().fetch(
            FetchRequest(url=place.url, limit=10, seconds=10, allow_private=PRIVATE_NETWORKS)
        ).body == b"abc"  # fmt: skip
    assert not keys.exists()


@pytest.fixture(scope="module")
def authority() -> CertifiedKey:
    """An authority of web servers."""
    return toy_ca("Web Root", not_before=YESTERDAY, not_after=TOMORROW)


@pytest.fixture
def server(authority, tmp_path) -> ssl.SSLContext:
    """TLS with a certificate for loopback and `pki.example`."""
    issued = authority.server("pki.example", not_before=YESTERDAY, not_after=TOMORROW)
    (tmp_path / "server.pem").write_bytes(issued.key_pem + issued.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    return context


def trusting(authority: CertifiedKey, **options) -> HttpFetcher:
    """A fetcher that trusts one authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=authority.pem.decode())
    return HttpFetcher(context, **options)


def test_a_known_authority(authority, server):
    """A server that proves its name is asked."""
    with served(say(answer(b"abc")), context=server) as place:
        assert fetch(place.url, fetcher=trusting(authority)).body == b"abc"


def test_an_unknown_authority(server):
    """A server with a certificate of an unknown authority gets no request."""
    with served(say(answer(b"abc")), context=server) as place:
        error = refused_by(place.url, fetcher=HttpFetcher())
    assert (type(error), error.code) == (Unavailable, "fetch-not-trusted")
    assert place.requests == []


def test_another_name(authority, server):
    """A server with a certificate for another name is not asked."""
    fetcher = trusting(authority, resolve=lambda host, seconds: [LOOPBACK])
    with served(say(answer(b"abc")), context=server) as place:
        assert fetch(f"https://pki.example:{place.port}/", fetcher=fetcher).body == b"abc"
        error = refused_by(f"https://other.example:{place.port}/", fetcher=fetcher)
    assert error.code == "fetch-not-trusted"


def test_a_slow_handshake(authority):
    """A server that accepts and sends no TLS delays no other fetch."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        error = refused_by(url, fetcher=trusting(authority), seconds=0.5)
    assert error.code == "fetch-too-slow"
