"""policy.requirements and requirement_text: which second factor a rule asks for, and how fresh it must be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError, MalformedInput
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import NOTHING_SHOWN, ShownFactors
from doorward.policy.document import parse_document, render_document
from doorward.policy.requirement_text import parse_shown
from doorward.policy.requirements import (
    SECOND_FACTORS,
    Requirement,
    describe_missing,
    find_missing,
    render_age,
)
from tests.support.ports import NOON

APP = """\
trust_domain: corp.example
apps:
  pay:
    hosts: [pay.corp.example]
    upstream: http://127.0.0.1:9000
    rules:
"""
WEBAUTHN = FactorKind.WEBAUTHN


def asking(text: str) -> str:
    """Return a document with one rule; `text` is the value of `require`, and begins in line 7, column 42."""
    return APP + f"      - {{allow: {{groups: a}}, require: {text}}}\n"


@pytest.mark.parametrize(
    ("text", "requirements", "words"),
    [
        ("{factor: webauthn, within: 5m}", [{"factor": WEBAUTHN, "minutes": 5}], "webauthn within 5 min"),
        ("{factor: any}", [{}], "any factor"),
        ("{level: 2}", [{"level": 2}], "level 2"),
        ("{level: 3, within: 24h}", [{"level": 3, "minutes": 24 * 60}], "level 3 within 24 h"),
        ("{factor: totp, within: 90s}", [{"factor": FactorKind.TOTP, "minutes": 1.5}], "totp within 90 s"),
        (
            "[{factor: password}, {factor: any, within: 1h}]",
            [{"factor": FactorKind.PASSWORD}, {"minutes": 60}],
            "any factor within 1 h, password",
        ),
    ],
)
def test_a_rule_says_what_it_requires(text: str, requirements: list[dict[str, Any]], words: str) -> None:
    """The canonical document says the same."""
    document = parse_document(asking(text))
    (rule,) = document.apps[0].rules
    wanted = [
        Requirement(within=timedelta(minutes=minutes) if minutes else None, **one)
        for one in requirements
        for minutes in [one.pop("minutes", None)]
    ]
    assert rule.residual.requirements == set(wanted)
    assert ", ".join(sorted(map(str, wanted))) == words
    assert parse_document(render_document(document)) == document


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("{factor: webautn}", "factor-unknown", "did you mean webauthn?"),
        ("{factor: recovery-code}", "factor-unknown", "known here: any, password, totp, webauthn"),
        ("{factor: []}", "wrong-type", ""),
        ("{level: 1}", "requirement-malformed", "write 2 (any second factor) or 3 (a passkey)"),
        ("{level: []}", "wrong-type", ""),
        ("{level: 2, factor: any}", "requirement-malformed", "write {factor: any}"),
        ("{within: 5m}", "requirement-malformed", "write {factor: any}"),
        ("{}", "requirement-malformed", "write {factor: any}"),
        ("[]", "requirement-malformed", "remove `require`"),
        ("[{level: 2}, {level: 2}]", "duplicate-value", "keep one"),
        ("[{level: 2}, webauthn]", "wrong-type", "{level: 2}"),
        (f"[{', '.join(['{level: 2}'] * 5)}]", "requirement-malformed", "remove `require`"),
        ("{factor: any, within: 5}", "requirement-malformed", "such as 5m; 30s to 24h"),
        ("{factor: any, within: 29s}", "requirement-malformed", "such as 5m; 30s to 24h"),
        ("{factor: any, within: 25h}", "requirement-malformed", "such as 5m; 30s to 24h"),
        ("{factor: any, within: []}", "wrong-type", ""),
        ("{factors: any}", "unknown-key", "did you mean factor?"),
        ("webauthn", "wrong-type", "write {factor: any}, {factor: webauthn, within: 5m} or {level: 2}"),
    ],
)
def test_a_fault_says_what_to_write(text: str, code: str, hint: str) -> None:
    """Each fault has its place and a hint; one mistake gives one fault."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(asking(text))
    (fault,) = caught.value.faults
    assert (fault.code, fault.line) == (code, 7)
    assert fault.key.startswith("apps.pay.rules[0].require")
    assert hint in fault.hint


def test_a_rule_that_denies_requires_nothing() -> None:
    """A deny rule with a requirement would deny people who show a factor."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(asking("{level: 2}").replace("allow", "deny"))
    assert [one.code for one in caught.value.faults] == ["requirement-unwanted"]


def test_an_application_of_tcp_requires_nothing() -> None:
    """A session belongs to requests, and there are none."""
    with pytest.raises(ConfigurationError) as caught:
        parse_document(asking("{level: 2}").replace("http://", "tcp://"))
    assert [(one.code, one.key) for one in caught.value.faults] == [
        ("http-only", "apps.pay.rules[0].require")
    ]


@pytest.mark.parametrize(
    "impossible",
    [
        {"level": 1},
        {"level": 2, "factor": WEBAUTHN},
        {"factor": FactorKind.RECOVERY},
        {"within": timedelta(seconds=29)},
        {"within": timedelta(hours=25)},
        {"within": timedelta(minutes=1, microseconds=1)},
    ],
)
def test_an_impossible_requirement_cannot_be_made(impossible: dict[str, Any]) -> None:
    """No constructor takes it."""
    with pytest.raises(ValueError, match=r"level 2 or 3|recovery code|24 hours"):
        Requirement(**impossible)


def test_a_requirement_names_the_claim_that_shows_it() -> None:
    """Each factor has its moment in a session's token, and the latest of them has one too."""
    claims = [Requirement(factor=kind).claim for kind in SECOND_FACTORS]
    assert sorted(claims) == ["password", "totp", "webauthn"]
    assert [Requirement(level=2).claim, Requirement(level=3).claim, Requirement().claim] == [
        "any",
        "webauthn",
        "any",
    ]


