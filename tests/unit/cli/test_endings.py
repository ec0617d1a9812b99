"""`cert list --ending` and the line of `status` about certificates that were not renewed."""

from __future__ import annotations

from tests.unit.cli.conftest import Site


def test_certificates_that_end_are_listed(site: Site) -> None:
    """Those that end within the time; the option goes alone."""
    held = site.certificate("alice")
    listed = site.do("cert", "list", "--ending", "400d")
    assert [one["id"] for one in listed] == [held]
    assert {one["subject"] for one in listed} == {one["subject"] for one in site.do("cert", "list")}
    assert site.do("cert", "list", "--ending", "1d") == []
    for words in (("--all",), ("--ending", "1d", "--of", "alice"), ("--ending", "soon")):
        assert site.run("cert", "list", *words).exit_code == 2


def test_a_mail_address_is_added_shown_and_removed(site: Site) -> None:
    """With the person or later; a wrong one adds no person."""
    error = site.do("person", "add", "carol", "--email", "carol", code=2)
    assert error["code"] == "mail-address-malformed"
    assert "carol" not in [one["name"] for one in site.do("person", "list")]
    site.do("person", "add", "carol", "--email", "carol@corp.example")
    assert site.do("person", "show", "carol")["mail_address"] == "carol@corp.example"
    site.do("person", "set", "carol", "--email", "", "--display-name", "Carol")
    shown = site.do("person", "show", "carol")
    assert (shown["mail_address"], shown["display_name"]) == ("", "Carol")
    assert site.run("person", "set", "carol").exit_code == 2
