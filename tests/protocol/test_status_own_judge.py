"""What the authority publishes, before the judge that the door has for other authorities: maker and checker agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from doorward.authority import issuing, revocation
from doorward.authority.status import crls
from doorward.authority.status.partitions import partition_of
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Outcome, PrincipalKind, Reason
from doorward.stores.records import AuthorityKind, CertificateRecord, CrlRecord
from doorward.stores.services import Services
from doorward.verification.identity import IdentityRule, SanSource
from doorward.verification.partner import PartnerTrust, RevocationMode
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.conformance import PathInputs
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.path_status import judge_path_status
from doorward.verification.revocation.status import RevocationStatus, StatusFinding
from tests.support.certificates.judging import judge_partner, status_sources
from tests.support.ocsp_listener import answer_ocsp
from tests.support.world import OPERATOR, World, found_world


class Partner:
    """A relying party with our issuing authority as its anchor."""

    def __init__(self, count: int) -> None:
        self.world: World = found_world(document="")
        self.services: Services = replace(self.world.services, crl_partitions=count)
        self.lists = self.publish()
        issued = issuing.issue(self.services, self.world.csr(), self.world.claim("alice"))
        self.leaf: CertificateRecord = issued.record
        self.issuer = issued.chain_der[1]
        self.name = partition_of(self.leaf.serial, count)

    def publish(self) -> dict[str, CrlRecord]:
        """Make the lists that are due."""
        due = crls.due_crls(self.services, self.world.clock.now())
        return crls.publish_crls(self.services, due)

    def ask(self) -> bytes:
        """The answer about the leaf."""
        leaf, issuer = (x509.load_der_x509_certificate(der) for der in (self.leaf.der, self.issuer))
        request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
        return answer_ocsp(self.services, request.public_bytes(Encoding.DER))

    def judge(
        self, lists: Sequence[CrlRecord] = (), answers: tuple[bytes, ...] = (), *, now: datetime | None = None
    ) -> StatusFinding:
        """What the judge finds about the leaf with this evidence and no other."""
        path = tuple(parse_path_certificate(der) for der in (self.leaf.der, self.issuer))
        index = EvidenceIndex([parse_crl(one.der) for one in lists], {path[0].sha256: answers})
        sources = status_sources(index, TrustStore(path[1:], []))
        (finding,) = judge_path_status(path, sources, now or self.world.clock.now())
        return finding


@pytest.fixture(params=[1, 4], ids=["full", "divided"])
def partner(request: pytest.FixtureRequest) -> Partner:
    """A relying party of an authority with a complete or a partitioned CRL."""
    return Partner(request.param)


def test_lists_and_answers_are_believed(partner: Partner) -> None:
    """The list that the certificate names, and the answer, each alone: good, and revoked after a revocation."""
    assert partner.judge().status is RevocationStatus.UNDETERMINED
    assert partner.judge([partner.lists[partner.name]]).status is RevocationStatus.GOOD
    assert partner.judge(answers=(partner.ask(),)).status is RevocationStatus.GOOD
    revocation.revoke(partner.services, partner.leaf.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    partner.world.clock.turn(seconds=10)
    lists = partner.publish()
    for found in (partner.judge([lists[partner.name]]), partner.judge(answers=(partner.ask(),))):
        assert (found.status, found.reason) == (RevocationStatus.REVOKED, "key-compromise")


def test_the_full_list_speaks_of_every_certificate(partner: Partner) -> None:
    """A relying party that has the full list needs no other."""
    assert partner.judge([partner.lists[""]]).status is RevocationStatus.GOOD


def test_other_lists_say_nothing() -> None:
    """The lists of all other partitions together leave the certificate undetermined."""
    partner = Partner(4)
    others = [one for name, one in partner.lists.items() if name not in ("", partner.name)]
    assert len(others) == 3
    assert partner.judge(others).status is RevocationStatus.UNDETERMINED


def test_nothing_is_believed_for_ever(partner: Partner) -> None:
    """After nextUpdate neither list nor answer counts."""
    lists, answer = [partner.lists[partner.name]], partner.ask()
    later = partner.world.clock.now() + timedelta(days=2)
    assert partner.judge(lists, now=later).status is RevocationStatus.UNDETERMINED
    assert partner.judge(answers=(answer,), now=later).status is RevocationStatus.UNDETERMINED


def test_a_partner_with_our_root_as_anchor_finds_every_status(partner: Partner) -> None:
    """With the list of the leaf and the root's, `require` lets in; without the root's it does not."""
    with partner.world.work.read() as stores:
        root = stores.authorities.current(AuthorityKind.ROOT)
        assert root is not None
        of_root = stores.status.crl(root.id)
    assert of_root is not None
    trust = PartnerTrust(
        id="ptn_west",
        name="west",
        store=TrustStore([parse_path_certificate(root.der)], [parse_path_certificate(partner.issuer)]),
        inputs=PathInputs(),
        identity=IdentityRule(source=SanSource.URI, kind=PrincipalKind.PERSON),
        revocation=RevocationMode.REQUIRE,
    )
    own = parse_crl(partner.lists[partner.name].der)
    theirs = "west.example"  # the partner's own trust domain: our names are not in it
    found = judge_partner(partner.leaf.der, trust, crls=[own, parse_crl(of_root.der)], trust_domain=theirs)
    assert [one.status for one in found.findings] == [RevocationStatus.GOOD, RevocationStatus.GOOD]
    assert found.verdict.outcome is Outcome.GOOD
    alone = judge_partner(partner.leaf.der, trust, crls=[own], trust_domain=theirs)
    assert alone.verdict.outcome is Outcome.UNDETERMINED
    assert Reason.REVOCATION_STATUS_UNDETERMINED in alone.verdict.reasons
