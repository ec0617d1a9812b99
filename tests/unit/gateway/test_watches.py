"""How many files Envoy may watch, before it is asked to watch one too many."""

from __future__ import annotations

from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.gateway.watches import (
    SPARE,
    check_room,
    check_watches,
    watch_limit,
    watches_needed,
    watches_taken,
)


def test_the_smaller_limit_counts(tmp_path: Path) -> None:
    """The user's limit and that of its namespace both hold; what cannot be read says nothing."""
    first, second, odd = tmp_path / "first", tmp_path / "second", tmp_path / "odd"
    first.write_text("8192\n")
    second.write_text("128\n")
    odd.write_text("many")
    assert watch_limit([first, second, odd, tmp_path / "missing"]) == 128
    assert watch_limit([first]) == 8192
    assert watch_limit([odd, tmp_path / "missing"]) is None


def test_one_door_too_many_is_refused() -> None:
    """There must be room for everything twice, since what is replaced drains; one less is refused."""
    room = 2 * watches_needed(10) + SPARE
    check_watches(10, room)
    with pytest.raises(ConfigurationError) as caught:
        check_watches(10, room - 1)
    assert caught.value.code == "watches-exhausted"
    assert "max_user_instances" in caught.value.hint


def test_the_usual_limit_is_room_for_eighteen_applications() -> None:
    """With 128 instances eighteen applications and the enrolment door fit, one more does not."""
    check_watches(18 + 1, 128)
    with pytest.raises(ConfigurationError):
        check_watches(18 + 1, 128, trusts=5)
    with pytest.raises(ConfigurationError):
        check_watches(19 + 1, 128)


def test_where_nobody_limits_nothing_is_refused() -> None:
    """A system without such a limit takes any number of doors."""
    check_watches(100_000, None)


def test_what_is_taken_is_counted(tmp_path: Path) -> None:
    """Instances of every process that lives; one that is gone, and one that may not be looked at, count as none."""
    for pid, kinds in {7: ["inotify", "inotify", "eventfd"], 8: ["inotify"]}.items():
        folder = tmp_path / str(pid) / "fd"
        folder.mkdir(parents=True)
        for number, kind in enumerate(kinds):
            (folder / str(number)).symlink_to(f"anon_inode:{kind}")
    (tmp_path / "8" / "fd" / "9").write_text("no link")
    assert watches_taken([7, 8, 9], proc=tmp_path) == 3


def test_doors_replaced_too_quickly_wait() -> None:
    """Where what is taken leaves no room for the chains that are made anew, the next publication waits."""
    check_room(100, 5, 128)
    check_room(1000, 0, 128)  # nothing is made anew
    check_room(1000, 5, None)
    with pytest.raises(Unavailable) as caught:
        check_room(101, 5, 128)
    assert caught.value.code == "watches-draining"
