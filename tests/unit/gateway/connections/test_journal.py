from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from doorward.core.errors import MalformedInput, Unavailable
from doorward.gateway.connections import journal as module
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.journal import Journal, parse_followed, parse_line, render_entry
from tests.support.ports import NOON
from tests.unit.gateway.live import live

ENTRY = live(
    7,
    remote="192.0.2.9:5000",
    local=parse_endpoint("[::1]:443"),
    deadline=NOON,
    revision=4,
    grants=(),
    adopted=True,
)


def test_lines_come_back() -> None:
    """An entry is read as it was written, and so is the end of a connection."""
    assert parse_line(render_entry(ENTRY)) == ENTRY
    assert parse_line(b'{"ended":7}\n') == 7


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b'{"ended":"7"}',
        b'{"ended":-1}',
        b'{"ended":true}',
        b"[" * 4000,
        b'{"cookie":1}',
        render_entry(ENTRY)[:-9],
        render_entry(ENTRY).replace(b'"aa"', b"5"),
        render_entry(ENTRY).replace(b"192.0.2.9", b"192.0.2.999"),
        render_entry(ENTRY).replace(str(NOON.timestamp()).encode(), b"1e300"),
        b" " * 5000,
        b"\xff",
    ],
)
def test_any_other_line_is_malformed(line: bytes) -> None:
    """A line that is none of ours raises MalformedInput and nothing else."""
    with pytest.raises(MalformedInput):
        parse_line(line)


def test_a_torn_last_line_is_borne(tmp_path: Path) -> None:
    """A line that our death cut in two spoils only itself."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    journal.add(ENTRY)
    journal.add(replace(ENTRY, cookie=8))
    journal.close()
    path.write_bytes(path.read_bytes()[:-20])
    assert [one.cookie for one in Journal(path, boot_id="boot").adopted] == [7]


def test_another_boot_begins_an_empty_journal(tmp_path: Path) -> None:
    """Cookies of another boot name other sockets: such a journal is dropped."""
    journal = Journal(tmp_path / "journal", boot_id="boot")
    journal.add(ENTRY)
    assert Journal(tmp_path / "journal", boot_id="next").adopted == ()


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    """Other users cannot read who is connected, also if an old file was open to all."""
    path = tmp_path / "journal"
    path.write_bytes(b"")
    path.chmod(0o666)
    Journal(path, boot_id="boot").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_opening_compacts(tmp_path: Path) -> None:
    """Only live connections are left in the file after a restart."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    for cookie in range(50):
        journal.add(replace(ENTRY, cookie=cookie))
        journal.end(cookie)
    journal.add(ENTRY)
    journal.end(999)
    journal.close()
    Journal(path, boot_id="boot").close()
    assert len(path.read_bytes().splitlines()) == 2


def test_a_long_life_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is rewritten if most of its lines are about ended connections."""
    monkeypatch.setattr(module, "_DEAD_LINES", 10)
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    journal.add(ENTRY)
    for cookie in range(100, 200):
        journal.add(replace(ENTRY, cookie=cookie))
        journal.end(cookie)
    assert len(path.read_bytes().splitlines()) < 30
    journal.close()
    assert [one.cookie for one in Journal(path, boot_id="boot").adopted] == [7]


def test_half_a_line_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails in the middle is an error, and the next line does not suffer from it."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:40]))
    with pytest.raises(Unavailable) as caught:
        journal.add(ENTRY)
    assert caught.value.code == "journal-unavailable"
    monkeypatch.setattr(os, "write", real)
    journal.add(replace(ENTRY, cookie=8))
    journal.close()
    assert [one.cookie for one in Journal(path, boot_id="boot").adopted] == [8]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A journal that cannot be opened is said at once."""
    with pytest.raises(Unavailable):
        Journal(tmp_path / "absent" / "journal", boot_id="boot")
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unavailable):
        Journal(tmp_path / "folder", boot_id="boot")


def test_what_was_followed_last_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last mark is kept beside the connections, also after the file is rewritten; not from another boot."""
    monkeypatch.setattr(module, "_DEAD_LINES", 10)
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    assert journal.followed == ""
    journal.add(ENTRY)
    for seq in range(100):
        journal.follow(f"{seq} policy x")
    assert len(path.read_bytes().splitlines()) < 30
    journal.close()
    for _ in range(2):
        again = Journal(path, boot_id="boot")
        assert again.followed == "99 policy x"
        assert [one.cookie for one in again.adopted] == [7]
        again.close()
    assert Journal(path, boot_id="next").followed == ""


def test_a_full_disk_keeps_no_change_from_being_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending connections never depends on a disk; the next mark is written again."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
    journal.follow("1 policy x")
    monkeypatch.setattr(os, "write", real)
    journal.follow("2 policy x")
    journal.close()
    assert Journal(path, boot_id="boot").followed == "2 policy x"


@pytest.mark.parametrize(
    "line",
    [b"", b'{"followed":1}', b'{"followed":', b'{"followed":"1"]', b'{"followed":"' + b"x" * 5000 + b'"}'],
)
def test_no_other_line_names_a_change(line: bytes) -> None:
    """It is skipped, as other lines that do not parse."""
    assert parse_followed(line) == ""
