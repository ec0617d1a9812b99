"""Reading the passphrase, and refusing unsafe files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.passphrase import MAX_BYTES
from doorward.storage.passphrase import CREDENTIAL, read_passphrase
from tests.support.refusals import refused

GOOD = b"correct horse battery staple"
NOWHERE: dict[str, str] = {}


def written(path: Path, data: bytes, mode: int = 0o600) -> Path:
    """A file with that content and mode."""
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GOOD, GOOD),
        (GOOD + b"\n", GOOD),
        (GOOD + b"\r\n", GOOD),
        (GOOD + b"\n\n", GOOD + b"\n"),
        (b" " + GOOD + b" \n", b" " + GOOD + b" "),
        (b"\xff\x00" * 10, b"\xff\x00" * 10),
        (b"x" * MAX_BYTES + b"\r\n", b"x" * MAX_BYTES),
    ],
)
def test_a_file_is_its_bytes_without_one_line_end(tmp_path: Path, data: bytes, expected: bytes) -> None:
    """Exactly one line end is removed, and nothing else."""
    assert read_passphrase(written(tmp_path / "p", data)) == expected


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o611])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of the group or of others is refused, with a hint."""
    with refused(RequestRefused, "passphrase-file-open") as caught:
        read_passphrase(written(tmp_path / "p", GOOD, mode))
    assert f"chmod 600 {tmp_path / 'p'}" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """The owner of a file may change it at any time, so another owner is refused."""
    path = written(tmp_path / "p", GOOD)
    os.chown(path, 65534, 65534)
    with refused(RequestRefused, "passphrase-file-foreign"):
        read_passphrase(path)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "passphrase-short"),
        (b"\n", "passphrase-short"),
        (b"fourteen bytes\n", "passphrase-short"),
        (b"x" * (MAX_BYTES + 1), "passphrase-long"),
        (b"x" * (MAX_BYTES + 3), "passphrase-long"),
        (b"x" * 100_000, "passphrase-long"),
    ],
)
def test_its_length_is_bounded(tmp_path: Path, data: bytes, code: str) -> None:
    """A passphrase that is too short or too long is refused."""
    with refused(RequestRefused, code):
        read_passphrase(written(tmp_path / "p", data))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """For a wrong name the error says how to name the right file; no person is asked instead."""
    with refused(Unavailable, "passphrase-unreadable") as caught:
        read_passphrase(tmp_path / "none", prompt=GOOD.decode)
    assert "DOORWARD_PASSPHRASE_FILE" in caught.value.hint


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_a_plain_file_works(tmp_path: Path, kind: str) -> None:
    """A directory or a pipe is refused at once instead of hanging the start."""
    path = tmp_path / "p"
    if kind == "folder":
        path.mkdir(mode=0o700)
    else:
        os.mkfifo(path, 0o600)
    with pytest.raises((RequestRefused, Unavailable)) as caught:
        read_passphrase(path)
    assert caught.value.code in {"passphrase-file-foreign", "passphrase-unreadable"}


def test_a_systemd_credential_is_taken(tmp_path: Path) -> None:
    """Without a file the credential is read; systemd guards its directory, so its mode is not judged."""
    written(tmp_path / CREDENTIAL, GOOD + b"\n", 0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(None, environ=environ) == GOOD
    assert read_passphrase(None, environ=environ, prompt=lambda: "somebody else answers") == GOOD


def test_a_file_wins_over_a_credential(tmp_path: Path) -> None:
    """The named file is read."""
    written(tmp_path / CREDENTIAL, GOOD, 0o400)
    file = written(tmp_path / "p", b"the passphrase of the file")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_passphrase(file, environ=environ) == b"the passphrase of the file"


@pytest.mark.parametrize("environ", [NOWHERE, {"CREDENTIALS_DIRECTORY": "/nonexistent"}])
def test_a_person_is_asked_last(environ: dict[str, str]) -> None:
    """Without a file and a credential the person's answer is used, as UTF-8 and with the same limits."""
    assert read_passphrase(None, environ=environ, prompt=lambda: "größer als gedacht") == (
        "größer als gedacht".encode()
    )
    with pytest.raises(RequestRefused):
        read_passphrase(None, environ=environ, prompt=lambda: "short")


@pytest.mark.parametrize("prompt", [None, lambda: None])
def test_no_person_to_ask_is_an_error(prompt: None) -> None:
    """Without any source the error says how to name a passphrase file."""
    with refused(Unavailable, "passphrase-missing") as refusal:
        read_passphrase(None, environ=NOWHERE, prompt=prompt)
    assert "DOORWARD_PASSPHRASE_FILE" in refusal.value.hint


def test_the_error_names_the_option_of_the_command() -> None:
    """If an option names the file, the hint names that option, because the setting names another passphrase."""
    with refused(Unavailable, "passphrase-missing") as refusal:
        read_passphrase(
            None, environ=NOWHERE, question="passphrase of the export", option="--passphrase-file"
        )
    assert "passphrase of the export" in refusal.value.detail
    assert "--passphrase-file" in refusal.value.hint
    assert "DOORWARD" not in refusal.value.hint


def test_the_environment_of_the_process_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an environment the process's own is looked at."""
    written(tmp_path / CREDENTIAL, GOOD)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_passphrase(None) == GOOD
