"""Only this gateway's Envoys may ask the authorizer, and what is asked cannot be read or answered by others."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import grpc
import pytest

from doorward.gateway.authorizer.server import AuthorizerServer
from doorward.runtime.world import SystemClock
from tests.support.authorizer_peers import OK, Judge, ask
from tests.support.doorway import open_doorway, short_folder


def test_the_socket_of_a_running_door() -> None:
    """This process, of the same user, is refused before one octet and told of in `status`."""
    with open_doorway() as door:
        path = door.installation.layout.authorizer_socket
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(str(path))
            assert peer.recv(1) == b""
        with pytest.raises(grpc.RpcError):
            ask(path)
        assert any(f"process {os.getpid()} " in one.replace(",", " ") for one in door.gateway.trouble())


def test_without_the_question_to_the_kernel_it_would_be_answered() -> None:
    """A server that takes every process of its user answers this one."""
    with short_folder() as folder:
        path = Path(folder) / "run" / "s"
        judge = Judge()
        server = AuthorizerServer(judge, path, clock=SystemClock(), admit=lambda _pid: True)
        server.start()
        try:
            assert ask(path).status.code == OK
        finally:
            server.stop()
        assert len(judge.asked) == 1
