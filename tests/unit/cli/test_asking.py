"""What takes away asks on a terminal and takes `--yes`; in a script it is done, for it opens no door (record 0050)."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import DOCUMENT, Site

WORDS = (
    ["person", "remove", "alice"],
    ["person", "rename", "alice", "alicia"],
    ["app", "remove", "payments"],
)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_at_a_terminal_it_is_asked(site: Site, words: list[str]) -> None:
    """No and silence change nothing; yes, `--yes` and `--json` go on."""
    before = site.do("person", "list"), site.do("export")
    refused = site.ask(*words, answer="n\n")
    assert refused.exit_code == 1
    assert "not-confirmed" in refused.output
    assert (site.do("person", "list"), site.do("export")) == before
    assert site.ask(*words, answer="y\n").exit_code == 0
    assert (site.do("person", "list"), site.do("export")) != before


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_script_is_not_asked(site: Site, words: list[str]) -> None:
    """A removal in a script must not leave somebody in; with `--yes` it is the same."""
    assert site.run(*words).exit_code == 0


def test_a_document_that_drops_an_application_asks(site: Site) -> None:
    """Only dropping is asked about."""
    empty = site.file("empty.yaml", "trust_domain: corp.example\n")
    asked = site.ask("apply", "-f", empty, answer="n\n")
    assert asked.exit_code == 1
    assert "payments" in asked.output
    assert site.ask("apply", "-f", empty, "--yes", answer="").exit_code == 0
    assert site.ask("apply", "-f", site.file("more.yaml", DOCUMENT), answer="").exit_code == 0


def test_what_ends_is_said_before_the_question(site: Site) -> None:
    """Rollback and removal say which applications' connections end at once, as `apply` does."""
    site.do("app", "add", "wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:1")
    for words in (["policy", "rollback", "1"], ["app", "remove", "wiki"]):
        asked = site.ask(*words, answer="n\n").output
        assert asked.index("all connections to wiki end at once") < asked.index("[y/N]")
        assert "payments end" not in asked
    assert "end at once" not in site.run("app", "remove", "nothing").stderr
    assert "all connections to wiki end at once" in site.run("app", "remove", "wiki").stderr


def test_a_refused_document_ends_nothing(site: Site) -> None:
    """An `apply` that another revision preceded speaks of no end: its error stands alone."""
    empty = site.file("empty.yaml", "trust_domain: corp.example\n")
    refused = site.run("apply", "-f", empty, "--expect", "7")
    assert "revision-conflict" in refused.stderr
    assert "end at once" not in refused.stderr


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
        (["person", "add", "bob", "--group", "few"], "bob existed already"),
        (["group", "create", "few"], "the group few existed already"),
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


ADD = ("app", "add", "wiki", "--host", "wiki.corp.example", "--upstream", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "answer", "page"),
    [
        ((), "\n", True),
        ((), "machines\n", False),
        (("--for", "people"), "", True),
        (("--for", "machines"), "", False),
    ],
)
def test_whom_an_application_is_for_is_asked_at_a_terminal(
    site: Site, words: tuple[str, ...], answer: str, *, page: bool
) -> None:
    """People get pages, machines alerts; with `--for` there is no question."""
    asked = site.ask(*ADD, *words, answer=answer)
    assert asked.exit_code == 0
    assert ("people with browsers, or machines?" in asked.output) is bool(answer)
    assert ("on_refusal: page" in site.do("export")["document"]) is page


def test_a_script_that_does_not_say_gets_the_alert(site: Site) -> None:
    """As before; and a port of TCP is never asked about."""
    site.do(*ADD)
    database = ("app", "add", "db", "--host", "db.corp.example", "--upstream", "tcp://127.0.0.1:2")
    assert "machines?" not in site.ask(*database, answer="").output
    assert "on_refusal" not in site.do("export")["document"]
    assert site.do("app", "set", "wiki", "--on-refusal", "page")["changed"]
    assert "on_refusal: page" in site.do("export")["document"]


def test_a_host_below_a_portal_of_another_name_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The portal's host may be a setting; what lies below it could ask for its passkeys."""
    monkeypatch.setenv("DOORWARD_PORTAL_HOST", "login.corp.example")
    words = ("app", "add", "wiki", "--host", "wiki.login.corp.example", "--upstream", "http://127.0.0.1:1")
    refused = site.do(*words, code=2)
    assert [one["code"] for one in refused["faults"]] == ["host-reserved"]


def test_the_host_of_the_est_server_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a setting, too: an application there would get the tokens and certificates of devices."""
    monkeypatch.setenv("DOORWARD_EST_HOST", "devices.corp.example")
    words = ("app", "add", "wiki", "--host", "devices.corp.example", "--upstream", "http://127.0.0.1:1")
    refused = site.do(*words, code=2)
    assert [one["code"] for one in refused["faults"]] == ["host-reserved"]
