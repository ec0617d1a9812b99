"""Many principals in a file: `add --from FILE`, and `list --csv`."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta

import pytest

from doorward.cli.output import MOST_FAULTS, Output
from doorward.stores.fact_protocols import ReportedFacts, Sighting
from doorward.wire.csv_rows import parse_csv
from tests.support.ports import NOON
from tests.unit.cli.conftest import Site

DEVICES = "\ufeffname;display_name;groups\r\npump-1;Pump 1;tellers\r\npump-2;;\r\n"


def test_a_file_is_added_and_a_repeat_changes_nothing(site: Site) -> None:
    """People read counts and notes; scripts read the document."""
    file = site.file("devices.csv", DEVICES)
    said = site.say("device", "add", "--from", file)
    assert f"2 devices in {file}: 2 added, 0 unchanged" in said
    assert "byte order mark" in said
    assert "separated by a semicolon" in said
    again = site.do("device", "add", "--from", file)
    assert (again["rows"], again["added"], again["unchanged"], again["faults"]) == (2, 0, 2, [])
    assert [one["name"] for one in site.do("device", "list")] == ["pump-1", "pump-2"]


def test_nothing_is_changed_if_there_is_a_fault(site: Site) -> None:
    """All faults are said at once, with file and line, also groups that do not exist."""
    file = site.file("devices.csv", "name,groups\nPump,\nalice,\nok,tellres\n")
    error = site.do("device", "add", "--from", file, code=2)
    assert [(one["line"], one["code"]) for one in error["faults"]] == [
        (2, "name-malformed"),
        (3, "name-taken"),
        (0, "group-unknown"),
    ]
    said = site.say("device", "add", "--from", file, code=2)
    assert f"{file}:2: 'Pump' is not a usable name" in said
    assert "1 group does not exist: tellres" in said
    assert site.do("device", "list") == []


def test_rows_with_a_fault_can_be_left_out(site: Site) -> None:
    """The others are added, and the faults are in the result."""
    file = site.file("devices.csv", "name,groups\nPump,\nok,tellers\n")
    done = site.do("device", "add", "--from", file, "--skip-faulty")
    assert (done["added"], [one["line"] for one in done["faults"]]) == (1, [2])
    said = site.say("device", "add", "--from", file, "--skip-faulty")
    assert "1 left out because of a fault" in said
    assert "left out: " in said


def test_missing_groups_are_created_if_asked(site: Site) -> None:
    """`--skip-faulty` alone does not: a misspelt group would be no fault of one row."""
    file = site.file("devices.csv", "name,groups\nok,new\n")
    assert site.do("device", "add", "--from", file, "--skip-faulty", code=2)["code"] == "group-unknown"
    said = site.say("device", "add", "--from", file, "--create-groups", "--group", "newer")
    assert "groups created: new, newer" in said
    assert site.do("device", "list")[0]["groups"] == ["new", "newer"]


def test_a_dry_run_changes_nothing(site: Site) -> None:
    """It says what would be done."""
    file = site.file("people.json", json.dumps([{"name": "alice", "display_name": "A"}, {"name": "bob"}]))
    before = site.do("person", "list")
    said = site.say("person", "add", "--from", file, "--dry-run", "--update")
    assert "1 would be added, 1 would be updated, 0 unchanged" in said
    assert "nothing was changed" in said
    assert site.do("person", "list") == before
    said = site.say("person", "add", "--from", file)
    assert "1 differ from the file and were left as they are: alice" in said
    assert site.do("person", "add", "--from", file, "--update")["updated"] == 1


def test_standard_input_is_a_file_too(site: Site) -> None:
    """`-` as everywhere."""
    done = site.do("service", "add", "--from", "-", stdin='{"name": "ledger"}\n')
    assert (done["file"], done["added"]) == ("standard input", 1)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("pump", "--dry-run"),
        ("pump", "--from", "FILE"),
        ("pump", "--invitations", "x.csv"),
        ("--from", "FILE", "--hours", "3"),
        ("--from", "FILE", "--display-name", "x"),
        ("--from", "/nowhere"),
    ],
)
def test_usage(site: Site, words: tuple[str, ...]) -> None:
    """A name or a file, not both, and options of files only with a file."""
    file = site.file("devices.csv", DEVICES)
    assert site.do("device", "add", *(file if one == "FILE" else one for one in words), code=2)


def test_very_many_faults(site: Site) -> None:
    """People see the first, each hint once in a row; scripts see all."""
    file = site.file("devices.csv", "name\n" + "No\n" * (MOST_FAULTS + 5))
    said = site.say("device", "add", "--from", file, code=2)
    assert said.count("is not a usable name") == MOST_FAULTS
    assert said.count("write no") == 1
    assert "and 5 more faults" in said
    assert len(site.do("device", "add", "--from", file, code=2)["faults"]) == MOST_FAULTS + 5


def test_a_list_as_csv_can_be_imported_again(site: Site) -> None:
    """Nothing is lost, also not a name on screens that looks like a formula, which is neutralised in the file."""
    formula = "=HYPERLINK(1)"
    rows = [
        {"name": "pump-1", "display_name": formula, "groups": ["tellers"], "email": "pump@corp.example"},
        {"name": "pump-2"},
    ]
    site.do("device", "add", "--from", site.file("devices.json", json.dumps(rows)))
    listed = site.run("device", "list", "--csv").stdout
    assert f'"\'{formula}"' in listed
    again = site.do("device", "add", "--from", site.file("again.csv", listed), "--dry-run")
    assert (again["unchanged"], again["differing"], again["faults"]) == (2, [], [])
    for name in ("pump-1", "pump-2"):
        site.do("device", "remove", name, "--yes")
    assert site.do("device", "add", "--from", site.file("again.csv", listed))["added"] == 2
    assert [one["display_name"] for one in site.do("device", "list")] == [formula, ""]
    assert site.do("device", "show", "pump-1")["mail_address"] == "pump@corp.example"


def test_certificates_as_csv(site: Site) -> None:
    """One line for each, after a line of names."""
    certificate = site.certificate("alice")
    lines = site.run("cert", "list", "--csv").stdout.splitlines()
    assert lines[0].startswith('"id","subject","profile","state"')
    assert any(line.startswith(f'"{certificate}"') for line in lines[1:])
    site.do("cert", "list", "--csv", code=2)


def test_the_inventory_is_filtered_sorted_and_has_pages(site: Site) -> None:
    """What was never seen is stale; the note says how to go on, or only that there is more."""
    certificate = site.certificate("alice")
    site.do("person", "add", "bob")
    with closing(site.opened()) as installation, installation.services.work.change() as stores:
        now = installation.services.clock.now()
        seen = Sighting(certificate_id=certificate, at=now, application_id="app_portal")
        stores.facts.see([seen], again_after=timedelta(minutes=5))
        facts = ReportedFacts(host_name="laptop", system="Linux", agent_version="1.2", next_renewal=now)
        stores.facts.report(certificate, facts, now)
    (alice, bob) = site.do("person", "list")
    assert (alice["where"], alice["agent_version"], bob["last_seen"]) == ("portal", "1.2", None)
    assert "agent version" in site.say("person", "list")
    assert "agent version" not in site.say("person", "list", "--after", "alice")
    assert [one["name"] for one in site.do("person", "list", "--stale", "14d")] == ["bob"]
    assert [one["name"] for one in site.do("person", "list", "--not-reported")] == ["bob"]
    assert [one["name"] for one in site.do("person", "list", "--sort", "last-seen")] == ["bob", "alice"]
    assert "continue with --after alice" in site.say("person", "list", "--limit", "1")
    assert "there are more" in site.say("person", "list", "--limit", "1", "--sort", "last-seen")
    assert [one["name"] for one in site.do("person", "list", "--after", "alice")] == ["bob"]
    assert "no such persons" in site.say("person", "list", "--after", "bob")
    shown = site.say("person", "show", "alice")
    assert "last seen " in shown
    assert "agent 1.2 reported" in shown
    assert site.do("person", "show", "alice")["facts"][0]["host_name"] == "laptop"


@pytest.mark.parametrize(
    "words", [("--sort", "last-seen", "--after", "a"), ("--stale", "soon"), ("--csv",), ("--limit", "0")]
)
def test_usage_of_lists(site: Site, words: tuple[str, ...]) -> None:
    """What cannot be meant is refused."""
    assert site.do("device", "list", *words, code=2)


def test_one_time_links_of_a_file(site: Site) -> None:
    """A new file, for its owner only, with a link for each row without a certificate; it is never overwritten."""
    file = site.file("people.csv", "name\nalice\nbob\ncarol\n")
    site.certificate("alice")
    site.do("person", "add", "carol")
    site.do("person", "suspend", "carol")
    out = site.folder / "links.csv"
    done = site.do("person", "add", "--from", file, "--invitations", str(out), "--hours", "2")
    assert (done["added"], done["invited"]) == (1, 1)
    assert (done["with_certificate"], done["not_invitable"]) == (["alice"], ["carol"])
    assert out.stat().st_mode & 0o777 == 0o600
    (row,) = parse_csv(out.read_bytes()).rows
    assert row.cells["name"] == "bob"
    assert str(row.cells["token"]) in str(row.cells["link"])
    assert [one["name"] for one in site.do("invitation", "list")] == ["bob"]
    before = out.read_bytes()
    more = site.file("more.csv", "name\ndora\n")
    words = ("person", "add", "--from", more, "--invitations", str(out))
    assert site.do(*words, code=1)["code"] == "file-exists"
    assert out.read_bytes() == before
    assert "dora" not in {one["name"] for one in site.do("person", "list")}
    said = site.say("person", "add", "--from", file, "--invitations", str(site.folder / "links-2.csv"))
    assert "1 one-time links are in" in said
    assert "no link: 1 have a certificate, which is valid or on hold" in said
    assert "suspended or removed: carol" in said


def test_links_of_an_interrupted_run_are_used_again(site: Site) -> None:
    """Those that are still open; a torn line, and a link that was never committed, are made again."""
    file = site.file("devices.csv", "name\na\nb\nc\n")
    out = site.folder / "links.csv"
    site.do("device", "add", "--from", file, "--invitations", str(out))
    lines = out.read_text().splitlines(keepends=True)
    kept, dead = lines[1], lines[2]
    out.unlink()
    token = dead.split('"')[3]
    part = site.folder / "links.csv.part"
    part.write_text(lines[0] + kept + dead.replace(token, "A" * 43) + '"c","tor')
    part.chmod(0o600)
    assert site.do("device", "add", "--from", file, "--invitations", str(out))["invited"] == 3
    again = out.read_text().splitlines(keepends=True)
    assert again[1] == kept
    assert [line.split('"')[1] for line in again[1:]] == ["a", "b", "c"]
    assert "A" * 43 not in out.read_text()
    assert not part.exists()
    opened = {one["name"] for one in site.do("invitation", "list")}
    assert opened == {"a", "b", "c"}
    assert len(site.do("invitation", "list")) == 3


def test_another_file_is_no_part_of_links(site: Site) -> None:
    """It is not overwritten, and nothing is changed."""
    file = site.file("devices.csv", "name\na\n")
    site.file("links.csv.part", "my,notes\n1,2\n")
    words = ("device", "add", "--from", file, "--invitations", str(site.folder / "links.csv"))
    assert site.do(*words, code=2)["code"] == "file-not-ours"
    assert site.do("device", "list") == []
    assert (site.folder / "links.csv.part").read_text() == "my,notes\n1,2\n"


def test_csv_has_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """A subject of somebody else's certificate may hold anything."""
    Output(as_json=False).csv(
        [{"subject": "CN=\x1b[2J\u202e", "when": NOON, "none": None}], ["subject", "when", "none"]
    )
    assert capsys.readouterr().out.splitlines()[1] == r'"CN=\x1b[2J\u202e","2026-11-23T12:00:00Z",""'
