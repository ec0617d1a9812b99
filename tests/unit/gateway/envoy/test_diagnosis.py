import errno
from pathlib import Path

import pytest

from doorward.gateway.envoy.diagnosis import explain_bind, explain_exit, last_output_line

CRITICAL = "[2026-11-23 14:51:45.068][113][critical][main] [server.cc:449] error `x` initializing config\n"


@pytest.mark.parametrize(
    ("words", "code", "place"),
    [
        ("cannot bind '127.0.0.1:443': Address already in use", "port-in-use", "127.0.0.1:443"),
        ("cannot bind '127.0.0.1:443': Permission denied", "port-forbidden", "127.0.0.1:443"),
        ("cannot bind '[::2]:443': Cannot assign requested address", "address-unknown", "[::2]:443"),
    ],
)
def test_what_envoy_says_of_ports_is_understood(tmp_path: Path, words: str, code: str, place: str) -> None:
    """The three common reasons each have a code and a hint."""
    (tmp_path / "stderr.log").write_text(CRITICAL + words + "\n")
    error = explain_exit(tmp_path, 1)
    assert error.code == code
    assert place in error.detail
    assert error.hint


def test_another_last_line_is_passed_on(tmp_path: Path) -> None:
    """Any other last line of Envoy is shown, shortened, with its status and the path of its log."""
    (tmp_path / "stderr.log").write_text(CRITICAL + "no such field: 'a' " + "x" * 5000 + "\n\n")
    error = explain_exit(tmp_path, 1)
    assert error.code == "envoy-would-not-start"
    assert error.detail.startswith("Envoy ended with status 1: no such field: 'a' xxx")
    assert len(error.detail) < 500
    assert "envoy.log" in error.hint


def test_signals_are_named(tmp_path: Path) -> None:
    """If Envoy was killed without output, the error has the signal's name, or its number."""
    assert explain_exit(tmp_path, -9).detail == "Envoy was ended by signal SIGKILL"
    assert explain_exit(tmp_path, -99).detail == "Envoy was ended by signal 99"


def test_last_line_of_a_long_file(tmp_path: Path) -> None:
    """Only the end of a file is read, and bytes that are no text are borne."""
    file = tmp_path / "log"
    file.write_bytes(b"x\n" * 100_000 + b"\xff the end \n\n")
    assert last_output_line(file) == "\N{REPLACEMENT CHARACTER} the end"
    file.write_bytes(b"")
    assert last_output_line(file) == ""


def test_the_holder_is_named() -> None:
    """The process that listens is named if it can be seen; other errors are passed on."""
    assert explain_bind(errno.EADDRINUSE, "a:1", holder="nginx (process 8)").detail.endswith(
        "nginx (process 8)"
    )
    assert explain_bind(errno.EADDRINUSE, "a:1").detail == "a:1 is in use"
    assert explain_bind(errno.ENOBUFS, "a:1").code == "envoy-would-not-start"
