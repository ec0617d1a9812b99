"""How many files Envoy may watch, before it is asked to watch one too many."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.gateway.publishing.watches import (
    SPARE,
    InotifyUsage,
    can_create,
    check_free_instances,
    check_start,
    check_watches,
    describe_shortage,
    envoys_of_user,
    read_inotify_usage,
    watch_limit,
    watches_needed,
    watches_taken,
)
from tests.support.refusals import refused


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
    """There must be room for everything twice, because replaced listeners drain; one instance less is refused."""
    room = 2 * watches_needed(10) + SPARE
    check_watches(10, InotifyUsage(limit=room))
    with refused(ConfigurationError, "watches-exhausted") as caught:
        check_watches(10, InotifyUsage(limit=room - 1))
    assert "max_user_instances" in caught.value.hint


def test_the_usual_limit_is_room_for_sixteen_applications() -> None:
    """With 128 instances sixteen applications, the portal and the enrolment door fit, one more does not."""
    check_watches(16 + 2, InotifyUsage(limit=128))
    with pytest.raises(ConfigurationError):
        check_watches(16 + 2, InotifyUsage(limit=128), trusts=5)
    with pytest.raises(ConfigurationError):
        check_watches(17 + 2, InotifyUsage(limit=128))


def test_without_a_limit_nothing_is_refused() -> None:
    """A system without such a limit takes any number of doors."""
    check_watches(100_000, InotifyUsage(limit=None))


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
    """If there is no room for the chains that are made again, the next publication waits."""
    check_free_instances(InotifyUsage(limit=128, envoys=100), 5)
    check_free_instances(InotifyUsage(limit=128, envoys=90, others=10), 5)
    check_free_instances(InotifyUsage(limit=128, envoys=1000), 0)  # nothing is made again
    check_free_instances(InotifyUsage(limit=None, envoys=1000), 5)
    check_free_instances(InotifyUsage(limit=128, envoys=127), 0, secrets=1)  # renewed: its watch is replaced
    for usage, chains, secrets in (
        (InotifyUsage(limit=128, envoys=101), 5, 0),
        (InotifyUsage(limit=128, envoys=90, others=11), 5, 0),
        (InotifyUsage(limit=128, envoys=128), 0, 1),
    ):
        with refused(Unavailable, "watches-draining"):
            check_free_instances(usage, chains, secrets)


def test_every_process_of_this_user_is_counted(tmp_path: Path) -> None:
    """Envoys and other processes are counted apart; another user's processes and other entries do not count."""
    for pid in (7, 8, 9):
        folder = tmp_path / str(pid) / "fd"
        folder.mkdir(parents=True)
        (folder / "3").symlink_to("anon_inode:inotify")
    os.chown(tmp_path / "9", os.geteuid() + 1 if os.geteuid() == 0 else -1, -1)
    (tmp_path / "self").mkdir()
    (tmp_path / "7" / "cmdline").write_bytes(b"/x/envoy\0--config-path\0/y")
    (tmp_path / "8" / "cmdline").write_bytes(b"editor\0envoy.yaml")
    assert envoys_of_user(tmp_path) == [7]
    usage = read_inotify_usage([7], proc=tmp_path)
    assert (usage.envoys, usage.others) == (1, 1 if os.geteuid() == 0 else 2)


def test_what_cannot_be_seen_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel has the last word (inotify_init(2): EMFILE), for what other containers hold is in no list."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert can_create(20)
    monkeypatch.setattr(
        "doorward.gateway.publishing.watches._libc", SimpleNamespace(inotify_init1=lambda _flags: -1)
    )
    assert not can_create(1)
    with pytest.raises(ConfigurationError):
        check_start(3, InotifyUsage(limit=8192))
    with pytest.raises(Unavailable):
        check_free_instances(InotifyUsage(limit=8192), 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_shortage_is_told_before_it_hurts() -> None:
    """First that nothing more has room, then that the next change will be refused."""
    exact = 2 * watches_needed(10) + SPARE
    assert describe_shortage(10, InotifyUsage(limit=None)) == ""
    assert describe_shortage(10, InotifyUsage(limit=exact + 6)) == ""
    assert describe_shortage(10, InotifyUsage(limit=exact)).startswith("no further application has room")
    assert describe_shortage(10, InotifyUsage(limit=exact, others=1)).startswith("the next change")
