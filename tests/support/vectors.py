"""Conformance suites that others wrote: where they lie, how a case is read, and what we say of it.

The vectors are data under their own licences and are never part of this repository. They are found by
DOORWARD_VECTORS, or beside it in `../shared/vectors`; without them the tests that need them are skipped
with a line that says so. Cases have the form of x509-limbo, schema version 1.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from doorward.core.entities import Outcome
from doorward.core.errors import MalformedInput
from doorward.verification.parsing import CERTIFICATE_LIMIT as LEAF_LIMIT
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import PathCertificate, parse_path_certificate
from doorward.verification.path.conformance import CLIENT_AUTH, PathInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.path.validation import CertificationPath
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.ocsp import OcspRules
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
from doorward.verification.revocation.status import RevocationStatus

ROOT = Path(__file__).parents[2]
SLOWEST = 2.0
"""Seconds for one case on a busy machine: some were built to cost hours, and each takes milliseconds here."""
VECTORS = Path(os.environ.get("DOORWARD_VECTORS", ROOT / ".." / "shared" / "vectors"))


@dataclass(frozen=True)
class Verdict:
    """What we say of a case: good, or what is wrong; `path` is the good path, leaf first."""

    good: bool
    why: tuple[str, ...] = ()
    path: CertificationPath = ()


@cache
def load_suite(name: str) -> tuple[dict[str, Any], ...]:
    """Return the cases of a suite; skip the test that asks if there are none."""
    file = VECTORS / name / "open.json"
    if not file.is_file():
        pytest.skip(f"no test vectors: {file} is missing (set DOORWARD_VECTORS)")
    cases: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["testcases"]
    assert cases, f"{file} has no case"
    return tuple(cases)


@cache
def load_classes() -> dict[str, str]:
    """Return the class of each case of x509-limbo, by id; empty if the case has none."""
    file = VECTORS / "limbo" / "classes.json"
    classes: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return classes


def run_cases(
    record: Callable[[str, object], None],
    title: str,
    cases: Sequence[dict[str, Any]],
    judge: Callable[[dict[str, Any]], Verdict],
) -> dict[str, str]:
    """Judge every case, and put on record how many there were.

    Returns id -> our answer, for those that came out otherwise than expected.
    """
    assert cases, f"{title}: no case"
    otherwise = {}
    for case in cases:
        began = time.process_time()
        verdict = judge(case)
        spent = time.process_time() - began
        assert spent < SLOWEST, f"{case['id']} took {spent:.1f} s"
        if verdict.good != (case["expected_result"] == "SUCCESS"):
            otherwise[case["id"]] = "good" if verdict.good else "bad"
            print(
                case["id"], otherwise[case["id"]], *verdict.why, sep="; "
            )  # pytest shows it where it matters
    record("suite", f"{title}: {len(cases)} cases, {len(cases) - len(otherwise)} as expected")
    return otherwise


_ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string


def stating_its_purpose(leaf: PathCertificate) -> PathCertificate:
    """A leaf as RFC 5280 section 4.2.1.12 reads it: one that names no purpose, or any, is for TLS clients too.

    A door is stricter and asks for the purpose by name; suites that judge by the RFC put this before it.
    """
    if leaf.purposes is not None and _ANY_PURPOSE not in leaf.purposes:
        return leaf
    return replace(leaf, purposes=frozenset({CLIENT_AUTH}))


def judge_case(case: dict[str, Any], inputs: PathInputs, *, must_state: bool = True) -> Verdict:
    """Judge the chain of a case, and its CRLs if it has any; the names are not looked at."""
    leaf = read_pem(case["peer_certificate"], limit=LEAF_LIMIT)
    if leaf is None:
        return Verdict(good=False, why=("the leaf is malformed",))
    leaf = leaf if must_state else stating_its_purpose(leaf)
    store = TrustStore(read_all(case["trusted_certs"]), read_all(case["untrusted_intermediates"]))
    crls = [read_crl(x509.load_pem_x509_crl(pem.encode()).public_bytes(Encoding.DER)) for pem in case["crls"]]
    return judge_chain(leaf, store, inputs, moment_of(case), crls if case["crls"] else None)


def judge_chain(
    leaf: PathCertificate,
    store: TrustStore,
    inputs: PathInputs,
    now: datetime,
    crls: Iterable[Crl | None] | None = None,
) -> Verdict:
    """Judge a leaf; where CRLs are given, each certificate of the path must be good by them."""
    judgement = judge_path(leaf, store, inputs, now)
    if judgement.outcome is not Outcome.GOOD:
        return Verdict(good=False, why=tuple(str(fault) for fault in judgement.faults))
    if crls is not None:
        sources = StatusSources(
            evidence_index=EvidenceIndex(crl for crl in crls if crl is not None),
            store=store,
            inputs=inputs,
            crl_rules=CrlRules(strength=inputs.strength),
            ocsp_rules=OcspRules(strength=inputs.strength),
        )
        for finding in judge_path_status(judgement.path, sources, now):
            if finding.status is not RevocationStatus.GOOD:
                return Verdict(good=False, why=(finding.status.value, finding.reason, *finding.why))
    return Verdict(good=True, path=judgement.path)


def moment_of(case: dict[str, Any]) -> datetime:
    """Return when the case is judged; now if the case does not say."""
    moment = case["validation_time"]
    return datetime.fromisoformat(moment) if moment else datetime.now(UTC)


def read_pem(pem: str, *, limit: int | None = None) -> PathCertificate | None:
    """Return a certificate; None if it is malformed, or larger than the limit."""
    try:
        der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
        return None if limit is not None and len(der) > limit else parse_path_certificate(der)
    except ValueError:  # the library's word for what it cannot read
        return None
    except MalformedInput:
        return None


def read_all(pems: Iterable[str]) -> list[PathCertificate]:
    """Return those that can be read: a store takes no other."""
    return [certificate for pem in pems if (certificate := read_pem(pem)) is not None]


def read_crl(der: bytes) -> Crl | None:
    """Return a CRL; None if it is malformed, or may not be used."""
    try:
        return parse_crl(der)
    except MalformedInput:
        return None


def is_named(leaf: PathCertificate, wanted: Mapping[str, str]) -> bool:
    """Return whether a certificate bears a name (kind and value), as RFC 6125 and RFC 9525 match it.

    Typed and exact; `*` stands for one leftmost label, and never for all below one top-level domain.
    This is the suites' question. The door's own rule is narrower: there a wildcard names no principal.
    """
    return any(_matches(name, wanted["value"]) for name in _typed_names(leaf, wanted["kind"]))


def _typed_names(leaf: PathCertificate, kind: str) -> list[Any]:
    form = {"DNS": "dns", "IP": "ip", "RFC822": "email"}[kind]
    return [name.value for name in leaf.names if name.form == form and name.value is not None]


def _matches(name: Any, wanted: str) -> bool:
    if hasattr(name, "wildcard"):
        label, _, rest = wanted.lower().partition(".")
        if name.wildcard:
            return bool(label) and rest == name.text and "." in rest
        return bool(name.text == wanted.lower())
    if hasattr(name, "local"):
        local, _, host = wanted.rpartition("@")
        return (name.local, name.host) == (local, host.lower())
    return str(name) == wanted
