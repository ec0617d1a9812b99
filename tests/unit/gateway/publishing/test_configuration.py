"""The trust of each door by a policy snapshot."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.gateway.publishing.configuration import (
    configuration_of,
    former_snapshot,
    own_trust,
    partner_trusts,
)
from doorward.gateway.publishing.last_published import Configuration
from doorward.partners.importing import remove_partner
from doorward.stores.policy_snapshot import PolicySnapshot
from tests.support.certificates.issuing import CertifiedKey, certify
from tests.support.partner_site import PartnerSite, partner_site
from tests.support.world import OPERATOR


@pytest.fixture
def site() -> PartnerSite:
    """`payments` hears our own authority and the clinic's."""
    return partner_site()


def pem(*nodes: CertifiedKey) -> set[str]:
    """The text of certificates."""
    return {one.certificate.public_bytes(Encoding.PEM).decode("ascii") for one in nodes}


def told(site: PartnerSite) -> set[str]:
    """The authorities that the door of `payments` is told of."""
    return set(partner_trusts(site.snapshot())["payments"].authorities)


def former(site: PartnerSite, newest: PolicySnapshot, one: Configuration) -> PolicySnapshot | None:
    """The part of an older configuration that may be in force in place of the newest."""
    with site.services.work.read() as stores:
        return former_snapshot(stores, newest, one)


def test_a_door_gets_the_authorities_that_it_trusts(site: PartnerSite) -> None:
    """Our issuing authority and the partner's anchors and intermediates; other doors only of ours."""
    snapshot = site.snapshot()
    assert told(site) == {*own_trust(snapshot), *pem(site.root, site.issuing)}
    assert set(partner_trusts(snapshot)) == {"payments"}
    site.hear("clinic")
    assert told(site) == pem(site.root, site.issuing)
    site.hear("own")
    assert partner_trusts(site.snapshot()) == {}


def test_where_every_partner_is_gone_envoy_verifies_by_our_own_authority(site: PartnerSite) -> None:
    """Such a door has no trust of its own: its handshake is checked as at any door of our own people."""
    site.hear("clinic")
    remove_partner(site.services, "clinic", actor=OPERATOR)
    assert partner_trusts(site.snapshot()) == {}


def test_an_imported_partner_without_an_application_is_at_no_door(site: PartnerSite) -> None:
    """An import alone opens no door."""
    site.hear("own")
    site.bring_in(replacing=True, intermediates=[certify("clinic Second", site.root)])
    assert partner_trusts(site.snapshot()) == {}


def test_a_former_document_is_told_of_todays_authorities(site: PartnerSite) -> None:
    """Going back to a revision brings no authority back that is trusted no more: such doors stay closed."""
    before = site.snapshot()
    newer = certify("clinic Second", site.root)
    site.bring_in(replacing=True, intermediates=[newer])
    site.hear("own")
    newest = site.snapshot()
    older = former(site, newest, configuration_of(before))
    assert older is not None
    assert older.document.app("payments") is None
    assert [app.name for app in older.document.apps] == [
        app.name for app in before.document.apps if app.name != "payments"
    ]


def test_the_same_document_with_other_authorities_is_another_configuration(site: PartnerSite) -> None:
    """A change of a partner's authorities closes the doors that trust it, and no other."""
    before = site.snapshot()
    assert former(site, before, configuration_of(before)) is None
    site.bring_in(replacing=True, intermediates=[certify("clinic Second", site.root)])
    newest = site.snapshot()
    assert newest.revision == before.revision
    older = former(site, newest, configuration_of(before))
    assert older is not None
    assert older.document.app("payments") is None
    unread = Configuration(revision=newest.revision)
    guessed = former(site, newest, unread)
    assert guessed is not None
    assert guessed.document.app("payments") is None
    assert former(site, newest, Configuration(revision=newest.revision + 1)) is None
