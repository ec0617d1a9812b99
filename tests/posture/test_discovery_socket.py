"""The socket at which Envoy gets its configuration, private keys included: any other process gets nothing.

Each attempt is made by a real process. The first test shows that the same words, said by the process that is
admitted, do get the secret.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doorward.core.errors import Unavailable
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.connection import ConnectionDeadlines
from doorward.gateway.publishing.discovery.messages import SECRET
from doorward.gateway.publishing.discovery.server import CONNECTIONS, DiscoveryServer
from tests.support.discovery import render_request
from tests.support.discovery_peers import DiscoveryClient, PlainStream
from tests.support.doorway import eventually, open_doorway
from tests.support.ports import FakeClock
from tests.support.walkthrough import ROOT

CANARY = b"private-key-of-the-door"
NOBODY = 65534
RESOURCE = {"@type": SECRET, "name": "key", "generic_secret": {"secret": {"inline_string": CANARY.decode()}}}
PEER = """
import os, socket, sys
from tests.support.discovery import render_request
from tests.support.discovery_peers import DiscoveryClient
from doorward.gateway.publishing.discovery.messages import SECRET
path, uid = sys.argv[1], int(sys.argv[2])
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
peer = socket.socket(socket.AF_UNIX)
peer.settimeout(20)
try:
    peer.connect(path)
    client = DiscoveryClient(peer)
    client.send(client.call(), render_request(type_url=SECRET, resource_names_subscribe=["key"]))
    while not client.heard.messages and client.step():
        pass
    print(sum(map(len, client.heard.messages)), b"private-key-of-the-door" in b"".join(client.heard.messages))
except PermissionError:
    print("forbidden")
except (BrokenPipeError, ConnectionResetError):
    print("0 False")
"""


@dataclass
class Offered:
    """A server that admits some processes, and the clock by which it tells of others; mistakes of ours if asked."""

    path: Path
    clock: FakeClock = field(default_factory=FakeClock)
    admitted: set[int] = field(default_factory=set)
    drained: set[int] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)
    streams: list[PlainStream] = field(default_factory=list)
    everyone: bool = False
    mistake: bool = False

    def __post_init__(self) -> None:
        self.server = DiscoveryServer(
            self.path,
            load_api(),
            self._admit,
            clock=self.clock,
            deadlines=ConnectionDeadlines(end_seconds=0.2),
            is_ours=lambda pid: pid in self.drained,
        )

    def _admit(self, pid: int) -> PlainStream | None:
        self.asked.append(pid)
        if self.mistake:
            raise RuntimeError("a mistake of ours")
        if not self.everyone and pid not in self.admitted:
            return None
        self.streams.append(PlainStream(load_api(), [load_api().pack(RESOURCE)]))
        return self.streams[-1]

    def connect(self) -> socket.socket:
        """Connect from this process; the caller closes it."""
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(20)
        peer.connect(str(self.path))
        return peer

    def ask_by(self, uid: int = 0) -> str:
        """Ask for the secret by another process, of this user or of another; return what it got."""
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        command = [sys.executable, "-c", PEER, str(self.path), str(uid)]
        return subprocess.run(
            command, env=environment, cwd="/", check=True, capture_output=True, text=True, timeout=60
        ).stdout.strip()


@pytest.fixture
def offered() -> Iterator[Offered]:
    """A server in a folder that it makes, in a folder that everybody can enter."""
    with tempfile.TemporaryDirectory(prefix="doorward-") as outer:
        Path(outer).chmod(0o755)
        one = Offered(Path(outer) / "discovery" / "ads.sock")
        one.server.start()
        yield one
        one.server.stop()


class TestPeers:
    """Processes of our own user."""

    def test_the_process_that_is_admitted_gets_the_secret(self, offered: Offered) -> None:
        """Otherwise the others of this file would show nothing."""
        offered.admitted.add(os.getpid())
        with offered.connect() as peer:
            client = DiscoveryClient(peer)
            client.send(client.call(), render_request(type_url=SECRET, resource_names_subscribe=["key"]))
            assert CANARY in client.wait(messages=1).messages[0]
        assert offered.server.trouble() == ""

    def test_another_process_of_the_same_user_gets_nothing(self, offered: Offered) -> None:
        """Not one octet: the connection is closed before anything is said, and `status` and the log tell of it."""
        offered.admitted.add(os.getpid())
        with capture_logs() as logs:
            assert offered.ask_by() == "0 False"
        [other] = offered.asked
        assert other != os.getpid()
        told = [one for one in logs if one["event"] == "discovery-connection-refused"]
        assert [(one["pid"], one["uid"]) for one in told] == [(other, os.getuid())]
        assert f"process {other}, user {os.getuid()}" in offered.server.trouble()
        assert offered.streams == []


def test_a_stranger_reads_nothing_of_http_2_either(offered: Offered) -> None:
    """The first thing that it reads is the end."""
    with offered.connect() as peer:
        assert peer.recv(1) == b""


def test_an_envoy_of_ours_that_drains_gets_nothing_and_is_not_told_of(offered: Offered) -> None:
    """After a restart of the gateway it asks again and again: `status` would blame it as a stranger for 30 s."""
    offered.drained.add(os.getpid())
    with capture_logs() as logs, offered.connect() as peer:
        assert peer.recv(1) == b""
    assert logs == []
    assert offered.server.trouble() == ""
    assert offered.streams == []


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_another_user_cannot_reach_the_socket(offered: Offered) -> None:
    """Neither by the folder nor, if the folder is open by mistake, by the socket."""
    offered.everyone = True
    assert offered.ask_by(NOBODY) == "forbidden"
    offered.path.parent.chmod(0o755)
    assert offered.ask_by(NOBODY) == "forbidden"
    assert offered.asked == []


@needs_root
def test_another_user_gets_nothing_at_an_open_socket(offered: Offered) -> None:
    """If folder and socket are open by mistake, and its process id is known by mistake, the kernel says who asks."""
    offered.everyone = True
    offered.path.parent.chmod(0o755)
    offered.path.chmod(0o666)
    assert offered.ask_by().endswith("True")
    assert offered.ask_by(NOBODY) == "0 False"
    assert f"user {NOBODY}" in offered.server.trouble()


def test_folder_and_socket_are_ours_alone(offered: Offered) -> None:
    """0700 and 0600, whatever the umask is; a server under a umask that closes nothing shows it."""
    assert stat.S_IMODE(offered.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(offered.path.stat().st_mode) == 0o600
    before = os.umask(0)
    try:
        other = Offered(offered.path.parent.parent / "other" / "ads.sock")
        other.server.start()
    finally:
        os.umask(before)
    assert stat.S_IMODE(other.path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(other.path.stat().st_mode) == 0o600
    other.server.stop()


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o701, 0o770])
def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """Nothing listens there."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Unavailable) as caught:
        Offered(folder / "ads.sock").server.start()
    assert caught.value.code == "discovery-socket"
    assert list(folder.iterdir()) == []


