"""Each example can be read and played, and its rules decide as its README says."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from doorward.core.entities import Outcome, Reason
from doorward.core.factor_kinds import FactorKind
from doorward.core.shown_factors import ShownFactors
from doorward.policy.analysis import lint_document
from doorward.policy.decision import Request, decide
from doorward.policy.document import parse_document
from doorward.policy.subject import Subject
from tests.support import records
from tests.support.commands import run_program
from tests.support.ports import NOON
from tests.support.walkthrough import ROOT

EXAMPLES = sorted(one for one in (ROOT / "examples").iterdir() if one.is_dir() and one.name[0] not in "._")
WORDS = {"allowed": Reason.RULE_ALLOWS, "factor missing": Reason.FACTOR_MISSING, "refused": None}

_ROW = re.compile(
    r"^\| ([\w-]+) \| (\w*) ?\| ([\d.]+) \| `([A-Z]+) (\S+)` \| ([\w ]+) \| ([\w ]+) \|$", re.MULTILINE
)


def _rows(example: Path) -> list[tuple[str, ...]]:
    return [found.groups() for found in _ROW.finditer((example / "README.md").read_text(encoding="utf-8"))]


def _shown(text: str) -> ShownFactors:
    if text == "nothing":
        return ShownFactors()
    kind, ago = text.split()
    return ShownFactors.of({FactorKind(kind): NOON - timedelta(minutes=int(ago.removesuffix("m")))})


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_an_example_is_whole(example: Path) -> None:
    """It has a README with a picture of its own, a policy, and a day that `make example` plays."""
    text = (example / "README.md").read_text(encoding="utf-8")
    assert f"make example NAME={example.name}" in text
    picture = re.search(r"!\[[^\]]{20,}\]\((\S+\.svg)\)", text)
    assert picture
    assert (example / picture[1]).is_file()
    assert (example / "day.py").is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_its_policy_is_without_fault(example: Path) -> None:
    """The document is read, and nothing in it is legal but odd."""
    document = parse_document((example / "policy.yaml").read_text(encoding="utf-8"))
    assert list(lint_document(document)) == []


@pytest.mark.parametrize(
    ("example", "row"),
    [pytest.param(one, row, id=" ".join(row)) for one in EXAMPLES for row in _rows(one)],
)
def test_its_rules_decide_as_the_readme_says(example: Path, row: tuple[str, ...]) -> None:
    """Each line of the table is one request, judged by the example's own policy."""
    name, group, source, method, path, shown, word = row
    document = parse_document((example / "policy.yaml").read_text(encoding="utf-8"))
    who = records.principal(name, tenant="ten_1", id="per_1", groups=(group,) if group else ())
    subject = Subject(principal=who, source=ip_address(source), time=NOON)
    decision = decide(
        document.apps[0],
        "ten_1",
        "app_1",
        subject,
        Request(method=method, raw_path=path, shown=_shown(shown)),
    )
    reason = WORDS[word]
    if reason is not None:
        assert decision.reasons[-1] is reason
    else:
        assert decision.outcome is Outcome.BAD
        assert Reason.FACTOR_MISSING not in decision.reasons


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_the_readme_has_a_table_of_decisions(example: Path) -> None:
    """Otherwise the test before asks nothing. Only a rule that asks for a factor can miss one."""
    factors = "require:" in (example / "policy.yaml").read_text(encoding="utf-8")
    assert {row[-1] for row in _rows(example)} == (set(WORDS) if factors else set(WORDS) - {"factor missing"})


@pytest.mark.parametrize("name", ["", "no-such-example"])
def test_make_lists_the_examples_for_any_other_name(name: str) -> None:
    """It says which there are, exits 2, and plays nothing."""
    done = run_program(["make", "example", f"NAME={name}"], cwd=ROOT)
    assert done.returncode == 2
    for one in EXAMPLES:
        assert f"make example NAME={one.name}" in done.stderr
