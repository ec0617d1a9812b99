"""Where the passphrase of the key store comes from: a file, a systemd credential, or a person.

Not here: what it opens (`keystore`), how long it must be (`core.passphrase`). A passphrase is bytes: no normalisation, no encoding, only one
line end is taken off, which every editor and `echo` puts there.
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
) -> bytes:
    """Return the passphrase: of the file that is named, else of systemd, else of a person.

    Args:
        file: readable by its owner only.
        environ: where `CREDENTIALS_DIRECTORY` is looked up; the process's own by default.
        prompt: asks a person; None where nobody can be asked, and so may its answer be.

    Raises:
        RequestRefused: `passphrase-file-open`, `passphrase-file-foreign`, `passphrase-short`,
            `passphrase-long`.
        Unavailable: `passphrase-unreadable`, `passphrase-missing`.
    """
    if file is not None:
        return check_passphrase(_without_line_end(_read_private(file)))
    folder = (os.environ if environ is None else environ).get("CREDENTIALS_DIRECTORY")
    if folder and (credential := Path(folder) / CREDENTIAL).exists():
        # systemd closes the whole directory and may grant by ACL, which shows as a group's right.
        return check_passphrase(_without_line_end(_read(credential, private=False)))
    answer = prompt() if prompt is not None else None
    if answer is None:
        raise Unavailable(
            "passphrase-missing",
            "there is no passphrase for the key store",
            hint="name its file with passphrase_file or DOORWARD_PASSPHRASE_FILE",
        )
    return check_passphrase(answer.encode())


def _read_private(file: Path) -> bytes:
    return _read(file, private=True)


def _read(file: Path, *, private: bool) -> bytes:
    try:
        # O_NONBLOCK: a named pipe must not hang the start.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as opened:
            # Of what is open and not of its name: the name may change hands in between.
            _check_file(file, os.fstat(opened.fileno()), private=private)
            return opened.read(MAX_BYTES + 3)  # a line end, and one more to see that it is too long
    except OSError as error:
        raise Unavailable(
            "passphrase-unreadable",
            f"the passphrase file {file} cannot be read: {error.strerror}",
            hint="name the right file with passphrase_file or DOORWARD_PASSPHRASE_FILE",
        ) from error


def _check_file(file: Path, status: os.stat_result, *, private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise RequestRefused("passphrase-file-foreign", f"{file} is not a file")
    if not private:
        return
    if status.st_mode & 0o077:
        raise RequestRefused(
            "passphrase-file-open",
            f"other users may read or change the passphrase file {file}",
            hint=f"close it: chmod 600 {file}; and choose another passphrase if somebody may have read it",
        )
    if status.st_uid not in {0, os.geteuid()}:
        raise RequestRefused(
            "passphrase-file-foreign",
            f"the passphrase file {file} belongs to another user",
            hint=f"make it yours: chown {os.geteuid()} {file}",
        )


def _without_line_end(data: bytes) -> bytes:
    if data.endswith(b"\r\n"):
        return data[:-2]
    return data.removesuffix(b"\n")