@needs_root
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could replace the socket."""
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(Unavailable, match=f"user {NOBODY}"):
        Offered(folder / "ads.sock").server.start()


def test_a_file_that_is_no_socket_is_left(tmp_path: Path) -> None:
    """Neither a file nor a link to a socket is removed."""
    folder = tmp_path / "ours"
    folder.mkdir(mode=0o700)
    (folder / "file").write_text("kept")
    (folder / "link").symlink_to(folder / "file")
    for name in ("file", "link"):
        with pytest.raises(Unavailable, match="not a socket"):
            Offered(folder / name).server.start()
    assert (folder / "link").read_text() == "kept"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(offered: Offered) -> None:
    """What a killed run left is removed; a gateway that still runs keeps its Envoy."""
    second = Offered(offered.path)
    with pytest.raises(Unavailable, match="another process listens"):
        second.server.start()
    stale = offered.path.with_name("stale.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(stale))
    third = Offered(stale)
    third.server.start()
    with third.connect() as peer:
        assert peer.recv(1) == b""
    third.server.stop()
    assert not stale.exists()


def test_the_end_removes_our_socket_only(offered: Offered) -> None:
    """A socket that another gateway made at the same path since is left."""
    offered.path.unlink()
    second = Offered(offered.path)
    second.server.start()
    offered.server.stop()
    with second.connect() as peer:
        assert peer.recv(1) == b""
    second.server.stop()
    assert not offered.path.exists()


def test_attempts_are_told_of_for_a_minute_and_logged_once_in_it(offered: Offered) -> None:
    """A process that tries without end neither fills the log nor hides the next minute's line."""
    with capture_logs() as logs:
        for _ in range(5):
            with offered.connect() as peer:
                assert peer.recv(1) == b""
        offered.clock.turn(seconds=59)
        assert offered.server.trouble()
        offered.clock.turn(seconds=2)
        assert offered.server.trouble() == ""
        with offered.connect() as peer:
            assert peer.recv(1) == b""
    told = [one for one in logs if one["event"] == "discovery-connection-refused"]
    assert [one["not_logged_before"] for one in told] == [0, 4]


def test_only_a_few_connections_are_served_at_once(offered: Offered) -> None:
    """One more is closed without a stream, which would end another one; when one has ended, the next is served."""
    offered.everyone = True
    peers = [offered.connect() for _ in range(CONNECTIONS)]
    clients = [DiscoveryClient(peer) for peer in peers]
    assert all(client.step() for client in clients)
    with offered.connect() as crowded:
        assert crowded.recv(1) == b""
    assert len(offered.asked) == CONNECTIONS
    peers[0].close()
    assert eventually(lambda: offered.streams[0].closed)

    def is_served() -> bool:
        with offered.connect() as peer:
            return bool(peer.recv(1))

    assert eventually(is_served)
    for peer in peers:
        peer.close()


def test_an_error_while_admitting_admits_nothing(offered: Offered) -> None:
    """And the next connection is accepted."""
    offered.mistake = True
    with offered.connect() as peer:
        assert peer.recv(1) == b""
    offered.mistake, offered.everyone = False, True
    with offered.connect() as peer:
        assert peer.recv(1) != b""


def test_the_stop_ends_every_stream(offered: Offered) -> None:
    """Also one that never said anything."""
    offered.everyone = True
    silent, talking = offered.connect(), offered.connect()
    client = DiscoveryClient(talking)
    call = client.call()
    client.send(call, render_request(type_url=SECRET))
    client.wait(messages=1)
    offered.server.stop()
    assert client.wait(closed=True).status(call) == 14
    assert all(one.closed for one in offered.streams)
    assert len(offered.streams) == 2
    for peer in (silent, talking):
        peer.close()
    assert not offered.path.exists()


def test_the_socket_of_a_running_door() -> None:
    """The gateway gives its private keys to its own Envoy, and this process, of the same user, is told of in `status`."""
    with open_doorway() as door, socket.socket(socket.AF_UNIX) as peer:
        path = door.installation.layout.discovery_socket
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        peer.settimeout(20)
        peer.connect(str(path))
        assert peer.recv(1) == b""
        assert any(f"process {os.getpid()}" in one for one in door.gateway.trouble())
