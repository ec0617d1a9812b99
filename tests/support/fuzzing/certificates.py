"""Targets of the fuzzer in DER: certificates, paths, CRLs, OCSP answers and requests, certification requests.

Besides plain inputs there are *sealed* ones: their signed part is changed, then signed again by the right
key. Otherwise a broken extension would never reach the code behind the check of the signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.core.certificate import CertificateState
from doorward.core.entities import Outcome, PrincipalKind
from doorward.core.errors import MalformedInput, RequestRefused, Unavailable
from doorward.core.ports import KeyKind
from doorward.pki.csr import build_csr, parse_csr
from doorward.pki.der import encode, encode_explicit, encode_octets, encode_oid, encode_sequence
from doorward.pki.ocsp import parse_ocsp_request
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.import_lint import lint_authorities
from doorward.verification.parsing import parse_certificate
from doorward.verification.path.building import judge_path
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.policies import PolicyInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.acceptance import accept_crl, accept_ocsp_response
from doorward.verification.revocation.crl import Crl, parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.ocsp import judge_by_ocsp
from doorward.verification.revocation.path_status import StatusSources, judge_path_status
from doorward.verification.revocation.sources import build_ocsp_request, crl_urls, may_serve, ocsp_urls
from doorward.verification.revocation.status import RevocationStatus
from doorward.verification.steps import PresentedCertificate
from doorward.verification.verifier import (
    KnownCertificate,
    KnownIssuer,
    VerificationContext,
    judge_certificate,
)
from tests.support import records
from tests.support.certificates.der import sign_ecdsa, signed
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at, name, responder_at
from tests.support.certificates.judging import CRL_RULES, OCSP_RULES, judge_partner, partner, status_sources
from tests.support.certificates.status import answer_about, crl_of, entry, listed_for, scope
from tests.support.events import seal
from tests.support.fuzzing.mutating import Shape
from tests.support.fuzzing.targets import Harness, Target
from tests.support.ports import NOON, PlainKeys
from tests.support.world import found_world

_DAY = timedelta(days=1)
_BASIC = encode_oid("1.3.6.1.5.5.7.48.1.1")
_POINT_URL = "http://a.test/1.crl"
_LISTED, _ANSWERED = crl_at(_POINT_URL), responder_at("http://a.test/ocsp")
_AL_ICE = name("Al Ice")
_NAMES = (
    x509.UniformResourceIdentifier("spiffe://corp.example/person/alice"),
    x509.DNSName("*.a.example.com"),
    x509.RFC822Name("alice@example.com"),
    x509.IPAddress(ip_network("10.0.0.1/32").network_address),
    x509.DirectoryName(_AL_ICE),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05alice"),
)


class _Family:
    """Root, issuing authority and leaf, with every extension that is read."""

    def __init__(self) -> None:
        permitted = [
            x509.DNSName("example.com"),
            x509.RFC822Name("example.com"),
            x509.UniformResourceIdentifier("corp.example"),
            x509.IPAddress(ip_network("10.0.0.0/8")),
            x509.DirectoryName(_AL_ICE),
        ]
        self.root = certify("Root")
        self.issuing = certify(
            "Issuing",
            self.root,
            path_length=1,
            permitted=permitted,
            excluded=[x509.DNSName("evil.example.com")],
            policy={"valid": ["1.2.3"], "mappings": [("1.2.3", "1.2.4")], "explicit": 3, "inhibit_any": 2},
            extra=[_LISTED],
        )
        # The common name would be a host outside the permitted ones.
        self.leaf = certify(
            _AL_ICE,
            self.issuing,
            ca=False,
            names=_NAMES,
            policy={"valid": ["1.2.4"]},
            extra=[_LISTED, _ANSWERED],
        )
        self.plain = certify("alice", self.issuing, ca=False, names=[_NAMES[0]])
        self.other = certify("Other", self.root)

    def sources(
        self, *crls: bytes, answers: tuple[bytes, ...] = (), store: TrustStore | None = None
    ) -> StatusSources:
        told = {self.leaf.parsed.sha256: answers} if answers else {}
        return status_sources(EvidenceIndex(map(parse_crl, crls), told), store or self.store())

    def store(self) -> TrustStore:
        return TrustStore([self.root.parsed], [self.issuing.parsed, self.other.parsed])


def seal_der(content: bytes, node: CertifiedKey, *more: bytes) -> bytes:
    """Sign a changed part again with ECDSA over SHA-256, even if it names another algorithm."""
    return signed(content, sign_ecdsa(content, node.key), *more)


def _own_certificate() -> Harness:
    family = _Family()
    principal = records.principal("alice", id="per_" + "a" * 20)
    issuers = {family.issuing.certificate.subject.public_bytes(): KnownIssuer(sha256="")}

    def judge(data: bytes) -> object:
        known = KnownCertificate(
            sha256=hashlib.sha256(data).hexdigest(),
            state=CertificateState.VALID,
            principal_id=principal.id,
            profile="person",
            not_before=NOON - _DAY,
            not_after=NOON + _DAY,
        )
        context = VerificationContext(
            certificate=known, principal=principal, issuers=issuers, trust_domain="corp.example"
        )
        found = judge_certificate(PresentedCertificate(der=data), context, NOON)
        parse_certificate(data)
        return [reason.value for reason in found.verdict.reasons]

    return Harness(seeds=(family.leaf.der, family.plain.der, family.issuing.der), judge=judge)


def _decision() -> Harness:
    """The whole decision about a connection, with its event sealed: what a stranger claims gets on record."""
    world = found_world()
    family = _Family()
    decider = world.decider()

    def judge(data: bytes) -> object:
        decision = decider.decide(world.context(), data)
        seal(decision.event)
        return decision.verdict.reasons

    seeds = (world.issue("alice").der, family.leaf.der, family.plain.der)
    return Harness(seeds=seeds, judge=judge)


def _path(
    seeds: tuple[bytes, ...], family: _Family, build: Callable[[bytes], tuple[bytes, TrustStore]]
) -> Harness:
    """Judge a path and the status of its certificates; `build` gives leaf and store of an input."""
    crls = (crl_of(family.root), crl_of(family.issuing))
    inputs = PathInputs(policies=PolicyInputs())

    def judge(data: bytes) -> object:
        der, store = build(data)
        leaf = parse_path_certificate(der)
        found = judge_path(leaf, store, inputs, NOON)
        crl_urls(leaf), ocsp_urls(leaf)
        if found.outcome is Outcome.GOOD:
            statuses = judge_path_status(found.path, family.sources(*crls, store=store), NOON)
            return [one.status for one in statuses], len(build_ocsp_request(leaf, found.path[1]))
        return sorted({fault.rule.value for fault in found.faults})

    return Harness(seeds=seeds, judge=judge)


def _path_leaf() -> Harness:
    family = _Family()
    store = family.store()
    return _path((family.leaf.der, family.plain.der, family.issuing.der), family, lambda data: (data, store))


def _sealed_leaf() -> Harness:
    family = _Family()
    store = family.store()
    seeds = tuple(one.certificate.tbs_certificate_bytes for one in (family.leaf, family.plain))
    return _path(seeds, family, lambda data: (seal_der(data, family.issuing), store))


def _sealed_partner() -> Harness:
    """A changed leaf with a good signature of the partner, under every rule for names."""
    root = certify("Partner")
    leaf = certify(_AL_ICE, root, ca=False, names=_NAMES)
    rules = [IdentityRule(source=one, kind=PrincipalKind.PERSON) for one in SanSource]
    partners = [partner("clinic", root, identity=rule) for rule in rules]
    lists = [parse_crl(crl_of(root))]

    def judge(data: bytes) -> object:
        der = seal_der(data, root)
        return [judge_partner(der, one, crls=lists).verdict.reasons[-1].value for one in partners]

    seeds = (leaf.certificate.tbs_certificate_bytes,)
    return Harness(seeds=seeds, judge=judge)


def _imported_authority() -> Harness:
    """What an operator imports came from a partner."""
    family = _Family()

    def judge(data: bytes) -> object:
        authority = parse_path_certificate(seal_der(data, family.root))
        found = lint_authorities(
            [family.root.parsed],
            [authority],
            own=[family.other.parsed],
            others={},
            inputs=PathInputs(),
            now=NOON,
        )
        return sorted({one.code.value for one in found})

    return Harness(seeds=(family.issuing.certificate.tbs_certificate_bytes,), judge=judge)


def _sealed_authority() -> Harness:
    family = _Family()

    def build(data: bytes) -> tuple[bytes, TrustStore]:
        authority = parse_path_certificate(seal_der(data, family.root))
        return family.leaf.der, TrustStore([family.root.parsed], [authority])

    return _path((family.issuing.certificate.tbs_certificate_bytes,), family, build)


def _crl_seeds(family: _Family) -> tuple[bytes, ...]:
    listed = [entry(7, x509.ReasonFlags.key_compromise), entry(8, None, listed_for(family.other)), 9]
    narrow = scope(
        full_name=[x509.UniformResourceIdentifier("http://a.test/1.crl")],
        only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}),
    )
    return (
        crl_of(family.issuing, *listed[:1], family.leaf.parsed.serial),
        crl_of(family.issuing, *listed, scope=scope(indirect_crl=True, only_contains_user_certs=True)),
        crl_of(family.issuing, 7, base=1, number=2),
        crl_of(family.issuing, 7, scope=narrow),
    )


def _judged_crl(family: _Family, build: Callable[[bytes], bytes], seeds: tuple[bytes, ...]) -> Harness:
    path = (family.leaf.parsed, family.issuing.parsed, family.root.parsed)
    above = crl_of(family.root)
    store = family.store()

    def is_named(crl: Crl) -> bool:
        return may_serve(family.leaf.parsed, _POINT_URL, crl)

    def take(der: bytes) -> str:
        try:
            for before in (b"", der, above):
                accept_crl(
                    der, before, store, is_named=is_named, inputs=PathInputs(), now=NOON, rules=CRL_RULES
                )
        except RequestRefused as error:
            return error.code
        return "taken"

    def judge(data: bytes) -> object:
        der = build(data)
        crl = parse_crl(der)
        crl.find(path[0].issuer, path[0].serial)
        found = judge_path_status(path, family.sources(above, der), NOON)
        return [one.status for one in found], crl.base is None, crl.scope.indirect, take(der)

    return Harness(seeds=seeds, judge=judge)


def _crl() -> Harness:
    family = _Family()
    return _judged_crl(family, lambda data: data, _crl_seeds(family))


def _sealed_crl() -> Harness:
    family = _Family()
    seeds = tuple(x509.load_der_x509_crl(one).tbs_certlist_bytes for one in _crl_seeds(family))
    return _judged_crl(family, lambda data: seal_der(data, family.issuing), seeds)


def _answer_seeds(family: _Family, delegate: CertifiedKey) -> tuple[bytes, ...]:
    revoked = ocsp.OCSPCertStatus.REVOKED
    return (
        answer_about(family.leaf, family.issuing, nonce=b"n" * 32),
        answer_about(family.leaf, family.issuing, responder=delegate, by_name=True),
        answer_about(family.leaf, family.issuing, status=revoked, reason=x509.ReasonFlags.key_compromise),
    )


def _delegate(family: _Family) -> CertifiedKey:
    return certify("OCSP", family.issuing, ca=False, purposes=[x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING])


def _judged_answer(family: _Family, build: Callable[[bytes], bytes], seeds: tuple[bytes, ...]) -> Harness:
    def judge(data: bytes) -> object:
        answer = build(data)
        leaf, issuing = family.leaf.parsed, family.issuing.parsed
        found = judge_by_ocsp(leaf, issuing, answer, NOON, OCSP_RULES, nonce=b"n" * 32)
        again = judge_by_ocsp(leaf, issuing, answer, NOON, OCSP_RULES)
        try:
            taken = str(
                accept_ocsp_response(answer, NOON - _DAY, leaf, issuing, now=NOON, rules=OCSP_RULES).status
            )
        except (RequestRefused, Unavailable) as error:
            taken = error.code
        except MalformedInput as error:
            ended = again.fresh_until is not None and again.fresh_until < NOON
            # What is not kept says nothing of anybody, but for the last word of an answer that has ended.
            assert again.status is RevocationStatus.UNDETERMINED or (
                again.status is RevocationStatus.REVOKED and ended
            )
            taken = error.code
        return found.status, found.why, again.status, again.why, again.reason, taken

    return Harness(seeds=seeds, judge=judge)


def _ocsp_answer() -> Harness:
    family = _Family()
    return _judged_answer(family, lambda data: data, _answer_seeds(family, _delegate(family)))


def _sealed_ocsp_answer() -> Harness:
    family = _Family()
    delegate = _delegate(family)

    def build(data: bytes) -> bytes:
        basic = seal_der(data, family.issuing, encode_explicit(0, encode_sequence(delegate.der)))
        inner = encode_sequence(_BASIC, encode_octets(basic))
        return encode_sequence(encode(0x0A, b"\x00"), encode_explicit(0, inner))

    answers = map(ocsp.load_der_ocsp_response, _answer_seeds(family, delegate))
    return _judged_answer(family, build, tuple(one.tbs_response_bytes for one in answers))


def _ocsp_request() -> Harness:
    family = _Family()

    def request(algorithm: Any, nonce: bytes) -> bytes:
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            family.leaf.certificate, family.issuing.certificate, algorithm
        )
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)

    def judge(data: bytes) -> object:
        question = parse_ocsp_request(data)
        assert 0 <= question.serial < 1 << 160
        assert question.nonce is None or 1 <= len(question.nonce) <= 128
        return question.hash_name, question.nonce is None

    seeds = (request(hashes.SHA1(), b""), request(hashes.SHA256(), b"n" * 32), request(hashes.SHA512(), b"n"))
    return Harness(seeds=seeds, judge=judge)


def _csr() -> Harness:
    seeds = []
    for kind in (KeyKind.P256, KeyKind.P384, KeyKind.ED25519, KeyKind.RSA3072):
        pem = build_csr(PlainKeys().generate(kind), "alice", ["a.example.com", "*.example.com"])
        seeds += [x509.load_pem_x509_csr(pem).public_bytes(Encoding.DER), pem]

    def judge(data: bytes) -> object:
        found = parse_csr(data)
        assert parse_csr(found.der).der == found.der
        return found.key_kind

    return Harness(seeds=tuple(seeds), judge=judge)


def _sealed_csr() -> Harness:
    node = certify("Requester")
    request = x509.load_pem_x509_csr(build_csr(node.key, "alice", ["a.example.com"]))

    def judge(data: bytes) -> object:
        return parse_csr(seal_der(data, node)).key_kind

    return Harness(seeds=(request.tbs_certrequest_bytes,), judge=judge)


_CERTIFICATE = (
    "verification.path.certificate.parse_path_certificate",
    "verification.path.rewriting.rewrite_certificate",
    "verification.path.name_parsing.parse_name",
)
_CONSTRAINTS = (
    "verification.path.constraints.read_subtrees",
    "verification.path.constraints.read_names",
    "verification.path.constraints.read_subtree",
)
_CRL = (
    "verification.revocation.crl.parse_crl",
    "verification.revocation.crl.parse_crl_outline",
    "verification.revocation.crl.read_point_names",
)
_JUDGED_CRL = (
    *_CRL,
    "verification.revocation.crl_judging.judge_by_crls",
    "verification.revocation.acceptance.accept_crl",
    "verification.revocation.sources.may_serve",
)
_OCSP = (
    "verification.revocation.ocsp.judge_by_ocsp",
    "verification.revocation.ocsp_response.parse_basic_response",
    "verification.revocation.ocsp_response.read_single_response",
    "verification.revocation.ocsp.verify_response",
    "verification.revocation.acceptance.accept_ocsp_response",
)

DER_TARGETS = (
    Target(
        name="own-certificate",
        covers=("verification.parsing.parse_certificate", "core.names.parse_principal_uri"),
        shape=Shape.DER,
        prepare=_own_certificate,
    ),
    Target(name="decision", covers=("access.deciding.AccessDecider",), shape=Shape.DER, prepare=_decision),
    Target(name="path-leaf", covers=_CERTIFICATE, shape=Shape.DER, prepare=_path_leaf),
    Target(name="sealed-leaf", covers=(*_CERTIFICATE, *_CONSTRAINTS), shape=Shape.DER, prepare=_sealed_leaf),
    Target(
        name="sealed-authority",
        covers=(*_CERTIFICATE, *_CONSTRAINTS),
        shape=Shape.DER,
        prepare=_sealed_authority,
    ),
    Target(
        name="sealed-partner",
        covers=(
            "verification.parsing.parse_partner_leaf",
            "verification.content.read_content",
            "verification.partner.judge_partner_certificate",
            "verification.identity.identify",
        ),
        shape=Shape.DER,
        prepare=_sealed_partner,
    ),
    Target(
        name="imported-authority",
        covers=("verification.import_lint.lint_authorities", *_CONSTRAINTS),
        shape=Shape.DER,
        prepare=_imported_authority,
    ),
    Target(name="crl", covers=_CRL, shape=Shape.DER, prepare=_crl),
    Target(name="sealed-crl", covers=_JUDGED_CRL, shape=Shape.DER, prepare=_sealed_crl),
    Target(name="ocsp-answer", covers=_OCSP, shape=Shape.DER, prepare=_ocsp_answer),
    Target(name="sealed-ocsp-answer", covers=_OCSP, shape=Shape.DER, prepare=_sealed_ocsp_answer),
    Target(
        name="ocsp-request", covers=("pki.ocsp.parse_ocsp_request",), shape=Shape.DER, prepare=_ocsp_request
    ),
    Target(name="csr", covers=("pki.csr.parse_csr",), shape=Shape.DER, prepare=_csr),
    Target(name="sealed-csr", covers=("pki.csr.parse_csr",), shape=Shape.DER, prepare=_sealed_csr),
)
