"""Targets of the fuzzer in what Envoy asks of the discovery service, and how it is framed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings

from doorward.core.errors import MalformedInput
from doorward.gateway.grpc_status import GrpcStatus
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.call import METHOD, DiscoveryCall
from doorward.gateway.publishing.discovery.frames import (
    MESSAGE_BYTES,
    MessageReader,
    parse_prefix,
    render_message,
)
from doorward.gateway.publishing.discovery.messages import CLUSTER, LISTENER, SECRET
from doorward.gateway.publishing.discovery.refusals import LONGEST_REFUSAL
from tests.support.discovery import render_request
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target


def _discovery_request() -> Harness:
    api = load_api()

    def judge(data: bytes) -> object:
        found = api.parse_request(data)
        said = found.refusal
        assert said is None or (said and said.isprintable() and len(said) <= LONGEST_REFUSAL)
        assert all(
            one.isprintable() for one in (found.type_url, found.nonce, *found.subscribe, *found.versions)
        )
        return len(found.subscribe), len(found.unsubscribe), len(found.versions), found.nonce, said

    seeds = (
        render_request(type_url=SECRET, resource_names_subscribe=["pay-1", "trust"]),
        render_request(
            type_url=CLUSTER,
            node={"id": "door", "metadata": {"a": [1, {"b": None}]}, "extensions": [{"name": "x"}]},
            initial_resource_versions={"app_pay": "a" * 24, "app_mqtt": "b" * 24},
        ),
        render_request(
            type_url=LISTENER,
            response_nonce="7",
            resource_names_unsubscribe=["door"],
            error_detail={
                "code": 13,
                "message": 'Proto constraint validation failed (field: ["a"]):\nname: "x"',
            },
        ),
        render_request(
            type_url=SECRET,
            response_nonce="8",
            error_detail={"message": "error:0b000074:X.509:OPENSSL_internal:KEY_VALUES_MISMATCH"},
        ),
    )
    return Harness(seeds=seeds, judge=judge)


_FRAME_LIMIT = 4096


def _discovery_frames() -> Harness:
    """The messages do not depend on how the octets arrive, and together they are the octets."""

    def judge(data: bytes) -> object:
        whole = MessageReader(_FRAME_LIMIT)
        messages = whole.feed(data)
        split, found = MessageReader(_FRAME_LIMIT), list[bytes]()
        for at in range(0, len(data), 7):
            found += split.feed(data[at : at + 7])
            assert split.buffered <= _FRAME_LIMIT + 5
        assert found == messages
        rest = data[len(data) - whole.buffered :]
        assert b"".join(map(render_message, messages)) + rest == data
        for message in messages:
            assert parse_prefix(render_message(message)[:5]) == len(message)
        with contextlib.suppress(MalformedInput):
            assert parse_prefix(data) <= MESSAGE_BYTES
        return len(messages), bool(rest)

    seeds = (
        render_message(b"a") + render_message(b"") + render_message(b"b" * 100),
        render_message(b"a" * 40)[:30],
        b"\x01" + render_message(b"compressed")[1:],
        b"\x00\x00\x00\x10\x00" + b"c" * 4096,
    )
    return Harness(seeds=seeds, judge=judge)


def _discovery_call() -> Harness:
    """HTTP/2 with what hangs on it: no octets of a peer raise anything, and after the end nothing is taken."""

    def judge(data: bytes) -> object:
        call = DiscoveryCall()
        messages = call.receive(data)
        if call.is_open:
            call.send(b"answer" * 1000)
        output = call.output(1 << 16)
        messages += call.receive(data[-200:])
        call.finish(GrpcStatus.UNAVAILABLE, "the end")
        assert call.receive(data) == []
        return len(messages), call.end, len(output + call.output(0)) >> 6

    return Harness(seeds=tuple(_calls()), judge=judge)


def _calls() -> Iterator[bytes]:
    for path, settings in ((METHOD, {}), (METHOD, {SettingCodes.INITIAL_WINDOW_SIZE: 10}), (b"/other", {})):
        client = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        client.local_settings = Settings(client=True, initial_values=settings)
        client.initiate_connection()
        head = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
        client.send_headers(1, head)
        client.send_data(1, render_message(b"request") * 2)
        client.ping(b"12345678")
        begun = client.data_to_send()
        yield begun
        client.send_headers(3, head)
        client.increment_flow_control_window(1 << 20, 1)
        client.reset_stream(3)
        client.end_stream(1)
        client.close_connection()
        yield begun + client.data_to_send()


DISCOVERY_TARGETS = (
    Target(
        name="discovery-call",
        covers=("gateway.publishing.discovery.frames.parse_prefix",),
        shape=Shape.OCTETS,
        prepare=_discovery_call,
    ),
    Target(
        name="discovery-frames",
        covers=("gateway.publishing.discovery.frames.parse_prefix",),
        shape=Shape.OCTETS,
        prepare=_discovery_frames,
    ),
    Target(
        name="discovery-request",
        covers=(
            "gateway.publishing.discovery.api.parse_discovery_request",
            "gateway.publishing.discovery.refusals.explain_refusal",
        ),
        shape=Shape.OCTETS,
        prepare=_discovery_request,
    ),
)
