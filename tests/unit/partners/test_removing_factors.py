"""Removing a partner removes the second factors of its principals."""

from __future__ import annotations

from doorward.partners.importing import remove_partner
from tests.support.factor_records import enrolment_ticket, factor, session
from tests.support.partner_site import partner_site
from tests.support.ports import NOON
from tests.support.world import OPERATOR


def test_second_factors_go_with_the_partner() -> None:
    """Factors, rights and sessions of its principals go in the same transaction; ours stay."""
    site = partner_site(everyone=True)
    bob = site.decide(site.leaf("bob@clinic.example")).principal
    assert bob is not None
    own = site.principal("alice").id
    with site.work.change() as stores:
        for number, person in enumerate((bob.id, own)):
            stores.factors.add(factor(str(number), principal_id=person))
            stores.enrolment_tickets.add(enrolment_ticket(str(number), principal_id=person))
            stores.sessions.add(session(str(number), principal_id=person))
    remove_partner(site.services, "clinic", actor=OPERATOR)
    with site.work.read() as stores:
        assert stores.factors.of_principal(bob.id) == stores.enrolment_tickets.open_for(bob.id, NOON) == []
        assert [one.principal_id for one in stores.sessions.open_at(NOON)] == [own]
        assert len(stores.factors.of_principal(own)) == len(stores.enrolment_tickets.open_for(own, NOON)) == 1
