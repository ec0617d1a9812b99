"""TCP connections with rules that change between their acceptance and their answer."""

from __future__ import annotations

from doorward.access import policies
from doorward.core.entities import TENANT
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.policy.document import parse_document
from doorward.policy.grants import GRANTS_LIMIT_BYTES, grant_id
from tests.unit.gateway.authorizer.conftest import COOKIE, Place, refused

HEAD = "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n    upstream: {}\n    rules:\n"
TCP, HTTP = HEAD.format("tcp://127.0.0.1:1883"), HEAD.format("http://127.0.0.1:9000")
BEFORE = "      - allow: {persons: [alice]}\n      - deny: {groups: [lost]}\n"
AFTER = "      - allow: {kind: person}\n      - deny: {groups: [gone]}\n"


def apply(place: Place, text: str) -> None:
    """Put a document into force in the database."""
    policies.apply_document(place.world.services, text, file="x.yaml", actor="os:1000")


def ids_of(place: Place, text: str) -> set[str]:
    """Return the ids of a document's rules."""
    (app,) = parse_document(text).apps
    application = place.world.application_id("payments")
    return {grant_id(TENANT, application, rule.effect, rule.selector) for rule in app.rules}


def shown(place: Place, before: str, after: str) -> set[str]:
    """Return the ids in an answer to alice, who connects under one policy and is judged by another."""
    apply(place, before)
    place.in_force()
    apply(place, after)
    place.decider.afterwards = iter([place.in_force])
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is not None
    return set(answer.facts[ConnectionFact.GRANTS.value].strip(",").split(","))


def test_the_rules_that_it_was_accepted_under_are_satisfied_too(place: Place) -> None:
    """Envoy made its filters then. The registry keeps what the newest policy gave, and nothing more."""
    ids = shown(place, TCP + BEFORE, TCP + AFTER)
    assert ids_of(place, TCP + BEFORE) | ids_of(place, TCP + AFTER) < ids
    connection = place.connections.get(COOKIE)
    assert connection is not None
    assert set(connection.grants) == ids_of(place, TCP + AFTER)


def test_several_edits_may_come_before_the_first_byte(place: Place) -> None:
    """The connection was accepted under the first rules; its first byte comes under others, its answer under newer ones."""
    apply(place, TCP + BEFORE)
    place.in_force()
    between = "      - allow: {kind: person}\n      - deny: {groups: [elsewhere]}\n"
    ids = shown(place, TCP + between, TCP + AFTER)
    assert ids_of(place, TCP + BEFORE) < ids


def test_an_edit_may_come_between_the_first_byte_and_the_answer(place: Place) -> None:
    """Envoy made the filters by rules that it had not confirmed yet at the first byte, and that are not the newest now."""
    between = "      - allow: {kind: person}\n      - deny: {groups: [elsewhere]}\n"

    def edit() -> None:
        place.in_force()
        apply(place, TCP + AFTER)
        place.in_force()

    apply(place, TCP + BEFORE)
    place.in_force()
    apply(place, TCP + between)
    place.decider.afterwards = iter([edit])
    answer = place.check(place.world.issue("alice"))
    assert answer.facts is not None
    ids = set(answer.facts[ConnectionFact.GRANTS.value].split(","))
    assert ids > ids_of(place, TCP + BEFORE) | ids_of(place, TCP + between) | ids_of(place, TCP + AFTER)


def test_only_what_is_true_of_the_subject_is_shown(place: Place) -> None:
    """Of the former policy too: a grant that she never had, and a clearance that she lacks, are not there."""
    former = "      - allow: {persons: [bob]}\n      - deny: {persons: [alice]}\n"
    ids = shown(place, TCP + former, TCP + AFTER)
    assert ids_of(place, TCP + AFTER) < ids
    assert ids.isdisjoint(ids_of(place, TCP + former))


def test_requests_are_held_to_the_newest_rules_alone(place: Place) -> None:
    """A route table is read for each request, so an older id would be seen by later rules."""
    ids = shown(place, HTTP + BEFORE, HTTP + AFTER)
    assert ids.isdisjoint(ids_of(place, HTTP + BEFORE))


def test_what_does_not_fit_is_left_out(place: Place) -> None:
    """The connection may then be refused once, by the former rules."""
    many = "".join(f"      - deny: {{groups: [lost-{number}]}}\n" for number in range(150))
    ids = shown(
        place, TCP + "      - allow: {persons: [alice]}\n" + many, TCP + AFTER + many.replace("lost", "gone")
    )
    assert len(",".join(ids)) < GRANTS_LIMIT_BYTES
    assert ids_of(place, TCP + AFTER) < ids


def test_the_newest_policy_alone_admits(place: Place) -> None:
    """A subject that was allowed when it connected, but no longer is, is refused."""
    apply(place, TCP + BEFORE)
    place.in_force()
    apply(place, TCP + "      - allow: {persons: [bob]}\n")
    place.decider.afterwards = iter([place.in_force])
    refused(place, place.check(place.world.issue("alice")), "no-rule-matched")
