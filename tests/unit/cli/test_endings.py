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
