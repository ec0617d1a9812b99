"""Fields behind a body never reach an application as if they were headers.

Over HTTP/1.1 Envoy drops the trailers of requests by itself; an upstream of HTTP/2 would get them.
Standard: RFC 9110 section 6.5: an intermediary may drop them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest

from doorward.policy.model import HttpUpstream, Scheme
from tests.support.attacks import HTTP, Edit, H2Client, changed, exchange, statuses, without
from tests.support.compiled_door import CompiledDoors
from tests.support.door_site import AUDITOR, CLEARED, TELLER, allow, id_of
from tests.support.envoy_process import facts_of
from tests.support.servers import accepting

pytestmark = pytest.mark.xdist_group("posture-trailers")

APPS = {"pay": (allow("everything", "tellers"),)}
FORGED = [("doorward-principal", "person/root"), ("x-checksum", "1")]


class Upstream:
    """An application that speaks HTTP/2 without TLS, and writes down the schemes and trailers of requests."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[list[str]] = []
        self.schemes: list[str] = []

    def serve(self, peer: socket.socket) -> None:
        """Serve one connection."""
        machine = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        )
        machine.initiate_connection()
        names: dict[int, list[str]] = {}
        peer.sendall(machine.data_to_send())
        while data := peer.recv(65536):
            for event in machine.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.schemes += [str(value) for name, value in event.headers if name == ":scheme"]
                elif isinstance(event, h2.events.TrailersReceived):
                    names[event.stream_id] = [str(name) for name, _ in event.headers]
                elif isinstance(event, h2.events.StreamEnded):
                    self.requests.append(names.get(event.stream_id, []))
                    machine.send_headers(event.stream_id, [(":status", "200")], end_stream=True)
            peer.sendall(machine.data_to_send())


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One application for all doors of this file."""
    one = Upstream()
    with accepting(one.serve) as one.port:
        yield one


def behind(upstream: Upstream, scheme: Scheme = Scheme.H2C) -> dict[str, HttpUpstream]:
    """Return this application as the upstream of a door."""
    return {"pay": HttpUpstream(host="127.0.0.1", port=upstream.port, scheme=scheme)}


def heard(
    doors: CompiledDoors, upstream: Upstream, *edits: Edit, scheme: Scheme = Scheme.H2C
) -> list[list[str]]:
    """Send trailers over HTTP/2 and HTTP/1.1; return the names that the application got, request by request.

    Args:
        doors: opens the door.
        upstream: the application.
        edits: of what was compiled.
        scheme: of the upstream in the policy from which the door was compiled.
    """
    mark = len(upstream.requests)
    with doors.open(*edits, apps=APPS, upstreams=behind(upstream, scheme)) as door:
        door.authorizer.facts = facts_of(id_of("pay", APPS["pay"][0]), TELLER, AUDITOR, CLEARED)
        with door.connect(h2=True) as connection:
            assert H2Client(connection).ask("/x", method="POST", body=b"a", trailers=FORGED).status == 200
        lines = "".join(f"{name}: {value}\r\n" for name, value in FORGED)
        request = f"POST /x HTTP/1.1\r\nHost: pay.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{lines}\r\n"
        with door.connect() as connection:
            assert statuses(exchange(connection, request.encode(), quiet=0.2)) == [200]
    return upstream.requests[mark:]


def test_the_trailers_of_requests_are_dropped(doors: CompiledDoors, upstream: Upstream) -> None:
    """With any names, and over both versions."""
    assert heard(doors, upstream) == [[], []]


def test_also_on_connections_from_before_the_upstream_spoke_http2(
    doors: CompiledDoors, upstream: Upstream
) -> None:
    """Envoy drains a connection for up to 30 s: it has the chain from before, and requests go to the new cluster."""
    options = ("clusters", "app_pay", "typed_extension_protocol_options", "*", "explicit_http_config")
    new_cluster = changed(*options, to={"http2_protocol_options": {}})
    assert heard(doors, upstream, new_cluster, scheme=Scheme.HTTP) == [[], []]


def test_without_the_filter_they_arrive(doors: CompiledDoors, upstream: Upstream) -> None:
    """Over HTTP/2 an application would get the client's word under the door's name."""
    got = heard(doors, upstream, without(*HTTP, "http_filters", "doorward.trailers"))
    assert got == [[name for name, _ in FORGED], []]
