"""Many generated chains, new ones each time: each difference between a judge and ours is one that was read up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from doorward.verification.path.policies import PolicyInputs
from tests.support.certificates.chains import Chain
from tests.support.path_differential import (
    chains,
    check_against_library,
    check_against_openssl,
    policy_inputs,
)


@pytest.mark.needs("openssl")
@settings(max_examples=2_000, deadline=None, suppress_health_check=(HealthCheck.function_scoped_fixture,))
@given(chain=chains(), policies=policy_inputs)
def test_openssl_over_thousands_of_chains(chain: Chain, policies: PolicyInputs, tmp_path: Path) -> None:
    """Ours and `openssl verify` agree, or differ in a way that RFC 5280 decides."""
    check_against_openssl(chain, policies, tmp_path)


@settings(max_examples=5_000, deadline=None)
@given(chain=chains())
def test_the_library_over_thousands_of_chains(chain: Chain) -> None:
    """Ours and the library's ClientVerifier agree, or differ in a way that RFC 5280 decides."""
    check_against_library(chain)
