"""`doorward factor` and `doorward session`: what the cases of every command leave out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import BashComplete

from doorward.cli.__main__ import main
from doorward.core.names import PORTAL_APPLICATION
from tests.support.factor_records import factor, session
from tests.unit.cli.conftest import DOCUMENT, Site


class Furnishing:
    """Gives people of a site factors and sessions."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers = count()

    def session(self, name: str, application: str = PORTAL_APPLICATION) -> str:
        """Open a session; return its id."""
        installation = self._site.opened()
        now = datetime.now(UTC)
        with installation.services.work.change() as stores:
            principal = stores.directory.by_name(name)
            assert principal is not None
            made = session(
                f"{next(self._numbers)}",
                principal_id=principal.id,
                application_id=application,
                created_at=now,
                ends_at=now + timedelta(hours=1),
            )
            stores.sessions.add(made)
        installation.close()
        return made.id

    def passkey(self, name: str, **changed: object) -> None:
        """Give somebody a passkey."""
        installation = self._site.opened()
        with installation.services.work.change() as stores:
            principal = stores.directory.by_name(name)
            assert principal is not None
            stores.factors.add(factor(f"{next(self._numbers)}", principal_id=principal.id, **changed))
        installation.close()


@pytest.fixture
def give(site: Site) -> Iterator[Furnishing]:
    """What people have."""
    site.do("person", "add", "bob")
    return Furnishing(site)


def open_sessions(site: Site) -> list[tuple[str, str]]:
    """The sessions that are open: of which person, and where."""
    return [(one["name"], one["application"]) for one in site.do("session", "list")]


def parts_of(site: Site) -> list[dict[str, Any]]:
    """What `status` says of each part."""
    parts: list[dict[str, Any]] = json.loads(site.run("status", "--json").stdout)["parts"]
    return parts


def test_every_session_of_one_person_is_ended(site: Site, give: Furnishing) -> None:
    """`--all NAME` ends hers everywhere; others go on; a second time there is nothing to end."""
    for name in ("alice", "bob", "alice"):
        give.session(name)
    assert sorted(open_sessions(site)) == [("alice", "portal"), ("alice", "portal"), ("bob", "portal")]
    ended = site.do("session", "end", "--all", "alice")
    assert (ended["name"], ended["ended"]) == ("alice", 2)
    assert open_sessions(site) == [("bob", "portal")]
    assert site.do("session", "end", "--all", "alice")["ended"] == 0


def test_every_session_of_all_is_ended(site: Site, give: Furnishing) -> None:
    """`--everyone` asks at a terminal, and ends all."""
    give.session("alice")
    give.session("bob")
    assert "not-confirmed" in site.ask("session", "end", "--everyone", answer="n\n").output
    assert len(open_sessions(site)) == 2
    assert site.do("session", "end", "--everyone")["ended"] == 2
    assert site.say("session", "list").strip() == "no open sessions"


def test_an_ended_session_is_ended_no_more(site: Site, give: Furnishing) -> None:
    """It says that the session is over."""
    one = give.session("alice", application="app_gone")
    assert site.do("session", "list")[0]["application"] == "app_gone"
    site.do("session", "end", one)
    assert site.do("session", "end", one, code=1)["code"] == "session-over"


@pytest.mark.parametrize("words", [[], ["ses_x", "--everyone"], ["--all", "alice", "--everyone"]])
def test_one_thing_is_ended(site: Site, words: list[str]) -> None:
    """A session, a person or all: exactly one of them is named."""
    refused = site.do("session", "end", *words, code=2)
    assert refused["code"] == "usage-error"
    assert "doorward session list" in refused["detail"]


def test_an_option_without_its_value_says_how_it_is_written(site: Site) -> None:
    """With what it does; an option that takes none is answered without."""
    wanted = "requires an argument. Write --all NAME: End every session of NAME."
    assert wanted in site.say("session", "end", "--all", code=2)
    assert "Write" not in site.do("session", "end", "--everyone=x", code=2)["detail"]


def test_a_person_without_factors(site: Site) -> None:
    """The list says how to get one; a reset says that there was none, and ends sessions all the same."""
    assert "doorward factor invite alice" in site.say("factor", "list", "alice")
    assert site.do("factor", "reset", "alice")["notes"] == ["alice had no factor"]


def test_a_reset_asks_and_ends_the_sessions(site: Site, give: Furnishing) -> None:
    """At a terminal it names what goes; no is no; yes removes the factors and ends what they opened."""
    give.passkey("alice")
    give.session("alice")
    refused = site.ask("factor", "reset", "alice", answer="n\n")
    assert "webauthn" in refused.output
    assert refused.exit_code == 1
    assert len(site.do("factor", "list", "alice")) == len(open_sessions(site)) == 1
    assert site.ask("factor", "reset", "alice", answer="y\n").exit_code == 0
    assert site.do("factor", "list", "alice") == open_sessions(site) == []


