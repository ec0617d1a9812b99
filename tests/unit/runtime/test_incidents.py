"""Incidents are found again by their number, in bounded files."""

from __future__ import annotations

from pathlib import Path

from doorward.runtime import incidents
from doorward.runtime.incidents import IncidentFile, find_incident


def test_a_line_with_an_incident_is_found(tmp_path: Path) -> None:
    """Other lines are not kept, and the log's line stays as it was."""
    file = tmp_path / "incidents.jsonl"
    keep = IncidentFile(file)
    assert keep(None, "info", {"event": "hello"}) == {"event": "hello"}
    assert not file.exists()
    line = {"event": "internal-error", "incident": "abc", "kind": "KeyError"}
    assert keep(None, "error", dict(line)) == line
    assert find_incident(file, "abc") == line
    assert find_incident(file, "abd") is None
    assert find_incident(tmp_path / "none", "abc") is None


def test_files_are_bounded(tmp_path: Path, monkeypatch) -> None:
    """The oldest incidents go, and the one before the last turn is still found."""
    monkeypatch.setattr(incidents, "MOST_BYTES", 2000)
    file = tmp_path / "incidents.jsonl"
    keep = IncidentFile(file)
    for number in range(200):
        keep(None, "error", {"incident": f"i{number}", "kind": "KeyError"})
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) < 5000
    assert find_incident(file, "i199")
    assert find_incident(file, "i0") is None


def test_what_hinders_does_not_hinder_the_log(tmp_path: Path) -> None:
    """A folder in the place of the file, and a broken line in it."""
    keep = IncidentFile(tmp_path)
    assert keep(None, "error", {"incident": "abc"}) == {"incident": "abc"}
    file = tmp_path / "incidents.jsonl"
    file.write_bytes(b"{\n\xff\n[]\n" + b'{"incident": "abc"}\n')
    assert find_incident(file, "abc") == {"incident": "abc"}
