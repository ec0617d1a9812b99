"""The client says `http`, and came over TLS.

An upstream of HTTP/2 gets `:scheme`; an application that believes it would redirect, or make links, without TLS.
Standard: RFC 9113 section 8.3.1; RFC 9110 section 4.2.2.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.posture.test_trailers import APPS, Upstream, behind
from tests.support.attacks import HTTP, Edit, H2Client, exchange, statuses, without
from tests.support.compiled_door import CompiledDoors
from tests.support.door_site import CLEARED, id_of
from tests.support.envoy_process import facts_of
from tests.support.servers import accepting

pytestmark = pytest.mark.xdist_group("posture-trailers")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """One application for all doors of this file."""
    one = Upstream()
    with accepting(one.serve) as one.port:
        yield one


def heard(doors: CompiledDoors, upstream: Upstream, *edits: Edit) -> list[str]:
    """Say `http` over HTTP/2, and in a whole target over HTTP/1.1; return what the application got."""
    mark = len(upstream.schemes)
    with doors.open(*edits, apps=APPS, upstreams=behind(upstream)) as door:
        door.authorizer.facts = facts_of(id_of("pay", APPS["pay"][0]), CLEARED)
        said = [(":method", "GET"), (":scheme", "http"), (":authority", "pay.test"), (":path", "/x")]
        with door.connect(h2=True) as connection:
            assert H2Client(connection).ask("/x", pseudo=said).status == 200
        with door.connect() as connection:
            request = b"GET http://pay.test/x HTTP/1.1\r\nHost: pay.test\r\n\r\n"
            assert statuses(exchange(connection, request, quiet=0.2)) == [200]
    return upstream.schemes[mark:]


def test_the_application_hears_how_the_request_came(doors: CompiledDoors, upstream: Upstream) -> None:
    """Over both versions it is https."""
    assert heard(doors, upstream) == ["https", "https"]


def test_without_the_field_it_hears_the_client(doors: CompiledDoors, upstream: Upstream) -> None:
    """X-Forwarded-Proto says https, and `:scheme` says http: two answers to one question."""
    assert heard(doors, upstream, without(*HTTP, "scheme_header_transformation")) == ["http", "http"]
