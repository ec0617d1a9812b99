"""What takes away asks on a terminal and takes `--yes`; in a script it is done, for it opens no door (record 0050)."""

from __future__ import annotations

import pytest

from doorward.cli import confirming
from tests.integration.command_line.conftest import DOCUMENT, Site

WORDS = (
    ["person", "remove", "alice"],
    ["person", "rename", "alice", "alicia"],
    ["app", "remove", "payments"],
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is there to be asked."""
    monkeypatch.setattr(confirming, "may_ask", lambda state: not state.output.as_json)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_at_a_terminal_it_is_asked(site: Site, words: list[str]) -> None:
    """No and silence change nothing; yes, `--yes` and `--json` go on."""
    before = site.do("person", "list"), site.do("export")
    refused = site.run(*words, stdin="n\n")
    assert refused.exit_code == 1
    assert "not-confirmed" in refused.output
    assert (site.do("person", "list"), site.do("export")) == before
    assert site.run(*words, stdin="y\n").exit_code == 0
    assert (site.do("person", "list"), site.do("export")) != before


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_script_is_not_asked(site: Site, words: list[str]) -> None:
    """A removal in a script must not leave somebody in; with `--yes` it is the same."""
    assert site.run(*words).exit_code == 0


def test_a_document_that_drops_an_application_asks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only dropping is asked about."""
    from doorward.cli.commands import policy

    empty = site.file("empty.yaml", "trust_domain: corp.example\n")
    for module in (confirming, policy):
        monkeypatch.setattr(module, "may_ask", lambda state: not state.output.as_json)
    asked = site.run("apply", "-f", empty, stdin="n\n")
    assert asked.exit_code == 1
    assert "payments" in asked.output
    assert site.run("apply", "-f", empty, "--yes").exit_code == 0
    assert site.run("apply", "-f", site.file("more.yaml", DOCUMENT), stdin="").exit_code == 0


def test_a_forgotten_member_does_not_cost_the_group(site: Site) -> None:
    """`group remove GROUP` of a group that has members wants a word also in a script."""
    site.do("group", "add", "few", "alice")
    assert site.do("group", "remove", "few", code=1)["code"] == "not-confirmed"
    assert site.do("group", "remove", "few", "--yes")["group"] == "few"
    assert site.do("group", "remove", "few")["notes"] == ["there is no group named few"]
    assert site.do("group", "remove", "tellers", "--yes", code=1)["code"] == "group-in-use"


def test_twice_is_once(site: Site) -> None:
    """The second time nothing happens, and that is said."""
    site.do("person", "add", "bob", "--group", "few")
    for words, note in (
        (["person", "add", "bob", "--group", "few"], "bob was there already"),
        (["group", "create", "few"], "the group few was there already"),
        (["group", "add", "few", "bob"], "bob was in few already"),
    ):
        assert site.do(*words)["notes"] == [note]
    site.do("person", "remove", "bob")
    assert site.do("person", "remove", "bob")["notes"] == ["bob was removed already"]
    gone = site.do("app", "remove", "nothing")
    assert (gone["changed"], gone["notes"]) == (False, ["there is no application named nothing"])
    gone = site.do("rule", "remove", "payments", "nothing")
    assert (gone["changed"], "has no rule named nothing" in gone["notes"][0]) == (False, True)
    assert "there is no application named nothing" in site.say("app", "remove", "nothing")


def test_a_change_says_what_to_change(site: Site) -> None:
    """`app set` with a name alone is not understood: exit code 2."""
    assert "--upstream" in site.do("app", "set", "payments", code=2)["detail"]
