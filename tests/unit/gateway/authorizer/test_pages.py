"""The authorizer if a refusal is explained by a page: the connection lives for a minute and holds no grant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.access.policies import apply_document
from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.entities import Reason
from doorward.core.errors import Unavailable
from doorward.core.names import PORTAL_APPLICATION, PORTAL_AUDIENCE
from doorward.directory.principals import suspend
from doorward.enforcement.envoy.names import NOT_REFUSED, ConnectionFact
from doorward.gateway.authorizer.anonymous import UNKNOWN_FACTS, anonymous_facts, is_whole
from doorward.stores.certificate_choice import CertificateChoice
from tests.support.certificates.issuing import certify
from tests.support.world import OPERATOR
from tests.unit.gateway.authorizer.conftest import COOKIE, Place, refused, url_pem


def shown(place: Place, what: str) -> str:
    """Return a certificate that is not good, as Envoy sends it."""
    if what == "certificate-missing":
        return ""
    if what == "issuer-unknown":
        return url_pem(certify("alice", ca=False).der)
    if what == "certificate-malformed":
        return "%"
    held = place.world.issue("alice")
    if what == "certificate-revoked":
        revocation.revoke(
            place.world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR
        )
    if what == "principal-suspended":
        suspend(place.world.services, "alice", actor=OPERATOR)
    if what == "certificate-expired":
        place.world.clock.turn(days=3650)
    place.in_force()
    return url_pem(held.der)


@pytest.mark.parametrize(
    "reason",
    [
        "certificate-missing",
        "certificate-malformed",
        "issuer-unknown",
        "certificate-revoked",
        "certificate-expired",
        "principal-suspended",
    ],
)
def test_a_refused_connection_lives_for_a_minute_and_knows_why(place: Place, reason: str) -> None:
    """No grant, no name, the first reason that decided; the record says refused, with every reason."""
    presented = shown(place, reason)
    place.recorded.clear()
    answer = place.authorizer().check(presented, place.metadata(APPLICATION=PORTAL_APPLICATION))
    assert answer.facts == anonymous_facts(Reason(reason))
    assert is_whole(answer.facts)
    connection = place.connections.get(COOKIE)
    assert connection is not None
    assert connection.anonymous
    assert connection.grants == ()
    assert connection.deadline == place.world.clock.now() + timedelta(seconds=60)
    (event,) = place.recorded
    assert event.type is EventType.CONNECTION_REFUSED
    assert reason in event.data["reasons"]


def test_a_good_certificate_has_its_identity(place: Place) -> None:
    """Carol is in no rule of any application, and the portal is hers too."""
    answer = place.check(place.world.issue("carol"), APPLICATION=PORTAL_APPLICATION)
    assert answer.facts is not None
    assert answer.facts[ConnectionFact.JUDGED.value] == "1"
    assert answer.facts[ConnectionFact.PRINCIPAL.value] == "person/carol"
    assert answer.facts[ConnectionFact.REASON.value] == NOT_REFUSED


def test_its_assertion_is_for_the_portal(place: Place) -> None:
    """No application of a document can be called so, or what it is told could be said again at the portal."""
    assert place.world.snapshot().names[PORTAL_APPLICATION] == PORTAL_AUDIENCE


def test_its_places_are_those_of_strangers(place: Place) -> None:
    """A refused connection takes none of its principal's places, and is found by what it showed."""
    held = place.world.issue("alice")
    revocation.revoke(place.world.services, held.record.id, RevocationReason.SUPERSEDED, actor=OPERATOR)
    place.check(held, APPLICATION=PORTAL_APPLICATION)
    alice = place.world.principal("alice").id
    assert place.connections.of_principal(alice) == ()
    assert [one.cookie for one in place.connections.showing(alice)] == [COOKIE]
    assert [one.cookie for one in place.connections.showing(held.record.id)] == [COOKIE]
    place.connections.forget(COOKIE)
    assert place.connections.showing(alice) == place.connections.showing_any() == ()


@pytest.mark.parametrize("known", [True, False], ids=["with a certificate", "without one"])
def test_who_wants_another_certificate_is_refused_by_an_alert(place: Place, *, known: bool) -> None:
    """Also if refusals are explained by a page: only an alert makes the browser ask again."""
    held = place.world.issue("alice") if known else None
    place.chosen = {
        CertificateChoice.of(PORTAL_APPLICATION, held.record.sha256 if held else "", "198.51.100.7")
    }
    refused(place, place.check(held, APPLICATION=PORTAL_APPLICATION), "another-certificate-wanted")
    place.chosen = set()
    assert place.check(held, APPLICATION=PORTAL_APPLICATION).facts is not None


def test_a_good_certificate_without_a_rule_gets_the_reason(place: Place) -> None:
    """Known and not allowed is a refusal too, with the word for it."""
    apply_document(
        place.world.services,
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        "    upstream: http://127.0.0.1:9000\n    on_refusal: page\n    rules: [{allow: {groups: [tellers]}}]\n",
        file="x.yaml",
        actor=OPERATOR,
    )
    place.in_force()
    answer = place.check(place.world.issue("carol"))
    assert answer.facts == anonymous_facts(Reason.NO_RULE_MATCHED)


def test_what_is_away_is_said_by_the_door_itself(place: Place) -> None:
    """If the database is unavailable, Envoy gets no facts and answers itself; the registry has no entry."""
    place.is_fresh = False
    answer = place.check(place.world.issue("alice"), APPLICATION=PORTAL_APPLICATION)
    assert answer.facts == UNKNOWN_FACTS
    assert is_whole(UNKNOWN_FACTS)
    assert answer.reasons == ("knowledge-stale",)
    assert len(place.connections) == 0
    refused(place, place.check(None), "knowledge-stale")  # where a refusal is an alert
    place.is_fresh = True
    place.record_fails = Unavailable("store-unavailable", "the disk is full")
    assert place.check(None, APPLICATION=PORTAL_APPLICATION).facts == UNKNOWN_FACTS
    assert len(place.connections) == 0


@pytest.mark.parametrize("word", ["nonsense", "1", "certificate-missing "])
def test_a_reason_that_is_none_of_ours_does_not_leave(word: str) -> None:
    """The reason becomes a header field, so only known words are allowed."""
    assert not is_whole({**anonymous_facts(None), ConnectionFact.REASON.value: word})
