"""The authorizer and connections without a good certificate: refused, or anonymous if the application allows it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.authorizer.anonymous import ANONYMOUS_FACTS, is_whole
from doorward.gateway.connections.quota import ConnectionQuota
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.following.permissions import PermissionsCache
from doorward.policy.decision import anonymous_permissions, loses_permissions
from doorward.policy.document import parse_document
from tests.support.certificates.issuing import certify
from tests.support.ports import NOON
from tests.unit.gateway.authorizer.conftest import COOKIE, Place, refused, url_pem

PUBLIC = "    public: ['/share/**']\n"
LISTED = "    cors: {origins: ['https://b.example']}\n"


def document(*lines: str) -> str:
    """The document with these lines at the application."""
    return (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        "    upstream: http://127.0.0.1:9000\n" + "".join(lines) + "    rules:\n"
        "      - {allow: {groups: [tellers]}}\n"
    )


def put(place: Place, *lines: str) -> None:
    """Put a document into force."""
    policies.apply_document(place.world.services, document(*lines), file="x.yaml", actor="os:1000")
    place.in_force()


@pytest.mark.parametrize("line", [PUBLIC, LISTED])
def test_without_a_certificate_a_connection_is_anonymous(place: Place, line: str) -> None:
    """It holds no grant, has no name, ends within the hour, and is on record as anonymous."""
    put(place, line)
    answer = place.check(None)
    assert answer.facts == ANONYMOUS_FACTS
    assert is_whole(answer.facts)
    connection = place.connections.get(COOKIE)
    assert connection is not None
    assert connection.anonymous
    assert (connection.certificate_id, connection.principal_id, connection.grants) == ("", "", ())
    assert connection.deadline == NOON + timedelta(hours=1)
    (event,) = place.recorded
    assert event.type is EventType.CONNECTION_ANONYMOUS
    assert "certificate-missing" in event.data["reasons"]


@pytest.mark.parametrize("what", ["garbage", "self-made", "revoked"])
def test_a_certificate_that_is_not_good_is_none(place: Place, what: str) -> None:
    """The application gets no fact of the certificate; the record has its principal, or the claimed name."""
    put(place, PUBLIC)
    if what == "revoked":
        held = place.world.issue("alice")
        revocation.revoke(place.world.services, held.record.id, RevocationReason.KEY_COMPROMISE, actor="os:1")
        presented = url_pem(held.der)
    else:
        presented = "%" if what == "garbage" else url_pem(certify("alice", ca=False).der)
    answer = place.authorizer().check(presented, place.metadata())
    assert answer.facts == ANONYMOUS_FACTS
    (event,) = place.recorded
    assert event.type is EventType.CONNECTION_ANONYMOUS
    assert event.data.get("principal", "") == (place.world.principal("alice").id if what == "revoked" else "")


def test_a_person_without_a_rule_is_known_by_name(place: Place) -> None:
    """Public paths are open to all, and the application still gets the person's name."""
    put(place, PUBLIC)
    answer = place.check(place.world.issue("carol"))
    assert answer.facts is not None
    assert answer.facts[ConnectionFact.JUDGED.value] == "1"
    assert answer.facts[ConnectionFact.PRINCIPAL.value] == "person/carol"


def test_a_good_certificate_is_judged_as_everywhere(place: Place) -> None:
    """A good certificate is admitted as at any other application."""
    put(place, PUBLIC, LISTED)
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is not None
    assert answer.facts[ConnectionFact.JUDGED.value] == "1"
    assert answer.facts[ConnectionFact.PRINCIPAL.value] == "person/alice"


def test_elsewhere_a_refusal_ends_the_connection(place: Place) -> None:
    """Without either key the answer is a refusal, and Envoy sends alert 49."""
    put(place)
    refused(place, place.check(None), "certificate-missing")


def test_a_stale_gateway_or_a_policy_not_enforced_refuses(place: Place) -> None:
    """Anonymous connections are closed when the authorizer cannot know, as all are."""
    put(place, PUBLIC)
    place.is_fresh = False
    refused(place, place.check(None), "knowledge-stale")
    place.is_fresh = True
    policies.apply_document(place.world.services, document(LISTED), file="x.yaml", actor="os:1000")
    refused(place, place.check(None), "knowledge-stale")  # Envoy has not come to enforce it
    place.record_fails = Unavailable("store-unavailable", "the disk is full")
    place.in_force()
    refused(place, place.check(None), "store-unavailable")


def test_their_share_of_places_is_small(place: Place) -> None:
    """Beyond the quota no anonymous connection is admitted, but a person is; an ended one makes room."""
    put(place, PUBLIC)
    alice = place.world.issue("alice")
    place.connections = ConnectionRegistry(sequence=place.world.head(), anonymous=ConnectionQuota(0, 1))
    refused(place, place.check(None), "anonymous-connections-exhausted")
    assert place.check(alice).facts is not None


def test_an_answer_is_whole_or_does_not_leave() -> None:
    """Incomplete facts, or a name together with the word for anonymous, never reach Envoy."""
    full = {fact.value: "x" for fact in ConnectionFact} | {ConnectionFact.JUDGED.value: "1"}
    assert is_whole(full)
    for fact in ConnectionFact:
        assert not is_whole({**full, fact.value: ""})
        assert not is_whole({name: value for name, value in full.items() if name != fact.value})
        assert not is_whole({**ANONYMOUS_FACTS, fact.value: "x"})
        assert not is_whole({name: value for name, value in ANONYMOUS_FACTS.items() if name != fact.value})
    assert not is_whole({**ANONYMOUS_FACTS, "more": ""})
    assert not is_whole({})


def test_a_policy_that_closes_something_ends_them_and_no_other_does(place: Place) -> None:
    """The effect of an edit on a live anonymous connection is computed as for any other connection."""
    put(place, PUBLIC)
    place.check(None)
    connection = place.connections.get(COOKIE)
    assert connection is not None

    def loses(text: str) -> bool:
        app = parse_document(text).app("payments")
        now = PermissionsCache({connection.application_id: app} if app else {}, NOON).of(connection)
        assert connection.permissions is not None
        return now is None or loses_permissions(connection.permissions, now)

    assert not loses(document(PUBLIC))
    assert not loses(document("    public: ['/**']\n"))
    assert not loses(document(PUBLIC, LISTED))
    assert loses(document("    public: ['/share/a/**']\n"))
    assert loses(document(LISTED))
    assert loses(document())
    assert loses("trust_domain: corp.example\n")
    assert connection.permissions == anonymous_permissions(parse_document(document(PUBLIC)).apps[0])


def test_many_of_them_are_counted_and_not_written_singly(place: Place) -> None:
    """Strangers must not fill the record: beyond a limit each is admitted and counted (docs/design/0045)."""
    put(place, PUBLIC)
    for _ in range(200):
        assert place.check(None).facts == ANONYMOUS_FACTS
        place.connections.forget(COOKIE)
    assert 0 < len(place.recorded) < 50
