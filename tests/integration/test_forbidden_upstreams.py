"""No upstream is Doorward itself: not by its path, by a link, a hard link, a name or an address."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorward.gateway.forbidden_upstreams import BY_NAME_ONLY, ForbiddenUpstreams, OwnListener
from doorward.gateway.publishing.upstream_files import UpstreamReader
from doorward.policy.document import parse_document
from doorward.policy.model import HttpUpstream, Scheme, TcpUpstream, UnixUpstream, UpstreamTls
from tests.support.doorway import short_folder
from tests.support.ports import NOON


@pytest.fixture
def data() -> Iterator[Path]:
    """A data directory with the authorizer's socket and Envoy's admin socket, and an application's beside it."""
    with short_folder() as folder:
        (folder / "data" / "run").mkdir(parents=True)
        (folder / "data" / "gateway" / "envoy" / "1").mkdir(parents=True)
        (folder / "app").mkdir()
        places = ("data/run/authz.sock", "data/gateway/envoy/1/admin.sock", "app/app.sock")
        sockets = [_bound(folder / one) for one in places]
        yield folder
        for one in sockets:
            one.close()


def _bound(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    return bound


def objection(folder: Path, path: str) -> str:
    """Ask about the path of a socket, below the test's folder."""
    return ForbiddenUpstreams(folder=folder / "data").objection(UnixUpstream(path=f"{folder}/{path}"))


class TestSockets:
    """unix(7), path_resolution(7)."""

    @pytest.mark.parametrize(
        "path",
        [
            "data/run/authz.sock",
            "data/gateway/envoy/1/admin.sock",
            "data/not-there-yet.sock",
            "app/../data/run/authz.sock",
            "./data//run/./authz.sock",
        ],
    )
    def test_by_path(self, data: Path, path: str) -> None:
        """Every socket below the data directory, in every spelling of its path."""
        assert "Doorward itself" in objection(data, path)

    def test_by_link(self, data: Path) -> None:
        """A link to the socket, to its folder, and a link to a link."""
        (data / "app" / "link").symlink_to(data / "data" / "run" / "authz.sock")
        (data / "app" / "folder").symlink_to(data / "data")
        (data / "app" / "second").symlink_to("link")
        for path in (
            "app/link",
            "app/folder/run/authz.sock",
            "app/second",
            "app/folder/../data/run/authz.sock",
        ):
            assert objection(data, path), path

    def test_by_hard_link(self, data: Path) -> None:
        """The same inode under another name; link(2) works on sockets."""
        os.link(data / "data" / "run" / "authz.sock", data / "app" / "hard")
        assert objection(data, "app/hard")

    def test_through_proc(self, data: Path) -> None:
        """The root of a process is the root."""
        own = ForbiddenUpstreams(folder=data / "data")
        assert own.objection(UnixUpstream(path=f"/proc/self/root{data}/data/run/authz.sock"))

    def test_others_are_none_of_ours(self, data: Path) -> None:
        """An application's socket, one that is not there yet, and a folder with a similar name."""
        for path in ("app/app.sock", "app/later.sock", "data2/run/authz.sock"):
            assert objection(data, path) == ""


EVERYWHERE = OwnListener("the door", "0.0.0.0", 8443)
LOOPBACK = OwnListener("the status listener", "127.0.0.1", 8480)
ELSEWHERE = OwnListener("the door", "192.0.2.7", 8443)
BALANCED = OwnListener("the door", BY_NAME_ONLY, 443)


@pytest.mark.parametrize(
    ("listener", "host", "port", "own"),
    [
        (EVERYWHERE, "127.0.0.1", 8443, True),
        (EVERYWHERE, "127.9.9.9", 8443, True),
        (EVERYWHERE, "0.0.0.0", 8443, True),
        (EVERYWHERE, "::ffff:127.0.0.1", 8443, True),
        (EVERYWHERE, "localhost", 8443, True),
        (EVERYWHERE, "pay.localhost", 8443, True),
        (EVERYWHERE, "pay.corp.example", 8443, True),
        (EVERYWHERE, "127.0.0.1", 8444, False),
        (EVERYWHERE, "192.0.2.9", 8443, False),
        (EVERYWHERE, "other.example", 8443, False),
        (LOOPBACK, "127.0.0.1", 8480, True),
        (LOOPBACK, "localhost", 8480, True),
        (LOOPBACK, "0x7f000001", 8480, True),
        (LOOPBACK, "2130706433", 8480, True),
        (LOOPBACK, "127.1", 8480, True),
        (LOOPBACK, "64:ff9b::7f00:1", 8480, True),
        (LOOPBACK, "status.in.the.file", 8480, True),
        (LOOPBACK, "elsewhere.in.the.file", 8480, False),
        (LOOPBACK, "999", 8480, False),
        (LOOPBACK, "1.2.3.4.5", 8480, False),
        (LOOPBACK, "0.0.0.0", 8480, True),
        (LOOPBACK, "127.0.0.2", 8480, False),
        (ELSEWHERE, "192.0.2.7", 8443, True),
        (ELSEWHERE, "127.0.0.1", 8443, False),
        (ELSEWHERE, "localhost", 8443, False),
        (BALANCED, "pay.corp.example", 443, True),
        (BALANCED, "127.0.0.1", 443, False),
    ],
)
def test_listeners(listener: OwnListener, host: str, port: int, tmp_path: Path, *, own: bool) -> None:
    """By address in every form, mapped (RFC 4291 section 2.5.5.2), translated (RFC 6052), unspecified; by name."""
    file = tmp_path / "hosts"
    file.write_text(
        "# hosts(5)\n\n127.0.0.1 other Status.in.the.file # us\n192.0.2.9 elsewhere.in.the.file\nodd one\n"
    )
    places = ForbiddenUpstreams(folder=Path("/nowhere"), listeners=(listener,), hosts_file=file)
    for upstream in (
        HttpUpstream(host=host, port=port),
        HttpUpstream(host=host, port=port, scheme=Scheme.HTTPS, tls=UpstreamTls()),
        TcpUpstream(host=host, port=port),
    ):
        assert bool(places.objection(upstream, {"pay.corp.example"})) is own


def test_a_thousand_upstreams_look_at_this_machine_once(tmp_path: Path) -> None:
    """The answers are those for each one alone, and the hosts file is read for the first question only."""
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 ours.example\n")
    listener = OwnListener("the door", "127.0.0.1", 8443)
    objection = ForbiddenUpstreams(folder=Path("/nowhere"), listeners=(listener,), hosts_file=file).checker()
    assert objection(HttpUpstream(host="ours.example", port=8443))
    file.unlink()
    assert objection(HttpUpstream(host="ours.example", port=8443))
    assert not objection(HttpUpstream(host="theirs.example", port=8443))


@contextmanager
def _listening_on_ipv6() -> Iterator[int]:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        yield listener.getsockname()[1]


def test_a_machine_s_address_is_one_that_can_be_bound() -> None:
    """IPv6 too."""
    with _listening_on_ipv6() as port:
        places = ForbiddenUpstreams(folder=Path("/nowhere"), listeners=(OwnListener("the door", "::", port),))
        assert places.objection(HttpUpstream(host="::1", port=port))
        assert not places.objection(HttpUpstream(host="2001:db8::1", port=port))


def test_the_gateway_asks_again(data: Path) -> None:
    """A link that is made after the document was applied shuts its application, and the others go on."""
    text = "trust_domain: corp.example\napps:\n"
    for name in ("pay", "other"):
        text += f"  {name}:\n    hosts: [{name}.corp.example]\n    upstream: unix://{data}/app/{name}.sock\n"
    reader = UpstreamReader(data / "kept", ForbiddenUpstreams(folder=data / "data"))
    document = parse_document(text)
    assert reader.read(document, NOON).objections == {}
    (data / "app" / "pay.sock").symlink_to(data / "data" / "run" / "authz.sock")
    grounds = reader.read(document, NOON)
    assert set(grounds.objections) == {"pay"}
    assert grounds.for_plan()["shut"] == {"pay"}
    assert "pay cannot reach its upstream" in reader.trouble()
    assert [one.name for one in reader.watched()] == ["other"]
