"""gRPC of one method: what is no call of it gets a status, and never words about our inside."""

from __future__ import annotations

from typing import Any

import pytest
from hpack import Decoder

from doorward.gateway.authorizer.http2.fields import RequestFields
from doorward.gateway.authorizer.http2.streams import Request
from doorward.gateway.authorizer.unary import (
    HEAD,
    TRAILERS,
    CallRefused,
    read_message,
    read_timeout,
    render_body,
)

PATH = "/service/Method"


def request(body: bytes = b"\0\0\0\0\x03abc", *, is_too_large: bool = False, **changed: Any) -> Request:
    """A sound call, altered as told."""
    fields = {"method": "POST", "path": PATH, "content_type": "application/grpc", **changed}
    return Request(1, RequestFields(**fields), body, is_too_large)


def refused(asked: Request) -> dict[str, str]:
    """The fields of the response."""
    with pytest.raises(CallRefused) as caught:
        read_message(asked, PATH)
    return dict(Decoder().decode(caught.value.block))


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto", "application/grpc;x=y"])
def test_a_call(kind: str) -> None:
    """Its message."""
    assert read_message(request(content_type=kind), PATH) == b"abc"
    assert read_message(request(render_body(b"")), PATH) == b""


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(path="/service/Other"), "12"),
        (request(path=""), "12"),
        (request(encoding="gzip"), "12"),
        (request(b""), "13"),
        (request(b"\0\0\0\0"), "13"),
        (request(b"\x01\0\0\0\x03abc"), "13"),
        (request(b"\0\0\0\0\x04abc"), "13"),
        (request(b"\0\0\0\0\x02abc"), "13"),
        (request(b"\0\0\0\0\x03abc" * 2), "13"),
        (request(b"", is_too_large=True), "8"),
    ],
)
def test_what_is_no_call(asked: Request, status: str) -> None:
    """A status of gRPC, in a response without a message."""
    fields = refused(asked)
    assert fields[":status"] == "200"
    assert fields["content-type"] == "application/grpc"
    assert fields["grpc-status"] == status
    assert "grpc-message" not in fields


def test_an_encoding_that_we_have_not() -> None:
    """The caller is told which one we have."""
    assert refused(request(encoding="gzip"))["grpc-accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"method": "GET"}, "405"),
        ({"content_type": ""}, "415"),
        ({"content_type": "text/html"}, "415"),
        ({"content_type": "application/grpcx"}, "415"),
    ],
)
def test_what_is_no_grpc(changed: dict[str, str], status: str) -> None:
    """A status of HTTP."""
    assert refused(request(**changed)) == {":status": status}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("5S", 5.0),
        ("5000m", 5.0),
        ("2M", 120.0),
        ("1H", 3600.0),
        ("7u", 7e-6),
        ("9n", 9e-9),
        ("0S", 0.0),
    ],
)
def test_a_timeout(text: str, seconds: float | None) -> None:
    """In each unit."""
    assert read_timeout(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("text", ["5", "S", "5s", "-5S", "123456789S", "5S ", "\u0665S", "1.5S"])
def test_what_is_no_timeout(text: str) -> None:
    """The caller is told."""
    with pytest.raises(CallRefused) as caught:
        read_timeout(text)
    assert dict(Decoder().decode(caught.value.block))["grpc-status"] == "3"


def test_the_blocks_of_an_answer() -> None:
    """As the library reads them."""
    assert Decoder().decode(HEAD) == [(":status", "200"), ("content-type", "application/grpc")]
    assert Decoder().decode(TRAILERS) == [("grpc-status", "0")]
