"""Targets of the fuzzer in what the authorizer's server reads: HTTP/2, gRPC and Envoy's question."""

from __future__ import annotations

from collections.abc import Iterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from doorward.core.errors import MalformedInput
from doorward.gateway.authorizer.http2.connection import ServerConnection
from doorward.gateway.authorizer.http2.frames import HEADER, HEADER_BYTES, FrameType
from doorward.gateway.authorizer.http2.header_blocks import FieldMemo
from doorward.gateway.authorizer.http2.streams import Request
from doorward.gateway.authorizer.loop import METHOD
from doorward.gateway.authorizer.reading import read_certificate
from doorward.gateway.authorizer.unary import (
    HEAD,
    TRAILERS,
    CallRefused,
    read_message,
    read_timeout,
    render_body,
)
from tests.support.authorizer_peers import request_of
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target

_ANSWER = render_body(b"answer" * 100)
_MEMO = FieldMemo(most=64)


def _answer(connection: ServerConnection, request: Request) -> str:
    """Answer as the loop does."""
    try:
        certificate = read_certificate(read_message(request, METHOD))
        seconds = read_timeout(request.fields.timeout)
    except CallRefused as refused:
        connection.refuse(request.stream, refused.block)
        return "refused"
    except MalformedInput:
        connection.refuse(request.stream, HEAD)
        return "malformed"
    assert seconds is None or seconds >= 0
    assert all(value.isprintable() and value.isascii() for value in request.fields.metadata.values())
    connection.respond(request.stream, HEAD, _ANSWER, TRAILERS)
    return certificate


def _kinds(output: bytes) -> list[int]:
    """The types of the frames that output is: no octet is left over."""
    kinds, at = [], 0
    while at < len(output):
        kind, _, _ = HEADER.unpack_from(output, at)
        kinds.append(kind & 0xFF)
        at += HEADER_BYTES + (kind >> 8)
    assert at == len(output)
    return kinds


def _authorizer_connection() -> Harness:
    """Any octets are answered or end the connection; what comes out is HTTP/2, and no more than what went in calls for."""

    def judge(data: bytes) -> object:
        whole, split = ServerConnection(_MEMO, 0.0), ServerConnection(_MEMO, 0.0)
        answers = [_answer(whole, one) for one in whole.receive(data, 0.0)]
        for at in range(0, len(data), 11):
            for one in split.receive(data[at : at + 11], 0.0):
                _answer(split, one)
        assert whole.is_over or not split.why
        output = whole.take_output()
        kinds = _kinds(output)
        assert kinds[0] == FrameType.SETTINGS
        assert len(output) <= 1000 + len(data) * 100
        assert kinds.count(FrameType.GOAWAY) == bool(whole.why)
        split.leave()
        split.expire(1e6)
        _kinds(split.take_output())
        return len(answers), sorted({one[:8] for one in answers}), whole.why, sorted(set(kinds))

    return Harness(seeds=tuple(_calls()), judge=judge)


def _calls() -> Iterator[bytes]:
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", METHOD),
        (":authority", "authorizer"),
        ("te", "trailers"),
        ("grpc-timeout", "5000m"),
        ("content-type", "application/grpc"),
        ("x-doorward-application", "app_pay"),
        ("x-doorward-remote", "192.0.2.1:40001"),
    ]
    body = render_body(request_of("-----BEGIN%20CERTIFICATE-----"))
    for settings in ({}, {SettingCodes.INITIAL_WINDOW_SIZE: 10}):
        client = H2Connection(H2Configuration(client_side=True))
        client.local_settings = Settings(client=True, initial_values=settings)
        client.initiate_connection()
        client.send_headers(1, head, priority_weight=16, priority_depends_on=0, priority_exclusive=False)
        client.send_data(1, body, end_stream=True, pad_length=5)
        client.send_headers(3, head)
        client.send_data(3, body[:20])
        client.ping(b"12345678")
        begun = client.data_to_send()
        yield begun
        client.send_data(3, body[20:])
        client.send_headers(3, [("trailer", "x")], end_stream=True)
        client.send_headers(5, [*head[:2], (":path", "/x"), *head[3:]], end_stream=True)
        client.reset_stream(5)
        client.increment_flow_control_window(1 << 20, 1)
        client.increment_flow_control_window(1 << 20)
        client.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        client.close_connection()
        yield begun + client.data_to_send()


def _authorizer_question() -> Harness:
    """A certificate or `MalformedInput`."""

    def judge(data: bytes) -> object:
        return read_certificate(data)

    question = request_of("-----BEGIN%20CERTIFICATE-----")
    return Harness(seeds=(question, question * 2, b"\x0b\x10\x07\x0c" + question, b""), judge=judge)


AUTHORIZER_TARGETS = (
    Target(
        name="authorizer-connection",
        covers=(
            "gateway.authorizer.http2.fields.read_fields",
            "gateway.authorizer.http2.frames.parse_number",
            "gateway.authorizer.http2.frames.parse_settings",
            "gateway.authorizer.http2.huffman.decode_huffman",
            "gateway.authorizer.unary.read_message",
            "gateway.authorizer.unary.read_timeout",
        ),
        shape=Shape.OCTETS,
        prepare=_authorizer_connection,
    ),
    Target(
        name="authorizer-question",
        covers=("gateway.authorizer.reading.read_certificate",),
        shape=Shape.OCTETS,
        prepare=_authorizer_question,
    ),
)
