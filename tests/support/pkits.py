"""NIST PKITS as it comes with PyPI's cryptography-vectors: where its files lie, and our list of its cases.

Its certificates are of 2011: they bear no key identifiers where they need not, and there is no extended
key usage. So the profile is not held (`enforce_profile`), and no purpose is asked for.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors

from doorward.core.errors import MalformedInput
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.signatures import Strength
from tests.support.vectors import ROOT

FILES = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
LIST = tomllib.loads((ROOT / "tests/protocol/suites/pkits_cases.toml").read_text(encoding="utf-8"))
CASES: list[dict[str, Any]] = [case for section in LIST.values() for case in section["cases"]]

TEST_POLICY = "2.16.840.1.101.3.2.1.48."


def name_of(case: dict[str, Any]) -> str:
    """Return the number of the test, and of the variant if it has several."""
    return f"{case['test']}.{case['variant']}" if "variant" in case else str(case["test"])


@cache
def certificate(stem: str) -> PathCertificate | None:
    """Return one of NIST's certificates; None if it cannot be read."""
    try:
        return parse_path_certificate((FILES / "certs" / f"{stem}.crt").read_bytes())
    except MalformedInput:
        return None


def policies_of(case: dict[str, Any]) -> PolicyInputs:
    """Return the policy inputs of one case."""
    policies = frozenset(f"{TEST_POLICY}{number}" for number in case.get("policies", ()))
    return PolicyInputs(
        acceptable=policies or None,
        explicit=case.get("explicit", False),
        inhibit_mapping=case.get("inhibit_mapping", False),
        inhibit_any=case.get("inhibit_any", False),
    )


def inputs_of(policies: PolicyInputs, strength: Strength) -> PathInputs:
    """Return what is asked of every path, and the policy inputs of one case."""
    return PathInputs(
        purpose=None, enforce_profile=False, max_intermediates=20, policies=policies, strength=strength
    )
