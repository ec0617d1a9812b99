"""Deltas of our CRLs before two judges that know nothing of how they are made: openssl, and the door's judge of other authorities."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority import issuing, revocation
from doorward.authority.status.partitions import delta_of, partition_of
from doorward.stores.records import CrlRecord
from doorward.verification.path.certificate import parse_path_certificate
from doorward.verification.path.store import TrustStore
from doorward.verification.revocation.crl import parse_crl
from doorward.verification.revocation.evidence_index import EvidenceIndex
from doorward.verification.revocation.path_status import judge_path_status
from doorward.verification.revocation.status import RevocationStatus
from tests.support.certificates.judging import status_sources
from tests.support.commands import run_openssl
from tests.support.delta_authority import COMPROMISE, DeltaAuthority
from tests.support.world import OPERATOR

pytestmark = pytest.mark.needs("openssl")


class RelyingParty(DeltaAuthority):
    """The authority of a certificate, and what is fetched to judge it: complete CRLs of its scope, and the newest delta."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        issued = issuing.issue(self.services, self.world.csr(), self.world.claim("sensor-1"))
        self.leaf, self.issuer = issued.record, issued.chain_der[1]
        self.scope = partition_of(self.leaf.serial, partitions)

    def fetch(self, *, delta: bool = False) -> CrlRecord:
        """The complete CRL that the certificate names, or the delta that this one names."""
        return self.stored(delta_of(self.scope) if delta else self.scope)

    def apply(self, step: str) -> None:
        """Revoke, hold or release the certificate."""
        if step == "revoke":
            revocation.revoke(self.services, self.leaf.id, COMPROMISE, OPERATOR)
        else:
            {"hold": revocation.hold, "release": revocation.release}[step](
                self.services, self.leaf.id, OPERATOR
            )


Judge = Callable[[RelyingParty, list[CrlRecord], datetime, Path], bool]
"""Returns whether a certificate is good; fails if a CRL cannot be used."""


def judge_by_openssl(party: RelyingParty, lists: list[CrlRecord], now: datetime, folder: Path) -> bool:
    """`openssl verify -crl_check`, with `-use_deltas` if there is more than one list; the issuer is the anchor."""
    for name, der in (("issuer.pem", party.issuer), ("leaf.pem", party.leaf.der)):
        (folder / name).write_bytes(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM))
    pems = (x509.load_der_x509_crl(one.der).public_bytes(Encoding.PEM) for one in lists)
    (folder / "crls.pem").write_bytes(b"".join(pems))
    options = ("-x509_strict", "-partial_chain", "-no-CApath", "-no-CAstore", "-crl_check")
    deltas = ("-use_deltas",) if len(lists) > 1 else ()
    files = ("-CAfile", folder / "issuer.pem", "-CRLfile", folder / "crls.pem", folder / "leaf.pem")
    done = run_openssl("verify", *options, *deltas, "-attime", str(int(now.timestamp())), *map(str, files))
    said = done.stdout.decode()
    if "certificate revoked" in said:
        return False
    assert said.endswith("leaf.pem: OK\n"), said
    return True


def judge_by_our_own(party: RelyingParty, lists: list[CrlRecord], now: datetime, _folder: Path) -> bool:
    """The judge that the door has for partners' certificates."""
    path = tuple(parse_path_certificate(der) for der in (party.leaf.der, party.issuer))
    index = EvidenceIndex([parse_crl(one.der) for one in lists], {})
    (finding,) = judge_path_status(path, status_sources(index, TrustStore(path[1:], [])), now)
    assert finding.status in (RevocationStatus.GOOD, RevocationStatus.REVOKED), finding
    delta = lists[-1]
    assert parse_crl(delta.der).sha256 in finding.evidence  # it was used
    return finding.status is RevocationStatus.GOOD


JUDGES = [judge_by_openssl, judge_by_our_own]


@pytest.fixture(params=[1, 4], ids=["full", "divided"])
def party(request: pytest.FixtureRequest) -> RelyingParty:
    """A relying party of an authority with deltas."""
    return RelyingParty(request.param)


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ([], ["revoke"], False),
        ([], ["hold"], False),
        ([], ["hold", "release"], True),
        (["hold"], ["release"], True),
        (["hold"], ["revoke"], False),
        (["hold"], ["release", "hold"], False),
        (["hold"], ["release", "hold", "release"], True),
        (["hold"], ["release", "revoke"], False),
        (["revoke"], [], False),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_a_complete_list_and_a_delta_tell_the_truth(
    party: RelyingParty, judge: Judge, before: list[str], after: list[str], tmp_path: Path, *, good: bool
) -> None:
    """What is in the list, what came after it, each with a delta in between, and with every list that has not ended."""
    first = party.fetch()
    for step in before:
        party.apply(step)
        party.later()
    party.later(hours=12)
    second = party.fetch()
    assert second.number > first.number
    for step in after:
        party.apply(step)
        party.later()
    party.later(hours=3.1)  # a newer delta also if nothing happened
    delta, now = party.fetch(delta=True), party.world.clock.now()
    assert party.fetch() == second
    assert delta.number > second.number
    for complete in (first, second):
        assert complete.next_update > now
        assert judge(party, [complete, delta], now, tmp_path) is good


@pytest.mark.parametrize("judge", JUDGES)
def test_the_delta_is_what_tells(party: RelyingParty, judge: Judge, tmp_path: Path) -> None:
    """Without the newest delta the complete list alone says what was true before: the judge does look at the delta."""
    complete = party.fetch()
    party.later(hours=3.1)
    empty = party.fetch(delta=True)
    assert judge(party, [complete, empty], party.world.clock.now(), tmp_path)
    party.apply("revoke")
    party.later()
    now = party.world.clock.now()
    assert judge(party, [complete, empty], now, tmp_path)
    assert not judge(party, [complete, party.fetch(delta=True)], now, tmp_path)


def test_openssl_without_deltas_reads_the_complete_list(party: RelyingParty, tmp_path: Path) -> None:
    """A client that ignores deltas still accepts the list: the extension that names the delta is not critical."""
    party.apply("hold")
    party.later(hours=12)
    complete = party.fetch()
    assert not judge_by_openssl(party, [complete], party.world.clock.now(), tmp_path)


def test_openssl_reads_what_a_delta_says(party: RelyingParty, tmp_path: Path) -> None:
    """The base and the entry that ends a hold, and in the complete list the address of the delta."""
    party.apply("hold")
    party.later(hours=12)
    party.apply("release")
    party.later()
    texts = []
    for delta in (False, True):
        (tmp_path / "one.crl").write_bytes(party.fetch(delta=delta).der)
        done = run_openssl("crl", "-inform", "DER", "-in", str(tmp_path / "one.crl"), "-noout", "-text")
        texts.append(done.stdout.decode())
    assert "X509v3 Freshest CRL: \n" in texts[0]
    assert f"/{delta_of(party.scope)}.crl" in texts[0]
    assert "X509v3 Delta CRL Indicator: critical\n                1\n" in texts[1]
    assert "Remove From CRL" in texts[1]
