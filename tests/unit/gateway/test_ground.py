"""The ground of a publication: which authorities each door is told of."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.partners import remove_partner
from doorward.gateway.ground import read_former_ground, read_ground
from tests.support.partner_site import PartnerSite, partner_site
from tests.support.path_ca import Node, certify
from tests.support.world import OPERATOR


@pytest.fixture
def site() -> PartnerSite:
    """`payments` hears our own authority and the clinic's."""
    return partner_site()


def pem(*nodes: Node) -> set[str]:
    """The text of certificates."""
    return {one.certificate.public_bytes(Encoding.PEM).decode("ascii") for one in nodes}


def told(site: PartnerSite) -> set[str]:
    """The authorities that the door of `payments` is told of."""
    return set(read_ground(site.services).partners["payments"].authorities)


def test_a_door_is_told_of_whom_it_hears(site: PartnerSite) -> None:
    """Our issuing authority and the partner's anchors and intermediates; other doors only of ours."""
    ground = read_ground(site.services)
    assert told(site) == {*ground.trust, *pem(site.root, site.issuing)}
    assert set(ground.partners) == {"payments"}
    site.hear("clinic")
    assert told(site) == pem(site.root, site.issuing)
    site.hear("own")
    assert read_ground(site.services).partners == {}


def test_a_partner_that_is_gone_leaves_a_door_that_trusts_somebody(site: PartnerSite) -> None:
    """Where none of those is left our own authority holds the door: its handshake is checked in any case."""
    site.hear("clinic")
    remove_partner(site.services, "clinic", actor=OPERATOR)
    ground = read_ground(site.services)
    trust = ground.partners["payments"]
    assert set(trust.authorities) == set(ground.trust)
    assert trust.verified


def test_a_partner_that_was_imported_and_is_not_heard_is_told_to_nobody(site: PartnerSite) -> None:
    """An import alone opens no door."""
    site.hear("own")
    site.bring_in(replacing=True, intermediates=[certify("clinic Second", site.root)])
    assert read_ground(site.services).partners == {}


def test_a_name_of_ours_takes_the_sieve_out(site: PartnerSite) -> None:
    """Where a partner's authority is called like our own Envoy would try one of the keys only."""
    assert read_ground(site.services).partners["payments"].verified
    ours = x509.load_pem_x509_certificate(read_ground(site.services).trust[0].encode())
    site.bring_in(replacing=True, intermediates=[certify(ours.subject, site.root)])
    assert not read_ground(site.services).partners["payments"].verified


def test_a_former_document_is_told_of_todays_authorities(site: PartnerSite) -> None:
    """Going back to a revision brings no authority back that is trusted no more."""
    newest = read_ground(site.services)
    newer = certify("clinic Second", site.root)
    site.bring_in(replacing=True, intermediates=[newer])
    site.hear("own")
    former = read_former_ground(site.services, read_ground(site.services), newest.revision)
    assert former is not None
    assert set(former.partners["payments"].authorities) == {*newest.trust, *pem(site.root, newer)}
