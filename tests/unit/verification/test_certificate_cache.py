"""Parsed leaves are cached within limits, and verdicts are not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from doorward.core.certificate import CertificateState
from doorward.core.entities import Outcome, Reason
from doorward.core.errors import MalformedInput
from doorward.verification import certificate_cache as module
from doorward.verification.certificate_cache import LONGEST_LEAF, CertificateCache
from doorward.verification.parsing import parse_certificate, parse_partner_leaf
from doorward.verification.steps import PresentedCertificate
from doorward.verification.verifier import judge_certificate
from tests.support.certificates.issuing import certify, toy_ca
from tests.support.certificates.judging import judge_partner, partner
from tests.support.certificates.status import list_of
from tests.support.ports import NOON
from tests.unit.verification.test_verifier import LEAF, knowledge, row

CA = toy_ca()


def test_the_same_bytes_are_read_once() -> None:
    """For each kind, the first result is returned again, and it is that of the parser."""
    cache, der = CertificateCache(), CA.leaf("alice").der
    first, partners = cache.parse(der), cache.parse_partner(der)
    assert cache.parse(bytes(der)) is first
    assert cache.parse_partner(bytes(der)) is partners
    assert first == parse_certificate(der)
    assert partners == parse_partner_leaf(der)
    assert cache.parse(CA.leaf("alice").der) is not first


def test_what_does_not_parse_is_not_kept() -> None:
    """It is malformed each time."""
    cache = CertificateCache()
    for _ in range(2):
        with pytest.raises(MalformedInput):
            cache.parse(b"\x30\x00")
    assert len(cache) == 0


def test_a_long_certificate_is_read_each_time() -> None:
    """A few of the longest would displace all others."""
    cache = CertificateCache()
    der = CA.leaf("alice", dns=[f"{number}.a.example" for number in range(300)]).der
    assert len(der) > LONGEST_LEAF
    assert cache.parse(der) is not cache.parse(der)
    assert len(cache) == 0


def test_memory_is_limited_by_what_a_leaf_takes() -> None:
    """A leaf of many names counts for more than its bytes."""
    plain, named = CA.leaf("alice").der, CA.leaf("bob", dns=[f"{number}.a" for number in range(50)]).der
    weight = module._READ_GROWTH * (len(plain) + len(named))
    cache = CertificateCache(weight=weight + 51 * module._READ_NAME)
    first = cache.parse(plain)
    cache.parse(named)
    assert cache.parse(plain) is not first


def test_dates_state_and_account_are_judged_each_time() -> None:
    """The very leaf that was good is refused when its time, its state or its holder is not."""
    cache = CertificateCache()

    def judge(known=None, now=NOON):
        known = known or knowledge()
        return judge_certificate(
            PresentedCertificate(der=LEAF.der), known, now, certificate_cache=cache
        ).verdict

    assert judge().outcome is Outcome.GOOD
    assert Reason.CERTIFICATE_EXPIRED in judge(now=NOON + timedelta(days=999)).reasons
    revoked = replace(knowledge(), certificate=row(state=CertificateState.REVOKED))
    assert Reason.CERTIFICATE_REVOKED in judge(revoked).reasons
    assert Reason.PRINCIPAL_UNKNOWN in judge(replace(knowledge(), principal=None)).reasons
    assert judge().outcome is Outcome.GOOD
    assert len(cache) == 1


def test_a_partners_leaf_is_judged_each_time() -> None:
    """A cached certificate and a cached signature, and a revocation in between."""
    root = certify("Root")
    alice = certify("alice", root, ca=False, names=[x509.RFC822Name("alice@clinic.example")])
    clinic, cache = partner("clinic", root), CertificateCache()

    def outcome(*revoked: int, now=NOON) -> Outcome:
        return judge_partner(
            alice, clinic, crls=[list_of(root, *revoked)], now=now, certificate_cache=cache
        ).verdict.outcome

    assert outcome() is Outcome.GOOD
    assert len(cache) == 1
    assert outcome(alice.parsed.serial) is Outcome.BAD
    assert outcome(now=NOON + timedelta(days=999)) is Outcome.BAD
    assert outcome() is Outcome.GOOD
