"""Incidents are found again by their number, in bounded files."""

from __future__ import annotations

from pathlib import Path

from doorward.runtime import incidents
from doorward.runtime.incidents import IncidentFile, find_incident, incident_of


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


def test_an_incident_is_found_as_it_is_read_out(tmp_path: Path) -> None:
    """Capitals, spaces and a missing sign do not matter."""
    file = tmp_path / "incidents.jsonl"
    IncidentFile(file)(None, "error", {"incident": "3f2a-9c1b"})
    for typed in ("3f2a-9c1b", "3F2A 9C1B", "3f2a9c1b", "3f2a\u20119c1b"):
        assert find_incident(file, typed) == {"incident": "3f2a-9c1b"}
    assert incident_of("3f2a9c1b-0000-4000-8000-000000000000") == "3f2a-9c1b"
    assert incident_of("-") == ""


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
