"""Any URL in a certificate and any bytes of a server give a value, or an error of ours."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from doorward.core.addresses import AddressClass, classify_address
from doorward.core.errors import DoorwardError, MalformedInput
from doorward.core.ports import FetchRequest
from doorward.runtime.fetching.addresses import parse_place
from doorward.runtime.fetching.fetcher import HttpFetcher

URLS = st.one_of(
    st.text(max_size=100),
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["http://", "https:", "//", "HTTP://", ""]),
        st.sampled_from(["a.example", "[::1]", "[", "u@h", "h:99999", "1.2.3.4:", "%", "a..b"]),
        st.sampled_from(["", "/", "?", "#", "\\", ":"]),
        st.text(max_size=20),
    ),
)
PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 304 \r\n", b"HTTP/1.1 302 Found\r\n", b"HTTP/1.1 100 \r\n", b"HTTP/",
        b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: x\r\n", b"\r\n", b"\n", b": \r\n",
        b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n", b"-1\r\n", b"ffffffffffffffffff\r\n", b"0\r\n\r\n",
        b"Location: /next\r\n", b"Location: http://[\r\n", b"ETag: \xff\r\n", b"Content-Encoding: br\r\n", b"abcde",
    ]
)  # fmt: skip


@given(URLS)
def test_any_url(text: str) -> None:
    """A place that can be looked up and asked, or a refusal."""
    try:
        place = parse_place(text)
    except MalformedInput:
        return
    assert place.host
    assert 0 < place.port < 1 << 16
    line = f"GET {place.target} HTTP/1.1 {place.authority}"
    assert line.isascii()
    assert line.split() == ["GET", place.target, "HTTP/1.1", place.authority]
    assert parse_place(place.url) == place


@given(st.integers(0, (1 << 128) - 1))
def test_any_address(number: int) -> None:
    """Every address lies somewhere; a mapped one lies where the plain one does, a translated one is global or never asked.

    Standard: RFC 4291 section 2.5.5.2; RFC 6052 section 3.1.
    """
    assert classify_address(ip_address(number.to_bytes(16))) in AddressClass
    plain = ip_address((number & 0xFFFFFFFF).to_bytes(4))
    kind = classify_address(plain)
    assert classify_address(ip_address(int(ip_address("::ffff:0:0")) | int(plain))) is kind
    translated = classify_address(ip_address(int(ip_address("64:ff9b::")) | int(plain)))
    assert translated is (kind if kind is AddressClass.GLOBAL else AddressClass.NEVER)


@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=12).map(b"".join)))
def test_any_answer(sent: bytes) -> None:
    """A body within its limit, that nothing changed, or an error of ours."""
    ends: list[socket.socket] = []

    def connect(address: object, port: int, seconds: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        ends.append(theirs)
        return ours

    fetcher = HttpFetcher(resolve=lambda host, seconds: [ip_address("8.8.8.8")], connect=connect)
    try:
        fetched = fetcher.fetch(FetchRequest(url="http://a.example/", limit=5, seconds=30, etag='"1"'))
        assert fetched.body is None or len(fetched.body) <= 5
    except DoorwardError:
        pass
    finally:
        for end in ends:
            end.close()
