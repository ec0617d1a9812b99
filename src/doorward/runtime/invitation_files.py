"""The file of one-time links of an import, mode 0600, which survives an interruption.

    OUT.part   grows with each transaction, before its commit; a torn last line is left out by the next run
    OUT        has the name only when it is complete

The same command goes on with the links of `OUT.part` that are still open. Cells are not neutralised against spreadsheets: programs
read the file, a token may begin with `-`, and nothing in it comes from outside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from doorward.core.errors import MalformedInput
from doorward.directory.importing.inviting_many import Invited
from doorward.files import replace_file, sync_folder
from doorward.runtime.pem import read_bounded
from doorward.runtime.private_files import refuse_existing
from doorward.wire.csv_rows import parse_csv, render_csv
from doorward.wire.table_rows import MAX_TABLE_BYTES

COLUMNS = ("name", "token", "link", "browser_link", "expires_at")


class InvitationFile:
    """One file of links.

    Args:
        path: of the complete file; it does not exist yet.
        links: gives the links of a token: for programs, and for browsers (empty if there is none). It is called within a
            transaction, so it must not open another.
    """

    def __init__(self, path: Path, links: Callable[[str], tuple[str, str]]) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._links = links

    def read_part(self) -> list[Invited]:
        """Return the links of an earlier run that was interrupted.

        Raises:
            RequestRefused: `file-exists`: the complete file is there.
            MalformedInput: the part is another file.
        """
        refuse_existing(self._path, option="--invitations")
        if not self._part.exists():
            return []
        table = parse_csv(read_bounded(self._part, MAX_TABLE_BYTES))
        if table.columns != COLUMNS:
            raise MalformedInput(
                "file-not-ours",
                f"{self._part} is no file of links",
                hint="remove it, or name another file with --invitations",
            )
        found = []
        for row in table.rows:
            name, token, _, _, expires_at = (str(row.cells[column]) for column in COLUMNS)
            try:
                until = datetime.fromisoformat(expires_at)
            except ValueError:
                continue
            found.append(Invited(name=name, token=token, expires_at=until))
        return found

    def begin(self, kept: Sequence[Invited]) -> None:
        """Write the part with these links only."""
        replace_file(self._part, self._render(kept, header=True))

    def append(self, made: Sequence[Invited]) -> None:
        """Add links durably."""
        descriptor = os.open(self._part, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._render(made, header=False))
            file.flush()
            os.fsync(descriptor)

    def finish(self) -> None:
        """Give the file its name, durably; raise `RequestRefused` (`file-exists`) if there is another one meanwhile."""
        refuse_existing(self._path, option="--invitations")
        self._part.rename(self._path)
        sync_folder(self._path.parent)

    def _render(self, made: Sequence[Invited], *, header: bool) -> bytes:
        rows = [
            (one.name, one.token, *self._links(one.token), one.expires_at.isoformat().replace("+00:00", "Z"))
            for one in made
        ]
        text = render_csv(COLUMNS, rows, safe=False)
        return (text if header else text.partition("\r\n")[2]).encode("ascii")
