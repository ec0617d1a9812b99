"""NIST PKITS, all 224 tests in 247 cases, from the certificates and CRLs of PyPI's cryptography-vectors.

The list of cases is ours (pkits_cases.toml). PKITS is of 2011: its keys and hashes are those of its age, its
certificates bear no key identifiers where they need not, and there is no extended key usage. So the
profile is not held (`enforce_profile`), broken algorithms are admitted, and no purpose is asked for. The
rules of section 6 are all in force, and every case is judged with its CRLs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from tests.protocol.suites.decisions import PKITS
from tests.support.pkits import CASES, FILES, certificate, inputs_of, name_of, policies_of
from tests.support.vectors import Verdict, judge_case, judge_chain, load_suite, read_crl, run_cases

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""Of serial numbers that are not positive and other sins that are part of the cases."""

STRENGTH = Strength(accept_broken_algorithms=True)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""All but the certificates and CRLs that are out of date on purpose are valid until 2030-12-31."""

REASONS = {
    "4.1": ("signature-invalid",),
    "4.2": ("not-yet-valid", "expired"),
    "4.3": ("issuer-unknown",),
    "4.4": ("revoked", "undetermined"),
    "4.5": ("revoked", "not-a-ca"),
    "4.6": ("not-a-ca", "path-too-long"),
    "4.7": ("cannot-sign-certificates", "undetermined"),
    "4.8": ("policy-not-acceptable",),
    "4.9": ("policy-not-acceptable",),
    "4.10": ("policy-not-acceptable", "policy-mapping-invalid"),
    "4.11": ("policy-not-acceptable",),
    "4.12": ("policy-not-acceptable",),
    "4.13": ("name-not-permitted",),
    "4.14": ("revoked", "undetermined"),
    "4.15": ("revoked", "undetermined"),
    "4.16": ("critical-extension-unknown",),
}
"""Section -> what its bad cases are refused for."""

Record = Callable[[str, object], None]


def judge(case: dict[str, Any]) -> Verdict:
    """Judge one case of our list: its certificates in no order, its CRLs, its policy inputs."""
    *authorities, leaf = (certificate(stem) for stem in (*case.get("beside", ()), *case["path"]))
    anchor = certificate("TrustAnchorRootCertificate")
    if leaf is None or anchor is None:
        return Verdict(good=False, why=("the leaf is malformed",))
    crls = [
        read_crl((FILES / "crls" / f"{stem}.crl").read_bytes())
        for stem in ("TrustAnchorRootCRL", *case["crls"])
    ]
    store = TrustStore([anchor], [one for one in authorities if one is not None])
    return judge_chain(leaf, store, inputs_of(policies_of(case), STRENGTH), NOW, crls)


def test_every_case_comes_out_as_nist_says(record_property: Record) -> None:
    """All 247 cases come out as the description says, less the misses that the documents explain."""
    cases = [
        {**case, "id": name_of(case), "expected_result": "SUCCESS" if case["good"] else "FAILURE"}
        for case in CASES
    ]
    otherwise = run_cases(record_property, "NIST PKITS", cases, judge)
    assert otherwise == {test: answer for test, (answer, _) in PKITS.items()}


def test_what_is_refused_is_refused_for_its_own_reason() -> None:
    """Each bad case is refused by the rule that its section is about, not by accident."""
    strays = {}
    for case in CASES:
        verdict = judge(case)
        wanted = REASONS[case["test"].rpartition(".")[0]]
        if not case["good"] and not any(why.startswith(wanted) for why in verdict.why):
            strays[name_of(case)] = verdict.why
    assert strays == {}


def test_the_list_is_whole() -> None:
    """The list has all 224 tests in 247 cases, and there is no certificate or CRL that no case uses."""
    names = [name_of(case) for case in CASES]
    assert (len(names), len(set(names)), len({case["test"] for case in CASES})) == (247, 247, 224)
    used = {stem for case in CASES for stem in (*case["path"], *case.get("beside", ()))}
    assert used | {"TrustAnchorRootCertificate"} == {file.stem for file in (FILES / "certs").glob("*.crt")}
    used = {stem for case in CASES for stem in case["crls"]}
    assert used | {"TrustAnchorRootCRL"} == {file.stem for file in (FILES / "crls").glob("*.crl")}


def test_a_list_by_others_comes_out_the_same(record_property: Record) -> None:
    """The selection of cases that lies with the other vectors, listed by others, comes out as expected."""

    def judge_other(case: dict[str, Any]) -> Verdict:
        given = case["policy_params"]
        acceptable = frozenset(given.get("user_initial_policy_set", ())) - {"any_policy"}
        policies = PolicyInputs(
            acceptable=acceptable or None,
            explicit=given.get("initial_explicit_policy", False),
            inhibit_mapping=given.get("initial_policy_mapping_inhibit", False),
            inhibit_any=given.get("initial_any_policy_inhibit", False),
        )
        return judge_case(case, inputs_of(policies, STRENGTH))

    cases = load_suite("pkits")
    otherwise = run_cases(record_property, "NIST PKITS, a list by others", cases, judge_other)
    misses = {case["id"]: PKITS[case["nist_test"]][0] for case in cases if case["nist_test"] in PKITS}
    assert otherwise == misses