def test_shown_factors_are_each_there_once() -> None:
    """In order, so that equal ones are equal; with a time zone, so that ages can be told."""
    shown = ShownFactors.of({WEBAUTHN: NOON, FactorKind.PASSWORD: NOON})
    assert [kind for kind, _ in shown.times] == [FactorKind.PASSWORD, WEBAUTHN]
    for times in (shown.times[::-1], shown.times[:1] * 2):
        with pytest.raises(ValueError, match="sorted"):
            ShownFactors(times)
    with pytest.raises(ValueError, match="time zone"):
        ShownFactors.of({WEBAUTHN: NOON.replace(tzinfo=None)})


@pytest.mark.parametrize(
    ("kinds", "level"),
    [([], 1), ([FactorKind.RECOVERY], 1), ([FactorKind.TOTP], 2), ([FactorKind.TOTP, WEBAUTHN], 3)],
)
def test_what_was_shown_has_a_level(kinds: list[FactorKind], level: int) -> None:
    """A recovery code never raises it."""
    assert ShownFactors.of(dict.fromkeys(kinds, NOON)).level == level


def test_what_is_missing_is_told() -> None:
    """All of it, also if the moment is not known."""
    asked = [Requirement(factor=WEBAUTHN, within=timedelta(minutes=5)), Requirement(factor=FactorKind.TOTP)]
    shown = ShownFactors.of({WEBAUTHN: NOON})
    missing = find_missing(asked, shown, None)
    told = "it needs totp; not shown, and webauthn within 5 min; shown at an unknown time"
    assert describe_missing(missing, shown, None) == told
    assert describe_missing(find_missing(asked[:1], shown, NOON), shown, NOON) == ""
    assert find_missing(asked, NOTHING_SHOWN, NOON) == set(asked)
    old = ShownFactors.of({WEBAUTHN: NOON - timedelta(seconds=90)})
    soon = Requirement(within=timedelta(seconds=30))
    assert describe_missing([soon], old, NOON) == "it needs any factor within 30 s; shown 90 s ago"


def test_an_age_is_told_in_its_largest_whole_unit() -> None:
    """And never as zero of one."""
    spans = [timedelta(0), timedelta(seconds=61), timedelta(minutes=60), timedelta(minutes=61)]
    assert [render_age(one) for one in spans] == ["0 s", "61 s", "1 h", "61 min"]


def test_a_factor_shown_ahead_of_the_clock_counts() -> None:
    """Clocks of two machines differ by some seconds, and it is not told as a negative age."""
    shown = ShownFactors.of({WEBAUTHN: NOON + timedelta(seconds=3)})
    asked = [Requirement(factor=FactorKind.TOTP), Requirement(within=timedelta(minutes=5))]
    assert find_missing(asked, shown, NOON) == {asked[0]}


@pytest.mark.parametrize(
    ("text", "ages"),
    [
        ("webauthn=2m,totp=1h", {WEBAUTHN: 120, FactorKind.TOTP: 3600}),
        ("password", {FactorKind.PASSWORD: 0}),
        (" totp = 1h", None),
        ("webauthn=2m, totp=9s", {WEBAUTHN: 120, FactorKind.TOTP: 9}),
        ("webauthn=", None),
        ("webauthn=5", None),
        ("webauthn,webauthn=2m", None),
        ("recovery-code=2m", None),
        ("any=2m", None),
        ("", None),
    ],
)
def test_a_command_says_what_was_shown(text: str, ages: dict[FactorKind, int] | None) -> None:
    """Each factor once, with its age; anything else is refused with an example."""
    if ages is not None:
        times = {kind: NOON - timedelta(seconds=age) for kind, age in ages.items()}
        assert parse_shown(text, NOON) == ShownFactors.of(times)
        return
    with pytest.raises(MalformedInput) as caught:
        parse_shown(text, NOON)
    assert caught.value.code == "shown-malformed"
    assert "webauthn=2m,totp=1h" in caught.value.hint


def test_an_age_before_the_first_year_is_refused() -> None:
    """A calendar has a first day."""
    with pytest.raises(MalformedInput):
        parse_shown("totp=1h", datetime.min.replace(tzinfo=UTC))
