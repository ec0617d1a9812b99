"""The number of ids that a connection may hold, and documents that are refused because of it."""

from __future__ import annotations

import pytest

from doorward.core.entities import Outcome
from doorward.core.errors import ConfigurationError
from doorward.policy.analysis import lint_document
from doorward.policy.capacity import MOST_GRANTS, check_capacity, count_grants
from doorward.policy.decision import check_admission, permissions_of
from doorward.policy.document import parse_document
from doorward.policy.grants import grants_fit
from doorward.policy.model import Document
from doorward.policy.subject import Subject
from tests.support import records

STAFF = "{allow: {groups: [staff]}}"


def document(*rules: str) -> Document:
    """One application with these rules."""
    lines = "".join(f"      - {rule}\n" for rule in rules)
    head = "trust_domain: corp.example\napps:\n  app:\n    hosts: [app.corp.example]\n"
    return parse_document(f"{head}    upstream: http://127.0.0.1:9000\n    rules:\n{lines}", file="test.yaml")


def alice(*groups: str) -> Subject:
    """A person in some groups."""
    who = records.principal("alice", tenant="ten_default", id="per_a", groups=groups)
    return Subject(principal=who)


def test_the_count_is_the_limit_of_the_judge() -> None:
    """So many ids fit as the judge lets in, and not one more."""
    assert grants_fit("g" * 21 for _ in range(MOST_GRANTS))
    assert not grants_fit("g" * 21 for _ in range(MOST_GRANTS + 1))


def test_two_hundred_deny_selectors_are_refused_with_the_mend() -> None:
    """Each connection would hold 200 clearances, which do not fit: said before anybody is locked out."""
    denies = [f"{{deny: {{groups: [g{at}]}}, to: {{paths: [/p{at}]}}}}" for at in range(200)]
    large = document(STAFF, *denies)
    app = large.apps[0]
    assert check_admission(permissions_of(app, "ten_default", "app_a", alice("staff"))).outcome is Outcome.BAD
    with pytest.raises(ConfigurationError) as caught:
        check_capacity(large, file="test.yaml")
    assert caught.value.code == "grants-exceeded"
    assert "201" in str(caught.value)
    assert "join rules" in caught.value.hint
    joined = "{deny: {groups: [" + ", ".join(f"g{at}" for at in range(200)) + "]}}"
    mended = document(STAFF, joined)
    check_capacity(mended, file="test.yaml")
    assert (
        check_admission(permissions_of(mended.apps[0], "ten_default", "app_a", alice("staff"))).outcome
        is Outcome.GOOD
    )


def test_the_last_that_fits_is_taken() -> None:
    """184 clearances and one grant fit; one more does not."""
    denies = [f"{{deny: {{groups: [g{at}]}}, to: {{paths: [/p{at}]}}}}" for at in range(MOST_GRANTS - 1)]
    check_capacity(document(STAFF, *denies), file="test.yaml")
    with pytest.raises(ConfigurationError):
        check_capacity(document(STAFF, *denies, "{deny: {devices: [d]}}"), file="test.yaml")


def test_what_may_not_fit_is_said() -> None:
    """A member of all groups of many allow rules would hold too many ids; this is a finding, because most people are not."""
    allows = [f"{{allow: {{groups: [g{at}]}}, to: {{paths: [/p{at}]}}}}" for at in range(MOST_GRANTS + 1)]
    large = document(*allows)
    check_capacity(large, file="test.yaml")
    assert [one.code for one in lint_document(large)] == ["grants-too-many"]
    assert lint_document(document(*allows[:-1])) == []


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["{deny: {groups: [a]}}"], (0, 0)),
        ([STAFF, STAFF.replace("}}", "}, to: {paths: [/x]}}")], (1, 1)),
        (["{allow: {kind: [person]}}", "{deny: {kind: [person]}}"], (1, 1)),
        (["{allow: {kind: [device]}}", "{deny: {kind: [person]}}"], (2, 2)),
        (["{allow: {persons: [a]}}", "{allow: {persons: [a, b]}}", "{allow: {persons: [c]}}", STAFF], (1, 3)),
    ],
)
def test_counts(rules: list[str], expected: tuple[int, int]) -> None:
    """Equal selectors count once, a principal has one name, and a deny rule for a whole kind needs no clearance."""
    assert count_grants(document(*rules).apps[0]) == expected
