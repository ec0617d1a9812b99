"""The health of a partner's evidence."""

from __future__ import annotations

from datetime import timedelta

from doorward.partners.evidence import list_evidence_health
from doorward.verification.partner import RevocationMode
from tests.support.certificates.issuing import crl_at
from tests.support.certificates.status import HOUR, crl_of
from tests.support.partner_world import ISSUING_CRL, ROOT_CRL, partner_world
from tests.support.ports import NOON


def test_missing_stale_and_failing_sources_are_counted():
    """Missing, stale and failing sources are counted, with their problems."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages[ROOT_CRL] = crl_of(west.root, next_update=NOON + 2 * HOUR)
    west.run()
    (told,) = list_evidence_health(west.services, NOON)
    assert (told.partner, told.demanded) == ("west", True)
    assert (told.sources, told.missing, told.stale, told.failing) == (2, 1, 0, 0)
    assert told.problems == (f"{ISSUING_CRL}: no server listens there (fetch-unreachable)",)
    del west.pages[ROOT_CRL]
    west.clock.turn(hours=1)
    west.run()
    (told,) = list_evidence_health(west.services, west.clock.now())
    assert (told.missing, told.stale, told.failing) == (1, 0, 1)
    (told,) = list_evidence_health(west.services, NOON + 3 * HOUR)
    assert (told.missing, told.stale, told.failing) == (1, 1, 0)
    assert len(told.problems) == 1


def test_staleness_is_the_operators():
    """Evidence within `max_staleness` is not stale."""
    west = partner_world(max_staleness=timedelta(days=1), revocation=RevocationMode.PREFER)
    west.pages[ROOT_CRL] = crl_of(west.root)
    west.run()
    (told,) = list_evidence_health(west.services, NOON + 3 * HOUR)
    assert (told.demanded, told.stale) == (False, 0)


def test_a_partner_without_a_check_is_not_listed():
    """With `revocation: off` a partner is not listed."""
    assert list_evidence_health(partner_world(revocation=RevocationMode.OFF).services, NOON) == []
