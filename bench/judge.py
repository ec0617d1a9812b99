"""The judge of certificates against one bare run of `cryptography`'s ClientVerifier on the same chain.

Ours parses the leaf, finds and validates its path, and asks CRLs for its status; the peer parses the same
leaf and verifies it with the intermediate at hand, without any revocation. Both trust the same root.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.x509 import verification

from bench.ratios import compare
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT, Outcome, Principal, PrincipalKind, PrincipalState
from doorward.pki.crl import build_crl, sign_crl
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.signatures import Strength
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.crl_judging import CrlRules
from doorward.verification.revocation.ocsp import OcspRules
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
from doorward.verification.revocation.shelf import Shelf
from doorward.verification.revocation.status import Status
from doorward.verification.verifier import (
    Knowledge,
    KnownCertificate,
    KnownIssuer,
    Presented,
    judge_certificate,
)
from tests.support.ports import NOON
from tests.support.toy_ca import ToyCA

ENTRIES = 1_000_000


def main() -> None:
    """Measure, and print what was found beside what is wanted."""
    root = ToyCA.create("Bench Root")
    issuing = root.issuing("Bench Issuing")
    leaf = issuing.leaf("alice")
    inputs = PathInputs()
    store = TrustStore([parse_path_certificate(root.der)], [parse_path_certificate(issuing.der)])
    few = _sources(store, inputs, [_crl(root, 0), _crl(issuing, 10)])

    def partner(sources: StatusSources) -> None:
        judgement = judge_path(parse_path_certificate(leaf.der), store, inputs, NOON)
        assert judgement.outcome is Outcome.GOOD
        findings = judge_path_status(judgement.path, sources, NOON)
        assert all(one.status is Status.GOOD for one in findings)

    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([root.certificate]))
        .time(NOON.replace(tzinfo=None))
        .build_client_verifier()
    )

    def bare() -> None:
        verifier.verify(x509.load_der_x509_certificate(leaf.der), [issuing.certificate])

    def own() -> None:
        judgement = judge_certificate(Presented(der=leaf.der), knowledge, NOON)
        assert judgement.verdict.outcome is Outcome.GOOD

    knowledge = _knowledge(issuing, leaf.sha256)
    print("judging one certificate        ours us   bare us   ratio   wanted")
    for name, work, wanted in (("partner, chain of three", lambda: partner(few), 0.7), ("own", own, 5.0)):
        found = compare(work, bare)
        print(f"{name:28} {found.ours:9.0f} {found.peer:9.0f} {found.ratio:7.2f}   {wanted}")
    _measure_long_list(root, issuing, store, inputs, partner)


def _measure_long_list(
    root: ToyCA,
    issuing: ToyCA,
    store: TrustStore,
    inputs: PathInputs,
    partner: Callable[[StatusSources], None],
) -> None:
    der = _crl_der(issuing, ENTRIES)
    before, begin = _resident(), time.perf_counter()
    crl = parse_crl(der)
    print(f"\na CRL of {ENTRIES:,} entries: loaded in {time.perf_counter() - begin:.1f} s, ", end="")
    print(f"{_resident() - before:.0f} MB more, {len(der) / 1e6:.0f} MB of it DER   wanted <= 200 MB in all")
    many = _sources(store, inputs, [_crl(root, 0), crl])
    few = _sources(store, inputs, [_crl(root, 0), _crl(issuing, 10)])
    found = compare(lambda: partner(many), lambda: partner(few))
    print(f"the partner's certificate with it: {found.ratio:.2f} of the speed with 10 entries   wanted 1")


def _resident() -> float:
    """Megabytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  one read of a kernel's file
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _sources(store: TrustStore, inputs: PathInputs, crls: list[Crl]) -> StatusSources:
    return StatusSources(
        shelf=Shelf(crls),
        store=store,
        inputs=inputs,
        crl_rules=CrlRules(strength=Strength()),
        ocsp_rules=OcspRules(strength=Strength()),
    )


def _crl(issuer: ToyCA, entries: int) -> Crl:
    return parse_crl(_crl_der(issuer, entries))


def _crl_der(issuer: ToyCA, entries: int) -> bytes:
    listed = (((1 << 120) + 7919 * one, NOON, RevocationReason.SUPERSEDED) for one in range(entries))
    unsigned = build_crl(
        issuer.certificate,
        listed,
        number=1,
        this_update=NOON - timedelta(hours=1),
        next_update=NOON + timedelta(days=1),
    )
    return sign_crl(unsigned, issuer.key)


def _knowledge(issuing: ToyCA, sha256: str) -> Knowledge:
    principal = Principal(
        id="per_bench", tenant=TENANT, kind=PrincipalKind.PERSON, name="alice", state=PrincipalState.ACTIVE
    )
    known = KnownCertificate(
        sha256=sha256,
        state=CertificateState.VALID,
        principal_id=principal.id,
        profile="person",
        not_before=NOON - timedelta(days=1),
        not_after=NOON + timedelta(days=30),
    )
    return Knowledge(
        certificate=known,
        principal=principal,
        issuers={issuing.certificate.subject.public_bytes(): KnownIssuer(sha256="")},
        trust_domain="corp.example",
    )
