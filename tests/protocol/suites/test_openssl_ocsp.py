"""The OCSP test data of OpenSSL: wrong responders, hashes, signatures and times.

They are of 2012: SHA-1 and short keys are admitted, and the moment is each case's own.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.ocsp import OcspRules, judge_by_ocsp
from doorward.verification.revocation.status import RevocationStatus
from tests.support.vectors import Verdict, judge_chain, load_suite, moment_of, read_all, read_pem, run_cases

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
"""Of a root with the serial number zero."""

STRENGTH = Strength(accept_broken_algorithms=True)


def judge(case: dict[str, Any]) -> Verdict:
    """Judge as many certificates, from the leaf up, as the case has answers: each needs one that is good."""
    leaf = read_pem(case["peer_certificate"])
    assert leaf is not None
    store = TrustStore(read_all(case["trusted_certs"]), read_all(case["untrusted_intermediates"]))
    now = moment_of(case)
    chain = judge_chain(leaf, store, PathInputs(purpose=None, enforce_profile=False, strength=STRENGTH), now)
    assert chain.good, chain.why  # the suite is about answers: no chain may fail for another reason
    answers = [base64.b64decode(answer) for answer in case["ocsp_responses_der_b64"]]
    for certificate, issuer in list(zip(chain.path, chain.path[1:], strict=False))[: len(answers)]:
        findings = [
            judge_by_ocsp(certificate, issuer, answer, now, OcspRules(strength=STRENGTH))
            for answer in answers
        ]
        if not any(finding.status is RevocationStatus.GOOD for finding in findings):
            return Verdict(good=False, why=tuple(word for finding in findings for word in finding.why))
    return chain


def test_every_case_comes_out_as_expected(record_property: Callable[[str, object], None]) -> None:
    """All cases come out as OpenSSL's own tests say, and none is refused for its chain."""
    cases = load_suite("openssl-ocsp")
    assert run_cases(record_property, "OpenSSL OCSP", cases, judge) == {}