def test_a_passkey_of_another_host_is_shown_as_lost(site: Site, give: Furnishing) -> None:
    """The portal's host changed since: browsers do not offer the passkey there."""
    give.passkey("alice")
    give.passkey("alice", rp_id="former.corp.example")
    assert [one["lost"] for one in site.do("factor", "list", "alice")] == [False, True]
    assert "lost" in site.say("factor", "list", "alice")


def test_only_a_person_enrols(site: Site) -> None:
    """A device has no second factor."""
    site.do("device", "add", "sensor-1")
    assert site.do("factor", "invite", "sensor-1", code=1)["code"] == "factors-for-persons"


def test_an_invitation_says_what_it_lacks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link is of no use to who has no certificate, and of little use if browsers do not trust the portal."""
    without_certificate, without_trust = site.do("factor", "invite", "alice")["notes"]
    assert "doorward invite alice" in without_certificate
    assert "root_is_deployed" in without_trust
    monkeypatch.setenv("DOORWARD_ROOT_IS_DEPLOYED", "true")
    assert without_trust not in site.do("factor", "invite", "alice")["notes"]


def test_a_rule_that_asks_for_what_no_one_can_enrol_says_so(site: Site) -> None:
    """Nothing else would tell before the first person stands in front of the portal."""
    site.do("app", "add", "bank", "--host", "bank.corp.example", "--upstream", "http://127.0.0.1:9000")
    words = ["rule", "add", "bank", "--kind", "person", "--require", "webauthn"]
    assert "root_is_deployed" in site.ask(*words, answer="").output
    assert "root_is_deployed" in " ".join(site.do("rule", "add", "bank", *words[3:])["findings"])


def test_a_document_that_asks_for_what_no_one_can_enrol_says_so(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`apply`, `policy check` and `status` warn, with the exit codes of before; a portal that is trusted is no matter."""
    plain, asking = tmp_path / "plain.yaml", tmp_path / "asking.yaml"
    plain.write_text(DOCUMENT)
    asking.write_text(DOCUMENT + "        require: {factor: webauthn}\n")
    assert (
        site.do("policy", "check", "-f", str(plain))["findings"]
        == site.do("apply", "-f", str(plain))["findings"]
    )
    assert "portal" not in [one["name"] for one in parts_of(site)]
    for words in (["policy", "check"], ["apply"]):
        assert "root_is_deployed" in " ".join(site.do(*words, "-f", str(asking))["findings"])
    said = site.say("status", code=3)
    assert "! portal" in said
    assert "→ set portal_certificate" in said
    (part,) = [one for one in parts_of(site) if one["name"] == "portal"]
    assert (part["trouble"], len(part["warnings"])) == ([], 1)
    monkeypatch.setenv("DOORWARD_ROOT_IS_DEPLOYED", "true")
    assert "root_is_deployed" not in " ".join(site.do("policy", "check", "-f", str(asking))["findings"])
    assert "portal" not in [one["name"] for one in parts_of(site)]


def test_an_invitation_says_why_it_has_no_link_for_a_browser(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To people only, of a person only, and not where there is one."""
    site.do("device", "add", "sensor-1")
    assert "No link for a browser: browsers do not trust" in site.say("invite", "alice")
    assert "No link for a browser" not in site.say("invite", "sensor-1")
    monkeypatch.setenv("DOORWARD_ROOT_IS_DEPLOYED", "true")
    assert "No link for a browser" not in site.say("invite", "alice")


def test_a_second_link_says_that_it_ends_the_first(site: Site) -> None:
    """The first person to use the former one would wonder."""
    assert not any("earlier links" in one for one in site.do("factor", "invite", "alice")["notes"])
    assert any("earlier links" in one for one in site.do("factor", "invite", "alice")["notes"])
    assert "earlier links" in site.say("factor", "invite", "alice")


def test_a_link_is_shown_once_and_kept_nowhere(site: Site) -> None:
    """The token stands behind the #, works for the hours that were named, and is not in the database."""
    invited = site.do("factor", "invite", "alice", "--hours", "2")
    address, _, token = invited["link"].partition("#token=")
    assert address.startswith("https://portal.corp.example")
    assert len(token) == 43
    left = datetime.fromisoformat(invited["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=50) < left <= timedelta(hours=2)
    assert token.encode() not in (site.data / "db" / "doorward.db").read_bytes()


def test_sessions_are_completed(site: Site, give: Furnishing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tab key offers the ids of open sessions, and names of persons."""
    one = give.session("alice")
    monkeypatch.setenv("DOORWARD_DATA", str(site.data))
    for words, offered in (("session end ses_", [one]), ("factor list a", ["alice"])):
        monkeypatch.setenv("COMP_WORDS", f"doorward {words}")
        monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
        complete = BashComplete(main, {}, "doorward", "_DOORWARD_COMPLETE")
        assert [line.split(",", 1)[1] for line in complete.complete().splitlines()] == offered
