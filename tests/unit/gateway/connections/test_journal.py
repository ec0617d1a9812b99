from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.access.decision import SessionStatus
from doorward.core.errors import MalformedInput, Unavailable
from doorward.gateway.connections import journal as module
from doorward.gateway.connections.endpoints import parse_endpoint
from doorward.gateway.connections.journal import (
    MAX_LINE_BYTES,
    NOTHING_FOLLOWED,
    Followed,
    Journal,
    parse_followed,
    parse_line,
    render_entry,
)
from doorward.policy.grants import GRANTS_LIMIT_BYTES, ID_LENGTH
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
    judged = replace(ENTRY, grants=("ga", "gb"), judged_grants=("ga",), judged_by=6, decision="evt_a")
    assert parse_line(render_entry(judged)) == judged
    same = replace(judged, judged_grants=judged.grants, shown=frozenset({"crt_b", "per_b"}))
    assert parse_line(render_entry(same)) == same
    assert b"judged_grants" not in render_entry(same), "what is equal is written once"
    signed_in = replace(ENTRY, sessions=SessionStatus(epoch="1.2.3"))
    assert parse_line(render_entry(signed_in)) == signed_in


def test_a_connection_with_all_ids_that_it_may_have_fits_into_a_line() -> None:
    """Otherwise it would be admitted, and unknown to the next gateway."""
    most = GRANTS_LIMIT_BYTES // (ID_LENGTH + 1)
    ids = tuple(f"g{number:020}" for number in range(most))
    full = replace(ENTRY, grants=ids, judged_grants=tuple(reversed(ids)))
    assert len(render_entry(full)) < MAX_LINE_BYTES
    assert parse_line(render_entry(full)) == full


def test_a_line_of_an_earlier_version_comes_back() -> None:
    """A key that it did not write counts as unknown: the revision of its judgement is none."""
    fields = json.loads(render_entry(replace(ENTRY, judged_by=3)))
    for name in ("grants", "decision", "shown", "sessions", "judged_by"):
        del fields[name]
    assert parse_line(json.dumps(fields).encode()) == ENTRY
    assert ENTRY.judged_by == -1


def test_the_end_of_a_connection_comes_back() -> None:
    """Its line has the cookie alone."""
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


def test_a_condemned_connection_comes_back_past_its_deadline(tmp_path: Path) -> None:
    """Also from a file that was written again; not once it has ended, and not if it was never there."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    for cookie in (7, 8, 9):
        journal.add(replace(ENTRY, cookie=cookie, deadline=NOON + timedelta(hours=1)))
    for cookie in (7, 8, 10):
        journal.condemn(cookie)
    journal.end(8)
    journal.close()
    for _ in range(2):
        journal = Journal(path, boot_id="boot")
        assert [(one.cookie, one.was_condemned) for one in journal.adopted] == [(7, True), (9, False)]
        journal._compact()
        journal.close()


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
    assert journal.followed == NOTHING_FOLLOWED
    journal.add(ENTRY)
    for seq in range(100):
        journal.follow(Followed(mark=f"{seq} policy x", revision=seq // 2))
    assert len(path.read_bytes().splitlines()) < 30
    journal.close()
    for _ in range(2):
        again = Journal(path, boot_id="boot")
        assert again.followed == Followed(mark="99 policy x", revision=49)
        assert [one.cookie for one in again.adopted] == [7]
        again.close()
    assert Journal(path, boot_id="next").followed == NOTHING_FOLLOWED


def test_a_full_disk_keeps_no_change_from_being_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending connections never depends on a disk; no former mark stays in the file, and the next mark is written again."""
    path = tmp_path / "journal"
    journal = Journal(path, boot_id="boot")
    journal.add(ENTRY)
    journal.follow(Followed(mark="0 policy x"))
    journal.follow(Followed(mark="0 policy y"))
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:10]))
    journal.follow(Followed(mark="1 policy x"))
    (tmp_path / "then").write_bytes(path.read_bytes())
    then = Journal(tmp_path / "then", boot_id="boot")
    assert (then.followed, [one.cookie for one in then.adopted]) == (NOTHING_FOLLOWED, [7])
    monkeypatch.setattr(os, "write", real)
    journal.follow(Followed(mark="2 policy x"))
    journal.close()
    assert Journal(path, boot_id="boot").followed == Followed(mark="2 policy x")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"followed":1}',
        b'{"followed":',
        b'{"followed":"1"]',
        b'{"followed":"' + b"x" * 20_000 + b'"}',
        b'{"followed":"1","revision":-2}',
        b'{"followed":"1","revision":"2"}',
    ],
)
def test_no_other_line_names_a_change(line: bytes) -> None:
    """It is skipped, as other lines that do not parse."""
    assert parse_followed(line) is None


def test_a_mark_of_an_earlier_version_has_no_revision() -> None:
    """Then it is not known by which policy connections were compared."""
    assert parse_followed(b'{"followed":"1 policy x"}') == Followed(mark="1 policy x")


def test_the_old_file_goes_on_where_no_new_one_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk a gateway starts with the journal that is there; without one of this boot it does not start."""
    path = tmp_path / "journal"
    first = Journal(path, boot_id="boot")
    first.add(ENTRY)
    first.close()
    with path.open("ab") as file:
        file.write(b'{"torn')
    real = os.open

    def full(name: object, *rest: object, **more: object) -> int:
        if str(name).endswith(".new"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(name, *rest, **more)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(os, "open", full)
    second = Journal(path, boot_id="boot")
    assert [one.cookie for one in second.adopted] == [ENTRY.cookie]
    second.add(replace(ENTRY, cookie=8))
    second.end(ENTRY.cookie)
    second.close()
    with pytest.raises(Unavailable):
        Journal(path, boot_id="another")
    monkeypatch.setattr(os, "open", real)
    third = Journal(path, boot_id="boot")
    assert [one.cookie for one in third.adopted] == [8]
    third.close()
