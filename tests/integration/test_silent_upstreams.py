"""Which application does not answer, and why, as `status` and `app list` tell it; and what shuts one alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from doorward.core.errors import ConfigurationError
from doorward.demo.ports import free_port
from doorward.gateway.publishing.upstream_watch import WatchedUpstream, probe_upstream
from doorward.policy.document import parse_document
from doorward.policy.model import HttpUpstream, Scheme, UnixUpstream, UpstreamTls
from doorward.runtime.condition import examine, silent_upstreams
from doorward.runtime.own_places import publishable
from tests.support.doorway import (
    DOMAIN,
    Doorway,
    eventually,
    open_doorway,
    render_app,
    render_document,
    short_folder,
)


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One Doorward for this file."""
    with open_doorway() as doorway:
        yield doorway


def document(**upstreams: str) -> str:
    """Return a document with an application for each upstream, all for the staff."""
    return render_document(*(render_app(name, upstream) for name, upstream in upstreams.items()))


def test_status_says_which_and_why(door: Doorway) -> None:
    """Refused, a missing authority: each by its name, and the application beside them is served."""
    alive = f"http://127.0.0.1:{door.upstream.port}"
    unread = '{url: "https://127.0.0.1:1", ca_file: /nowhere/ca.pem}'
    tcp, socket_of_tcp = f"tcp://127.0.0.1:{free_port()}", "tcp+unix:///nowhere/a.sock"
    door.apply_document(
        document(
            alive=alive,
            dead=f"http://127.0.0.1:{free_port()}",
            unread=unread,
            tcp=tcp,
            tcp2=f"tcp://127.0.0.1:{door.upstream.port}",
            tcp3=socket_of_tcp,
        )
    )
    alice = door.person("alice", "staff")
    assert door.get(alice, "/", app="alive").status == 200
    assert door.get(alice, "/", app="dead").status == 503
    assert door.get(alice, "/", app="unread").status == 503
    assert eventually(lambda: set(silent_upstreams(door.installation) or {}) == {"dead", "tcp", "tcp3"})
    silent = silent_upstreams(door.installation) or {}
    assert "connection refused" in silent["tcp"]
    assert "no such socket" in silent["tcp3"]
    parts = {one.name: one for one in examine(door.installation, datetime.now(UTC))}
    assert "dead" in parts["application"].text or "tcp" in parts["application"].text
    assert any(
        "unread cannot reach its upstream" in one and "no such file" in one
        for one in parts["gateway"].trouble
    )


@pytest.mark.parametrize("scheme", ["unix", "tcp+unix"])
@pytest.mark.parametrize("place", ["gateway/authorizer/envoy.sock", "run/enrol.sock", "gateway/envoy"])
def test_our_own_sockets_are_refused_before_they_are_stored(door: Doorway, place: str, scheme: str) -> None:
    """The fault has its place in the document."""
    check = publishable(door.installation)
    wanted = parse_document(document(pay=f"{scheme}://{door.installation.layout.data}/{place}"))
    with pytest.raises(ConfigurationError) as caught:
        check(wanted)
    assert [(one.code, one.key) for one in caught.value.faults] == [("upstream-own", "apps.pay.upstream")]


def test_our_own_listeners_too(door: Doorway) -> None:
    """The door by address and by the name of an application, and the status listener."""
    check = publishable(door.installation)
    status = door.installation.settings.status_listen
    for upstream in (
        f"https://localhost:{door.port}",
        f"http://pay.{DOMAIN}:{door.port}",
        f"h2c://127.0.0.1:{door.port}",
        f"http://{status}",
    ):
        with pytest.raises(ConfigurationError):
            check(parse_document(document(pay=upstream)))
    check(parse_document(document(pay=f"http://127.0.0.1:{door.upstream.port}")))


class TestReasons:
    """The words for what goes wrong; each is caused here."""

    def test_sockets(self) -> None:
        """Missing, without a listener, forbidden, and one that answers."""
        with short_folder() as folder, socket.socket(socket.AF_UNIX) as bound:
            path = folder / "app.sock"
            probe = lambda: probe_upstream(WatchedUpstream(name="pay", upstream=UnixUpstream(path=str(path))))  # noqa: E731
            assert probe() == "there is no such socket"
            bound.bind(str(path))
            assert probe().startswith("connection refused")
            bound.listen()
            assert probe() == ""
            if os.geteuid():
                path.chmod(0)
                assert probe().startswith("permission denied")

    def test_names_and_tls(self, door: Doorway) -> None:
        """A name that is not known (RFC 6761 section 6.4), and an application that does not speak TLS."""
        unknown = HttpUpstream(host="app.invalid", port=1)
        assert probe_upstream(WatchedUpstream(name="pay", upstream=unknown)).startswith("DNS: ")
        plain = HttpUpstream(
            host="127.0.0.1", port=door.upstream.port, scheme=Scheme.HTTPS, tls=UpstreamTls()
        )
        assert probe_upstream(WatchedUpstream(name="pay", upstream=plain)).startswith("TLS: ")
