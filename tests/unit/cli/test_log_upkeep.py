"""`audit erase` and `audit reindex`: what they ask, refuse and advise."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from doorward.runtime.serve import Serve
from tests.unit.cli.conftest import Site


def test_an_erasure_is_confirmed(site: Site) -> None:
    """The question has the full name. A script gets a hint with an option that the command has."""
    asked = site.ask("audit", "erase", "--person", "alice", answer="n\n")
    assert "every personal value about person/alice in the log is erased for good" in asked.output
    refused = site.do("audit", "erase", "--person", "alice", code=1)
    assert (refused["code"], "--yes" in refused["hint"]) == ("not-confirmed", True)
    assert "--dry-run" not in refused["hint"]


def test_a_removed_person_is_erased_by_id(site: Site) -> None:
    """The hint for a name that is gone leads to the id. Only someone who is still there gets the note about new events."""
    number = next(one["id"] for one in site.do("person", "list") if one["name"] == "alice")
    done = site.do("audit", "erase", "--person", "person/alice", "--yes")
    assert done["copies_gone"]
    assert ["was not removed" in note for note in done["notes"]] == [True]
    site.do("person", "remove", "alice")
    refused = site.do("audit", "erase", "--person", "alice", "--yes", code=1)
    assert (refused["code"], "principal:removed" in refused["hint"]) == ("principal-unknown", True)
    assert site.do("audit", "erase", "--person", number, "--yes")["notes"] == []


def test_an_id_that_was_never_given_is_refused(site: Site) -> None:
    """A mistyped id must not look like an erasure that found nothing."""
    for words in (["audit", "erase", "--yes"], ["audit", "tail"]):
        error = site.do(*words, "--person", "per_aaaaaaaaaaaaaaaaaaaa", code=1)
        assert error["code"] == "principal-unknown"


def test_values_of_the_future_are_not_erased(site: Site) -> None:
    """A wrong year would erase everything."""
    error = site.do("audit", "erase", "--class", "access", "--before", "2999-01-01", "--yes", code=2)
    assert "in the future" in error["detail"]


def test_an_altered_index_is_made_again(site: Site) -> None:
    """`verify` says what to do about an index that is wrong, and then it is well again."""
    installation = site.opened()
    Serve(installation).stop()  # puts the events into the log
    installation.close()
    with closing(sqlite3.connect(site.data / "db" / "doorward.db")) as database, database:
        database.execute("INSERT INTO log_index VALUES ('ten_default', 3, 7, x'00000000')")
    assert "index-altered" in (told := site.say("audit", "verify", code=4))
    assert "`doorward audit reindex` makes the index again" in told
    assert site.do("audit", "reindex")["removed"] == 1
    assert "events verified" in site.say("audit", "verify")


def test_nothing_that_matches_is_said(site: Site) -> None:
    """An empty answer of a search looks like a failure otherwise."""
    assert "no event matches" in site.say("audit", "tail", "--result", "failed")
