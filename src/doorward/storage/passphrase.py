"""Reading the passphrase of the key store: from a file, a systemd credential, or a person.

Not here: the key store (`keystore`), the length of a passphrase (`core.passphrase`). A passphrase is bytes, without
normalisation or encoding. Only one line end is removed, because every editor and `echo` adds one.
Standard: systemd.exec(5), "Credentials".
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from doorward.core.errors import RequestRefused, Unavailable
from doorward.core.passphrase import MAX_BYTES, check_passphrase

CREDENTIAL = "doorward-passphrase"
"""`LoadCredentialEncrypted=doorward-passphrase` in the unit file."""


def read_passphrase(
    file: Path | None,
    *,
    environ: Mapping[str, str] | None = None,
    prompt: Callable[[], str | None] | None = None,
    question: str = "passphrase of the key store",
    option: str = "",
) -> bytes:
    """Return the passphrase: from the named file, otherwise from systemd, otherwise from a person.

    Args:
        file: readable by its owner only.
        environ: where `CREDENTIALS_DIRECTORY` is looked up; the environment of this process by default.
        prompt: asks a person; None if there is no person to ask. The answer may be None too.
        question: the passphrase in words, for the error.
        option: of the command, if it names the file; empty if the setting `passphrase_file` names it.

    Raises:
        RequestRefused: `passphrase-file-open`, `passphrase-file-foreign`, `passphrase-short`,
            `passphrase-long`.
        Unavailable: `passphrase-unreadable`, `passphrase-missing`.
    """
    if file is not None:
        return check_passphrase(_without_line_end(_read_private(file)))
    folder = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if folder and (credential := Path(folder) / CREDENTIAL).exists():
        # systemd protects the whole directory. It may grant access by an ACL, and an ACL changes the group bits of the mode.
        return check_passphrase(_without_line_end(_read(credential, private=False)))
    answer = prompt() if prompt is not None else None
    if answer is None:
        raise Unavailable(
            "passphrase-missing",
            f"no {question} was given",
            hint=f"name its file with {option}, or run the command in a terminal, where it asks for the passphrase"
            if option
            else "name the passphrase file with the setting passphrase_file or with DOORWARD_PASSPHRASE_FILE",
        )
    return check_passphrase(answer.encode())


def _read_private(file: Path) -> bytes:
    return _read(file, private=True)


def _read(file: Path, *, private: bool) -> bytes:
    try:
        # O_NONBLOCK: a named pipe must not block the start.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            # Check the open file, not its name: the name may refer to another file in the meantime.
            _check_file(file, os.fstat(opened.fileno()), private=private)
            return opened.read(
                MAX_BYTES + 3
            )  # two for a line end, and one more to notice a passphrase that is too long
    except OSError as error:
        raise Unavailable(
            "passphrase-unreadable",
            f"the passphrase file {file} cannot be read: {error.strerror}",
            hint="name a readable file with the setting passphrase_file or with DOORWARD_PASSPHRASE_FILE",
        ) from error


def _check_file(file: Path, status: os.stat_result, *, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RequestRefused(
            "passphrase-file-foreign",
            f"the passphrase file {file} is not a regular file",
            hint="write the passphrase into a regular file, and name this file with the setting passphrase_file",
        )
    if not private:
        return
    if status.st_mode & 0o077:
        raise RequestRefused(
            "passphrase-file-open",
            f"other users may read or change the passphrase file {file}",
            hint=f"run: chmod 600 {file}; if somebody may have read it, choose another passphrase",
        )
    if status.st_uid not in {0, os.geteuid()}:
        raise RequestRefused(
            "passphrase-file-foreign",
            f"the passphrase file {file} belongs to another user",
            hint=f"run: chown {os.geteuid()} {file}",
        )


def _without_line_end(data: bytes) -> bytes:
    if data.endswith(b"\r\n"):
        return data[:-2]
    return data.removesuffix(b"\n")
