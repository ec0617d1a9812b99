"""`rule add` and `policy explain`: rules that require a second factor."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Site

EXPLAIN = ("policy", "explain", "--principal", "alice", "--app", "payments", "POST", "/transfers")


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (("--require", "webauthn", "--within", "5m"), "require: {factor: webauthn, within: 5m}"),
        (("--require", "any"), "require: {factor: any}"),
        (("--level", "2"), "require: {level: 2}"),
    ],
)
def test_a_rule_requires_a_factor(site: Site, words: tuple[str, ...], written: str) -> None:
    """The document says it, and a request without it is explained."""
    site.do("rule", "add", "payments", "--group", "tellers", "--path", "/transfers", *words)
    assert written in site.do("export")["document"]
    explained = site.do(*EXPLAIN, code=1)
    assert explained["reasons"] == ["principal-active", "factor-missing"]
    assert len(explained["missing"]) == 1
    assert site.do(*EXPLAIN, "--shown", "webauthn=2m")["missing"] == []


def test_what_is_missing_is_said_with_its_age(site: Site) -> None:
    """For people, in the line of the rule."""
    words = ("--group", "tellers", "--path", "/transfers", "--require", "webauthn", "--within", "5m")
    site.do("rule", "add", "payments", *words)
    said = site.run(*EXPLAIN, "--shown", "webauthn=12m").output
    assert "it needs webauthn within 5 min; shown 12 min ago" in said


@pytest.mark.parametrize(
    "words",
    [
        ("rule", "add", "payments", "--group", "tellers", "--require", "any", "--level", "2"),
        ("rule", "add", "payments", "--group", "tellers", "--within", "5m"),
        ("rule", "add", "payments", "--group", "tellers", "--require", "recovery-code"),
        ("rule", "add", "payments", "--group", "tellers", "--require", "any", "--within", "5"),
        ("rule", "add", "payments", "--deny", "--group", "tellers", "--require", "any"),
        ("policy", "explain", "--anonymous", "--app", "payments", "GET", "/", "--shown", "totp"),
        (*EXPLAIN, "--shown", "any"),
    ],
)
def test_what_cannot_be_meant_is_not_understood(site: Site, words: tuple[str, ...]) -> None:
    """Exit code 2; nothing changes."""
    site.do(*words, code=2)
