"""Free ports: never one of the kernel's own range, never one on which somebody listens, no two alike."""

from __future__ import annotations

import socket
from itertools import count
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.demo import ports
from doorward.demo.ports import LOWEST, free_port


def test_they_differ_and_lie_below_the_kernels_range() -> None:
    """An outgoing connection is never given one."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    found = [free_port() for _ in range(50)]
    assert len(set(found)) == 50
    assert all(LOWEST <= one < first for one in found)


def test_one_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried."""
    begin = free_port() - LOWEST
    with socket.create_server(("127.0.0.1", LOWEST + begin)):
        monkeypatch.setattr(ports, "_turn", count(begin))
        assert free_port() > LOWEST + begin


def test_one_that_another_process_was_given_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although nothing listens there yet."""
    begin = free_port() + 1
    with socket.socket(socket.AF_UNIX) as claim:
        claim.bind(f"\0doorward-port-{begin}")
        monkeypatch.setattr(ports, "_turn", count(begin - LOWEST))
        assert free_port() != begin


@pytest.mark.parametrize("said", ["1024\t65535\n", "", None])
def test_the_kernel_chooses_where_it_has_them_all(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unusual range, or none that can be read, is no reason to fail."""
    place = tmp_path / "range"
    if said is not None:
        place.write_text(said, encoding="ascii")
    monkeypatch.setattr(ports, "_RANGE", place)
    assert free_port() >= 1024


def test_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and does not search forever."""

    def taken(_address: object) -> socket.socket:
        raise OSError

    monkeypatch.setattr(socket, "create_server", taken)
    with pytest.raises(Unavailable) as refused:
        free_port()
    assert refused.value.code == "no-free-port"
