"""Generated chains with faults, judged by us, by `openssl verify` and by the library: each difference is explained.

The chains are the same in every run; `make prove` judges many more, new ones each time.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from doorward.verification.path.policies import PolicyInputs
from tests.support.certificates.chains import Chain, build
from tests.support.path_differences import LIBRARY, OPENSSL, Difference
from tests.support.path_differential import (
    chains,
    check_against_library,
    check_against_openssl,
    policy_inputs,
)
from tests.support.path_judges import judge_library, judge_openssl, judge_ours

ONE_FOLDER = (HealthCheck.function_scoped_fixture,)


@pytest.mark.needs("openssl")
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=ONE_FOLDER)
@given(chain=chains(), policies=policy_inputs)
def test_openssl_differs_only_where_it_is_known_to(
    chain: Chain, policies: PolicyInputs, tmp_path: Path
) -> None:
    """Ours and `openssl verify` agree, or differ in a way that RFC 5280 decides."""
    check_against_openssl(chain, policies, tmp_path)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(chain=chains())
def test_the_library_differs_only_where_it_is_known_to(chain: Chain) -> None:
    """Ours and the library's ClientVerifier agree, or differ in a way that RFC 5280 decides."""
    check_against_library(chain)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("kind", OPENSSL, ids=lambda kind: kind.name)
def test_each_difference_from_openssl_is_real(kind: Difference, tmp_path: Path) -> None:
    """The example of each kind shows it: a kind that died with a new version is taken off the list."""
    built = build(kind.example)
    ours, theirs = judge_ours(built, PolicyInputs()), judge_openssl(built, PolicyInputs(), tmp_path)
    assert theirs.good != ours.good
    assert kind.explains(kind.example, ours, theirs), (ours, theirs)


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: kind.name)
def test_each_difference_from_the_library_is_real(kind: Difference) -> None:
    """The example of each kind shows it."""
    built = build(kind.example)
    ours, theirs = judge_ours(built, PolicyInputs()), judge_library(built)
    assert theirs.good != ours.good
    assert kind.explains(kind.example, ours, theirs), (ours, theirs)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    "chain",
    [Chain(authorities=2, crossed=frozenset({2})), Chain(authorities=2, twins=((1, "permit-dn-other"),))],
    ids=["cross-signed by a stranger", "a twin with constraints"],
)
def test_openssl_does_not_backtrack(chain: Chain, tmp_path: Path) -> None:
    """With a second certificate of an authority it fails although there is a good path; with only that path it agrees."""
    built = build(chain)
    ours = judge_ours(built, PolicyInputs())
    assert ours.good
    assert not judge_openssl(built, PolicyInputs(), tmp_path).good
    assert judge_openssl(built, PolicyInputs(), tmp_path, ours.path[1:-1]).good
