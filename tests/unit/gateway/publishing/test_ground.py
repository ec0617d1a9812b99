"""The ground of a publication: which authorities each door is told of."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.gateway.publishing.ground import read_former_ground, read_ground
from doorward.gateway.publishing.last_published import Configuration
from doorward.partners.terms import remove_partner
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


def test_where_every_partner_is_gone_envoy_verifies_by_our_own_authority(site: PartnerSite) -> None:
    """Such a door has no trust of its own: its handshake is checked as at any door of our own people."""
    site.hear("clinic")
    remove_partner(site.services, "clinic", actor=OPERATOR)
    assert read_ground(site.services).partners == {}


def test_a_partner_that_was_imported_and_is_not_heard_is_told_to_nobody(site: PartnerSite) -> None:
    """An import alone opens no door."""
    site.hear("own")
    site.bring_in(replacing=True, intermediates=[certify("clinic Second", site.root)])
    assert read_ground(site.services).partners == {}


def test_a_former_document_is_told_of_todays_authorities(site: PartnerSite) -> None:
    """Going back to a revision brings no authority back that is trusted no more: such doors stay closed."""
    before = read_ground(site.services)
    newer = certify("clinic Second", site.root)
    site.bring_in(replacing=True, intermediates=[newer])
    site.hear("own")
    newest = read_ground(site.services)
    former = read_former_ground(site.services, newest, before.configuration)
    assert former is not None
    assert former.document.app("payments") is None
    assert [app.name for app in former.document.apps] == [
        app.name for app in before.document.apps if app.name != "payments"
    ]


def test_the_same_document_with_other_authorities_is_another_configuration(site: PartnerSite) -> None:
    """What a partner's authorities change closes the doors that trust it, and no other."""
    before = read_ground(site.services)
    assert read_former_ground(site.services, before, before.configuration) is None
    site.bring_in(replacing=True, intermediates=[certify("clinic Second", site.root)])
    newest = read_ground(site.services)
    assert newest.revision == before.revision
    former = read_former_ground(site.services, newest, before.configuration)
    assert former is not None
    assert former.document.app("payments") is None
    unread = Configuration(revision=newest.revision)
    guessed = read_former_ground(site.services, newest, unread)
    assert guessed is not None
    assert guessed.document.app("payments") is None
    assert read_former_ground(site.services, newest, Configuration(revision=newest.revision + 1)) is None
