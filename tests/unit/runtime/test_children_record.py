"""The record of the processes that `up` started names exactly these processes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from doorward.runtime.children_record import MOST_BYTES, ChildrenRecord

OWN = os.getpid()
PARENT = os.getppid()


def found(file: Path) -> dict[str, int]:
    """Return the process ids that the record finds."""
    processes = ChildrenRecord(file).find()
    for one in processes.values():
        one.close()
    return {role: one.pid for role, one in processes.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A record that names this process and its parent."""
    path = tmp_path / "children.json"
    ChildrenRecord(path).store({"serve": OWN, "gateway": PARENT})
    return path


def test_running_processes_are_found(file: Path) -> None:
    """Each role has its process, and only the user of `up` may read the file."""
    assert found(file) == {"serve": OWN, "gateway": PARENT}
    assert file.stat().st_mode & 0o777 == 0o600


def test_another_process_with_the_same_id(file: Path) -> None:
    """A process that started at another time, or in another boot, is not the recorded one."""
    value = json.loads(file.read_text())
    other = json.loads(file.read_text())
    other["children"]["serve"][1] += 1
    file.write_text(json.dumps(other))
    assert found(file) == {"gateway": PARENT}
    file.write_text(json.dumps({**value, "boot": "another"}))
    assert found(file) == {}


def test_a_process_that_is_gone(file: Path) -> None:
    """An id that no process has is passed over."""
    value = json.loads(file.read_text())
    value["children"]["serve"] = [int(Path("/proc/sys/kernel/pid_max").read_text()) + 1, 5]
    file.write_text(json.dumps(value))
    assert found(file) == {"gateway": PARENT}


def test_a_file_of_another_user(file: Path) -> None:
    """Root ends no process that a file of another user names."""
    if os.geteuid():
        pytest.skip("only root can give a file away")
    os.chown(file, 65534, 65534)
    assert found(file) == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"boot": 1, "children": 3}', "{" + " " * MOST_BYTES + "}", "\xff"]
)
def test_a_malformed_file(file: Path, text: str) -> None:
    """It names no process."""
    value = json.loads(file.read_text())
    file.write_text(text, encoding="latin-1")
    assert found(file) == {}
    for children in (3, [], {"serve": 1}, {"serve": ["a", "b"]}, {"serve": None}):
        file.write_text(json.dumps({**value, "children": children}))
        assert found(file) == {}


def test_what_was_left_stays_until_it_is_replaced(file: Path) -> None:
    """A role that is named as left keeps its recorded process; without any role the file is gone."""
    record = ChildrenRecord(file)
    record.store({"serve": PARENT}, left=["gateway"])
    assert found(file) == {"serve": PARENT, "gateway": PARENT}
    record.store({"serve": OWN})
    assert found(file) == {"serve": OWN}
    record.store({})
    assert not file.exists()
    record.store({})
