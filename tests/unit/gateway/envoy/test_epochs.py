import shutil
from datetime import timedelta
from pathlib import Path

from doorward.gateway.envoy.epochs import (
    KEPT,
    epoch_of,
    forget_run,
    new_epoch,
    note_run,
    noted_end,
    noted_running,
    noted_runs,
)
from tests.support.ports import NOON


def test_numbers_are_never_given_twice(tmp_path: Path) -> None:
    """Neither removed folders nor a lost counter bring a number back while the other is there."""
    assert new_epoch(tmp_path) == (1, tmp_path / "000001")
    shutil.rmtree(tmp_path / "000001")
    assert new_epoch(tmp_path)[0] == 2
    (tmp_path / "epoch").unlink()
    assert new_epoch(tmp_path)[0] == 3
    (tmp_path / "epoch").write_text("nonsense")
    assert new_epoch(tmp_path)[0] == 4


def test_folders_are_closed_to_others(tmp_path: Path) -> None:
    """The admin socket has no login: its folder is the owner's alone."""
    assert new_epoch(tmp_path)[1].stat().st_mode & 0o777 == 0o700


def test_old_folders_go_and_those_in_use_stay(tmp_path: Path) -> None:
    """Some folders of ended runs are kept; the folder of a draining Envoy is never removed."""
    _, first = new_epoch(tmp_path)
    note_run(first, 99, NOON)
    for _ in range(KEPT + 5):
        new_epoch(tmp_path)
    assert first.exists()
    forget_run(first)
    new_epoch(tmp_path)
    assert not first.exists()
    assert len([one for one in tmp_path.iterdir() if epoch_of(one)]) == KEPT + 1


def test_the_end_of_a_drain_is_remembered(tmp_path: Path) -> None:
    """A noted end is read again; a missing or damaged note gives None."""
    assert noted_end(tmp_path) is None
    note_run(tmp_path, 5, None)
    assert noted_end(tmp_path) is None
    note_run(tmp_path, 5, NOON + timedelta(seconds=3))
    assert noted_end(tmp_path) == NOON + timedelta(seconds=3)
    for spoilt in ("", "[]", "{}", '{"ends_at": "x"}', '{"ends_at": 1e300}'):
        (tmp_path / "run.json").write_text(spoilt)
        assert noted_end(tmp_path) is None
    forget_run(tmp_path)
    forget_run(tmp_path)


def test_a_run_is_noted_with_its_process(tmp_path: Path) -> None:
    """Only the noted process runs there, and only while it does not drain."""
    _, folder = new_epoch(tmp_path)
    assert not noted_running(folder, 5)
    note_run(folder, 5, None)
    assert noted_running(folder, 5)
    assert not noted_running(folder, 6)
    note_run(folder, 5, NOON)
    assert not noted_running(folder, 5)
    for spoilt in ("", "[]", "{}", '{"pid": 5, "epoch": 2, "ends_at": null}', "\xff"):
        (folder / "run.json").write_text(spoilt, encoding="latin-1")
        assert not noted_running(folder, 5)


def test_runs_that_have_not_ended_are_listed(tmp_path: Path) -> None:
    """Each with its process; a damaged note is one, too, and what is no run is left out."""
    first, second, third = (new_epoch(tmp_path)[1] for _ in range(3))
    note_run(first, 5, None)
    note_run(second, 6, NOON)
    forget_run(third)
    assert list(noted_runs(tmp_path)) == [(first, 5), (second, 6)]
    for spoilt in ("", "[]", "{}", '{"pid": "x"}', '{"pid": null}', '{"pid": 1e999}'):
        (first / "run.json").write_text(spoilt)
        assert list(noted_runs(tmp_path)) == [(first, 0), (second, 6)]
    forget_run(first)
    forget_run(second)
    assert list(noted_runs(tmp_path)) == []


def test_other_folders_are_no_runs() -> None:
    """Only names of digits are numbers of runs."""
    assert epoch_of(Path("/x/000012")) == 12
    assert [epoch_of(Path("/x") / name) for name in ("epoch", "-1", "１", "9" * 30)] == [None] * 4  # noqa: RUF001
