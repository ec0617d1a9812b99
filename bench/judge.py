"""The judge of certificates against one bare run of `cryptography`'s ClientVerifier on the same chain.

Ours is the whole judgement as the door asks for it: own certificates by the inventory; a partner's by path,
CRLs and names. The peer parses the same leaf and verifies it with the intermediate at hand, without any
revocation. Both trust the same root.

Warm in all figures, because a door has it in memory from one connection to the next: authorities, their
signatures among themselves, parsed CRLs and their signatures. *First*: the leaf was never seen, so it is
parsed, and its signature checked. *Again*: the same leaf came before, and what follows from its bytes alone
(its reading, a partner's signature on it) is remembered; dates, state, status and names are judged again.
The peer remembers nothing; that is what `again` is measured against too.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import cryptography
from cryptography import x509
from cryptography.x509 import verification

from bench.ratios import CALLS, ROUNDS, compare
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import TENANT, Outcome, Principal, PrincipalKind, PrincipalState
from doorward.pki.crl import build_crl, encode_entries, sign_crl
from doorward.verification.certificate_cache import CertificateCache
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.partner import PartnerTrust, judge_partner_certificate
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.steps import PresentedCertificate
from doorward.verification.verifier import (
    KnownCertificate,
    KnownIssuer,
    VerificationContext,
    judge_certificate,
)
from tests.support.certificates.issuing import CertifiedKey, toy_ca
from tests.support.certificates.judging import known_principal
from tests.support.ports import NOON

ENTRIES = 1_000_000


def measure(scene: Scene) -> Iterator[Row]:
    """Yield a row for each kind of certificate, and two for a CRL of a million entries."""
    root = toy_ca("Bench Root")
    issuing = root.issuing("Bench Issuing")
    leaf = issuing.leaf("alice")
    evidence_index = EvidenceIndex([_crl(root, 0), _crl(issuing, 10)])
    context = _context(issuing, leaf.sha256)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([root.certificate]))
        .time(NOON.replace(tzinfo=None))
        .build_client_verifier()
    )

    def bare() -> None:
        verifier.verify(x509.load_der_x509_certificate(leaf.der), [issuing.certificate])

    def own(certificate_cache: CertificateCache | None) -> None:
        judgement = judge_certificate(
            PresentedCertificate(der=leaf.der), context, NOON, certificate_cache=certificate_cache
        )
        assert judgement.verdict.outcome is Outcome.GOOD

    trust, known = _partner(root, issuing), CertificateCache()
    strangers = (issuing.leaf("alice", key=leaf.key).der for _ in range(ROUNDS * CALLS + 1))
    newcomers = iter(list(strangers))
    work: dict[str, tuple[Callable[[], object], Goal]] = {
        "own, first": (lambda: own(None), Goal(number=5.0)),
        "own, again": (lambda: own(known), Goal(number=5.0)),
        "partner, first": (
            lambda: _judge_partner(next(newcomers), trust, evidence_index, None),
            Goal(number=0.7),
        ),
        "partner, again": (lambda: _judge_partner(leaf.der, trust, evidence_index, known), Goal(number=0.7)),
    }
    for name, (judge, goal) in work.items():
        found = compare(judge, bare, rounds=5 if scene.quick else ROUNDS)
        yield Row(
            name=f"judging a certificate, {name}",
            unit="µs of CPU",
            ours=found.ours,
            peer=found.peer,
            peer_name=f"a bare ClientVerifier of cryptography {cryptography.__version__}",
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            goal=goal,
        )
    yield from _measure_long_list(root, issuing, leaf.der)


def _judge_partner(
    der: bytes, trust: PartnerTrust, evidence_index: EvidenceIndex, certificate_cache: CertificateCache | None
) -> None:
    found = judge_partner_certificate(
        PresentedCertificate(der=der),
        [trust],
        {trust.id: evidence_index},
        known_principal,
        NOON,
        trust_domain="elsewhere.example",
        certificate_cache=certificate_cache,
    )
    assert found.verdict.outcome is Outcome.GOOD, found.verdict.reasons


def _partner(root: CertifiedKey, issuing: CertifiedKey) -> PartnerTrust:
    return PartnerTrust(
        id="ptn_bench",
        name="bench",
        store=TrustStore([parse_path_certificate(root.der)], [parse_path_certificate(issuing.der)]),
        inputs=PathInputs(),
        identity=IdentityRule(source=SanSource.URI, kind=PrincipalKind.PERSON),
    )


def _measure_long_list(root: CertifiedKey, issuing: CertifiedKey, leaf: bytes) -> Iterator[Row]:
    der = _crl_der(issuing, ENTRIES)
    before, begin = _resident(), time.perf_counter()
    crl = parse_crl(der)
    seconds = time.perf_counter() - begin
    yield single(
        f"memory for a partner's CRL of {ENTRIES:,} entries",
        [_resident() - before],
        unit="MB",
        goal=Goal(number=200, of=Of.OURS, at_most=True),
        notes=(f"Loaded in {seconds:.1f} s; {len(der) / 1e6:.0f} MB of it are its DER.",),
    )
    trust, known = _partner(root, issuing), CertificateCache()
    many, few = EvidenceIndex([_crl(root, 0), crl]), EvidenceIndex([_crl(root, 0), _crl(issuing, 10)])
    found = compare(
        lambda: _judge_partner(leaf, trust, many, known),
        lambda: _judge_partner(leaf, trust, few, known),
        rounds=5,
    )
    yield Row(
        name=f"judging by a CRL of {ENTRIES:,} entries",
        unit="µs of CPU",
        ours=found.ours,
        peer=found.peer,
        peer_name="the same with 10 entries",
        ratio=found.ratio,
        low=found.low,
        high=found.high,
    )


def _resident() -> float:
    """Megabytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  one read of a kernel's file
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


def _crl(issuer: CertifiedKey, entries: int) -> Crl:
    return parse_crl(_crl_der(issuer, entries))


def _crl_der(issuer: CertifiedKey, entries: int) -> bytes:
    listed = (((1 << 120) + 7919 * one, NOON, RevocationReason.SUPERSEDED) for one in range(entries))
    unsigned = build_crl(
        issuer.certificate,
        encode_entries(listed),
        number=1,
        this_update=NOON - timedelta(hours=1),
        next_update=NOON + timedelta(days=1),
    )
    return sign_crl(unsigned, issuer.key)


def _context(issuing: CertifiedKey, sha256: str) -> VerificationContext:
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
    return VerificationContext(
        certificate=known,
        principal=principal,
        issuers={issuing.certificate.subject.public_bytes(): KnownIssuer(sha256="")},
        trust_domain="corp.example",
    )
