"""`doorward ca import --replace` says which terms and authorities change before anything does."""

from __future__ import annotations

import pytest

from tests.support.certificates.issuing import CertifiedKey, around_now, certify
from tests.unit.cli.conftest import Site

DATES = around_now(99)
FIRST, SECOND = certify("Clinic", **DATES), certify("Clinic [b]Second[/b]", **DATES)
ISSUING = certify("Clinic Issuing", FIRST, **DATES)


@pytest.fixture
def anchor(site: Site) -> str:
    """The file of a partner's root."""
    return site.file("clinic.der", FIRST.der)


def brief(node: CertifiedKey) -> dict[str, str]:
    """An authority as a change names it."""
    return {"subject": node.certificate.subject.rfc4514_string(), "sha256": node.parsed.sha256[:16]}


def test_terms_that_are_not_repeated_are_reported(site: Site, anchor: str) -> None:
    """Terms that fall back to their defaults stand in the report, for people and as JSON; the same terms are none."""
    words = (
        "ca",
        "import",
        "clinic",
        anchor,
        "--domain",
        "clinic.example",
        "--permit",
        "email:clinic.example",
    )
    assert site.do(*words, "--group", "clinicians", "--yes")["changes"] == []
    assert site.do(*words, "--group", "clinicians", "--replace", "--check")["changes"] == []
    bare = ("ca", "import", "clinic", anchor, "--everyone", "--replace", "--check")
    assert site.do(*bare)["changes"] == [
        {"term": "domain", "before": "clinic.example", "after": ""},
        {"term": "groups", "before": ["clinicians"], "after": []},
        {"term": "everyone", "before": False, "after": True},
        {"term": "permitted", "before": ["email:clinic.example"], "after": []},
    ]
    said = site.say(*bare)
    assert "changes  domain: clinic.example → none" in said
    assert "changes  everyone: no → yes" in said
    assert "nothing was changed" in said
    assert site.do("ca", "show", "clinic")["domain"] == "clinic.example"
    assert (
        site.do("ca", "import", "other", anchor, "--replace", "--check", code=1)["code"] == "partner-unknown"
    )


def test_the_next_step_is_legible(site: Site, anchor: str) -> None:
    """What to write into the document stands there as it is to be written."""
    assert "trust: [own, clinic]" in site.say("ca", "import", "clinic", anchor, "--yes")


def test_authorities_that_are_dropped_or_added_are_told(site: Site, anchor: str) -> None:
    """Repeating an older line takes out what came since: it says so before, and whom that cuts off."""
    second, issuing = site.file("second.der", SECOND.der), site.file("issuing.der", ISSUING.der)
    site.do("ca", "import", "clinic", anchor, second, "-i", issuing, "--yes")
    same = ("ca", "import", "clinic", second, anchor, "-i", issuing, "--replace", "--check")
    assert site.do(*same)["changes"] == []
    assert "dropped" not in site.say(*same)
    older = ("ca", "import", "clinic", anchor, "--replace")
    dropped = [
        {"term": "anchor", "before": brief(SECOND), "after": None},
        {"term": "intermediate", "before": brief(ISSUING), "after": None},
    ]
    assert site.do(*older, "--check")["changes"] == dropped
    said = site.say(*older, "--yes")
    assert f"changes  drops anchor CN=Clinic [b]Second[/b]  {SECOND.parsed.sha256[:16]}" in said
    assert f"changes  drops intermediate CN=Clinic Issuing  {ISSUING.parsed.sha256[:16]}" in said
    assert (
        "connections with a certificate of a dropped authority alone are cut at once, and refused from then on"
        in said
    )
    other = ("ca", "import", "clinic", second, "-i", anchor, "--replace", "--check")
    assert site.do(*other)["changes"] == [
        {"term": "anchor", "before": brief(FIRST), "after": None},
        {"term": "anchor", "before": None, "after": brief(SECOND)},
        {"term": "intermediate", "before": None, "after": brief(FIRST)},
    ]
    back = ("ca", "import", "clinic", anchor, second, "--replace", "--check")
    said = site.say(*back)
    assert f"changes  adds anchor CN=Clinic [b]Second[/b]  {SECOND.parsed.sha256[:16]}" in said
    assert "cut off" not in said


def test_the_question_says_whose_people_are_cut_off(site: Site, anchor: str) -> None:
    """Where an authority is dropped the question is another one, and no is an answer."""
    site.do("ca", "import", "clinic", anchor, site.file("second.der", SECOND.der), "--yes")
    asked = site.ask("ca", "import", "clinic", anchor, "--replace", answer="n\n")
    assert asked.exit_code == 1
    assert "principals of clinic, and cut off those of the authorities that are dropped?" in asked.output
    assert len(site.do("ca", "show", "clinic")["authorities"]) == 2


def test_a_yes_is_to_what_was_shown(site: Site, anchor: str) -> None:
    """What another brings in while the question waits is not dropped by the yes to it, and that is said."""
    site.do("ca", "import", "clinic", anchor, "--yes")
    second = site.file("second.der", SECOND.der)

    def bring_in_another() -> None:
        site.do("ca", "import", "clinic", anchor, second, "--replace", "--yes")

    words = ("ca", "import", "clinic", anchor, "--domain", "clinic.example", "--replace")
    asked = site.ask(*words, answer="y\n", meanwhile=bring_in_another)
    assert "principals of clinic?" in asked.output
    assert asked.exit_code == 1
    assert "partner-changed" in asked.output
    assert "read the new report" in asked.output
    shown = site.do("ca", "show", "clinic")
    assert (len(shown["authorities"]), shown["domain"]) == (2, "")


def test_a_name_that_is_taken_is_said_before_anything(site: Site, anchor: str) -> None:
    """Nobody is asked, nor told of faulty authorities, for a name that is not free; a look alone needs no name."""
    site.do("ca", "import", "clinic", anchor, "--yes")
    assert site.do("ca", "import", "clinic", anchor, code=1)["code"] == "name-taken"
    stray = site.file("stray.der", ISSUING.der)
    words = ("ca", "import", "clinic", site.file("second.der", SECOND.der), "-i", stray)
    assert site.do(*words, code=1)["code"] == "name-taken"
    assert site.do(*words, "--yes", code=1)["code"] == "name-taken"
    found = {one["code"] for one in site.do(*words, "--check")["findings"]}
    assert "no-path-to-an-anchor" in found
