"""A port that another program has is said before a start begins; an Envoy that we left is no other program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.envoy import taken_port as module
from doorward.gateway.envoy.process import find_holder
from doorward.gateway.envoy.program import LOG_ARGUMENT
from doorward.gateway.envoy.taken_port import check_not_taken

LISTENER = (
    "import socket, sys\n"
    "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:\n"
    "    print(server.getsockname()[1], flush=True); sys.stdin.read()\n"
)


@contextmanager
def listening(*words: str, port: int = 0) -> Iterator[tuple[Endpoint, int]]:
    """A program with these words on its command line, its address, and its number."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENER, str(port), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        try:
            yield Endpoint(socket.inet_aton("127.0.0.1"), int(program.stdout.readline())), program.pid
        finally:
            program.kill()


def of_ours(folder: Path) -> tuple[str, str]:
    """The words by which an Envoy of this folder is known."""
    return LOG_ARGUMENT, str(folder / "000001" / "envoy.log")


def test_another_program_is_named(tmp_path: Path) -> None:
    """Its name and process are in the error, which is `port-in-use`."""
    with listening() as (place, pid):
        with pytest.raises(Unavailable) as caught:
            check_not_taken([place], tmp_path)
        assert find_holder(place) == pid
    assert caught.value.code == "port-in-use"
    assert f"(process {pid})" in caught.value.detail
    assert "python" in caught.value.detail
    check_not_taken([place], tmp_path)


def test_an_envoy_that_we_left_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor makes it let go of the port; also if its sockets may not be looked into."""
    with listening(*of_ours(tmp_path)) as (place, _):
        check_not_taken([place], tmp_path)
        with pytest.raises(Unavailable):  # of another installation, it is another program
            check_not_taken([place], tmp_path / "other")
        monkeypatch.setattr(module, "find_holder", lambda _place: 0)
        check_not_taken([place], tmp_path)


def test_another_program_beside_an_envoy_that_we_left(tmp_path: Path) -> None:
    """An Envoy of ours that holds another port excuses nothing."""
    with listening(*of_ours(tmp_path)), listening() as (place, pid), pytest.raises(Unavailable) as caught:
        check_not_taken([place], tmp_path)
    assert f"(process {pid})" in caught.value.detail


def test_who_listens_on_another_address_is_not_named() -> None:
    """The same port on two addresses of a machine belongs to two programs."""
    with listening() as (place, pid):
        elsewhere = socket.inet_aton("127.0.0.2")
        with socket.create_server(("127.0.0.2", place.port)):
            assert find_holder(Endpoint(elsewhere, place.port)) == os.getpid()
            assert find_holder(place) == pid


def test_a_program_that_closes_files_meanwhile_is_named() -> None:
    """A descriptor that is closed while they are looked at does not hide the socket behind it."""
    ended = threading.Event()

    def reopen(numbers: list[int]) -> None:
        while not ended.is_set():
            for number in numbers:
                os.close(number)
            numbers = [os.open(os.devnull, os.O_RDONLY) for _ in numbers]
        for number in numbers:
            os.close(number)

    # These get lower numbers than the socket, so they are looked at first.
    lower = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        place = Endpoint(socket.inet_aton("127.0.0.1"), server.getsockname()[1])
        busy = pool.submit(reopen, lower)
        try:
            assert {find_holder(place) for _ in range(20)} == {os.getpid()}
        finally:
            ended.set()
            busy.result()


def test_what_no_end_of_an_envoy_mends_is_said(tmp_path: Path) -> None:
    """A foreign address is refused also while an Envoy of ours runs (TEST-NET-1, RFC 5737)."""
    with listening(*of_ours(tmp_path)), pytest.raises(Unavailable) as caught:
        check_not_taken([Endpoint(socket.inet_aton("192.0.2.199"), 8443)], tmp_path)
    assert caught.value.code == "address-unknown"
