"""Rounds: known certificates are admitted together, with the facts and the record of a single judgement."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from doorward.access import policies
from doorward.core.errors import Unavailable
from doorward.enforcement.envoy.names import ConnectionFact
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.authorizer.rendering import render_answer
from doorward.gateway.authorizer.rounds import MOST_TOGETHER
from doorward.stores.certificate_choice import CertificateChoice
from tests.support.world import OPERATOR
from tests.unit.gateway.authorizer.conftest import Place
from tests.unit.gateway.authorizer.rounds_place import RoundPlace, application, decision_of


@pytest.fixture
def rounds(place: Place) -> RoundPlace:
    """Rounds in a world with its policy in force."""
    return RoundPlace(place)


def refused(result: CheckResult, reason: str) -> None:
    """The answer carries nothing, for this reason."""
    assert result.facts is None
    assert result.rendered is None
    assert result.reasons == (reason,)


def test_a_repeated_admission_has_the_facts_of_a_judgement(rounds: RoundPlace) -> None:
    """Every fact is as a judgement gives it, but for the decision's id; the rendered answer has the same facts."""
    alice = rounds.inner.world.issue("alice")
    judged = rounds.ask_alone(alice, 1)
    repeated = rounds.ask(alice, 2)[2]
    assert judged.facts is not None
    assert repeated.facts is not None
    decision = ConnectionFact.DECISION.value
    assert {**repeated.facts, decision: ""} == {**judged.facts, decision: ""}
    assert repeated.facts[decision] != judged.facts[decision]
    assert repeated.rendered is not None
    assert len(repeated.rendered) == len(render_answer(repeated.facts))


def test_a_repeated_admission_makes_the_connection_of_a_judgement(rounds: RoundPlace) -> None:
    """The registry gets the same connection, with its own socket, source, time and decision."""
    alice = rounds.inner.world.issue("alice")
    rounds.ask_alone(alice, 1)
    rounds.inner.world.clock.turn(seconds=90)
    answer = rounds.ask(alice, 2)[2]
    judged, repeated = rounds.connections.get(1), rounds.connections.get(2)
    assert judged is not None
    assert repeated is not None
    assert repeated.subject is not None
    assert judged.subject is not None
    assert repeated.subject.time == repeated.opened_at == judged.opened_at + timedelta(seconds=90)
    assert repeated.deadline == judged.deadline + timedelta(minutes=1)
    assert repeated.decision == decision_of(answer)
    own = (
        "cookie",
        "connection_id",
        "remote",
        "source_address",
        "opened_at",
        "deadline",
        "decision",
        "subject",
    )
    for field in dataclasses.fields(judged):
        if field.name not in own:
            assert getattr(repeated, field.name) == getattr(judged, field.name), field.name
    assert dataclasses.replace(repeated.subject, time=None) == dataclasses.replace(judged.subject, time=None)


def test_a_round_is_one_block_of_the_record(rounds: RoundPlace) -> None:
    """Each decision of a round is an event with the fields of a judgement, durable before any answer."""
    alice, bob = rounds.inner.world.issue("alice"), rounds.inner.world.issue("bob")
    rounds.learn(alice)
    rounds.learn(bob)
    answers: dict[int, CheckResult] = {}
    seen: list[int] = []
    rounds.hooks.before_commit.append(lambda: seen.append(len(answers)))
    calls = [rounds.call((alice, bob)[one % 2], one, answers) for one in range(1, 7)]
    rounds.rounds.answer_all(calls)
    assert seen == [0]
    events = {one.id: one for one in rounds.events()}
    assert {decision_of(one) for one in answers.values()} == events.keys()
    for number, answer in answers.items():
        event, live = events[decision_of(answer)], rounds.connections.get(number)
        assert live is not None
        assert event.data["connection"] == str(number)
        assert event.data["certificate"] == live.certificate_id
        assert event.at == live.opened_at
        assert event.personal["source"] == "198.51.100.7"
    assert rounds.judged == []
    assert rounds.alone.calls == []


def test_a_large_round_is_cut_into_slices(rounds: RoundPlace) -> None:
    """No round has more than its number of calls, and each call gets its answer."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    commits: list[int] = []
    rounds.hooks.before_commit.append(lambda: commits.append(len(rounds.connections)))
    answers = rounds.ask(alice, *range(1, 2 * MOST_TOGETHER + 2))
    assert all(one.facts is not None for one in answers.values())
    assert commits == [MOST_TOGETHER]


@pytest.mark.parametrize(
    "rule",
    [
        "{allow: {groups: [tellers], source: [198.51.100.0/24]}}",
        "{allow: {groups: [tellers], time: {days: [mon, tue], from: '00:00', to: '24:00', zone: UTC}}}",
        "{deny: {source: [10.0.0.0/8]}}",
        "{allow: {groups: [tellers]}, require: {factor: totp}}",
    ],
)
def test_what_one_certificate_does_not_decide_is_judged_each_time(rounds: RoundPlace, rule: str) -> None:
    """With a rule about the source, the time or a second factor every connection is judged."""
    text = (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        "    upstream: http://127.0.0.1:9000\n    rules:\n"
        "      - {name: one, allow: {groups: [tellers]}}\n"
        f"      - {{name: two, {rule[1:]}\n"
    )
    policies.apply_document(rounds.inner.world.services, text, file="test.yaml", actor=OPERATOR)
    rounds.inner.in_force()
    alice = rounds.inner.world.issue("alice")
    for number in (1, 2, 3):
        assert rounds.ask(alice, number)[number].facts is not None
    assert len(rounds.judged) == 3
    assert len(rounds.known) == 0


def test_refusals_are_not_known(rounds: RoundPlace) -> None:
    """What is refused is judged and recorded each time, and takes no place among the known admissions."""
    carol = rounds.inner.world.issue("carol")
    for number in (1, 2):
        assert rounds.ask(carol, number)[number].facts is None
    assert rounds.ask(None, 3)[3].facts is None
    assert len(rounds.judged) == 3
    assert len(rounds.known) == 0


def test_a_certificate_is_known_at_its_application_only(rounds: RoundPlace) -> None:
    """An admission at one application opens no other one."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    answer = rounds.ask(alice, 1, **application(rounds, "sensors"))[1]
    assert "no-rule-matched" in answer.reasons
    assert len(rounds.judged) == 1


def test_an_admission_ends_with_its_certificate(rounds: RoundPlace) -> None:
    """Beyond the certificate's end, and beyond ten minutes, the certificate is judged; also if the clock was set back."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    rounds.inner.world.clock.turn(minutes=-5)
    assert rounds.ask(alice, 1)[1].facts is not None
    assert len(rounds.judged_together) == 1
    rounds.inner.world.clock.turn(minutes=11)
    assert rounds.ask(alice, 2)[2].facts is not None
    assert len(rounds.judged_together) == 2
    ends = alice.record.not_after + timedelta(seconds=1)
    rounds.inner.world.clock.turn(seconds=(ends - rounds.inner.world.clock.now()).total_seconds() - 1)
    rounds.ask(alice, 3)
    live = rounds.connections.get(3)
    assert live is not None
    assert rounds.ask(alice, 4)[4].facts is not None
    assert live.deadline <= ends
    rounds.inner.world.clock.turn(seconds=1)
    assert "certificate-expired" in rounds.ask(alice, 5)[5].reasons


# one call must not refuse its neighbours


def test_a_malformed_call_refuses_itself_alone(rounds: RoundPlace) -> None:
    """A call with bad metadata, or about a socket that is gone or unknown, is refused; the others are admitted."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    answers: dict[int, CheckResult] = {}
    calls = [
        rounds.call(alice, 1, answers),
        rounds.call(alice, 2, answers, LOCAL="x"),
        rounds.call(alice, 3, answers, EPOCH="2"),
        rounds.call(alice, 4, answers),
        rounds.call(alice, 5, answers),
        rounds.call(alice, 6, answers),
    ]
    del rounds.inner.sockets[next(pair for pair, facts in rounds.inner.sockets.items() if facts.cookie == 4)]
    rounds.errors[rounds.open(5)] = Unavailable("sockdiag-unavailable", "the kernel does not answer")
    rounds.rounds.answer_all(calls)
    refused(answers[3], "envoy-replaced")
    refused(answers[4], "connection-gone")
    refused(answers[5], "sockdiag-unavailable")
    assert answers[1].facts is not None
    assert answers[6].facts is not None
    refused(answers[2], "endpoint-malformed")
    assert len(rounds.connections) == 2


def test_an_answer_that_cannot_be_made_refuses_itself_alone(rounds: RoundPlace) -> None:
    """If an application has no name any more, its connection is refused, and the record does not say that it was admitted."""
    alice, sensor = rounds.inner.world.issue("alice"), rounds.inner.world.issue("sensor-1")
    sensors = application(rounds, "sensors")
    rounds.learn(alice)
    rounds.learn(sensor, **sensors)
    name_of = rounds.name_of

    def forget_sensors(application_id: str) -> str:
        if application_id in sensors.values():
            raise KeyError(application_id)
        return name_of(application_id)

    rounds.name_of = forget_sensors
    answers: dict[int, CheckResult] = {}
    rounds.rounds.answer_all([rounds.call(sensor, 1, answers, **sensors), rounds.call(alice, 2, answers)])
    refused(answers[1], "internal-error")
    assert answers[2].facts is not None
    assert [one.cookie for one in rounds.connections.all()] == [2]
    assert [one.data["connection"] for one in rounds.events()] == ["2"]


def test_a_connection_that_ended_meanwhile_is_refused(rounds: RoundPlace) -> None:
    """A connection that left the registry before its admission is not admitted, and not judged again."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    rounds.hooks.before_admit.append(lambda: rounds.connections.forget(1))
    answers = rounds.ask(alice, 1, 2)
    refused(answers[1], "connection-gone")
    assert answers[2].facts is not None
    assert rounds.alone.calls == []


def test_an_admission_that_cannot_be_kept_is_judged_each_time(
    rounds: RoundPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in keeping an admission costs time, and no connection."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(rounds.known, "keep", fail)
    alice = rounds.inner.world.issue("alice")
    for number in (1, 2):
        assert rounds.ask(alice, number)[number].facts is not None
    assert len(rounds.judged_together) == 2


def test_two_calls_about_one_socket_leave_one_connection(rounds: RoundPlace) -> None:
    """The second call about a socket in one round is judged alone after it, as if it had come later."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    answers: dict[int, CheckResult] = {}
    first = rounds.call(alice, 1, answers)
    more: list[CheckResult] = []
    second = dataclasses.replace(first, reply=more.append)
    rounds.rounds.answer_all([first, second])
    assert answers[1].facts is not None
    assert more[0].facts is not None
    assert len(rounds.connections) == 1
    live = rounds.connections.get(1)
    assert live is not None
    assert live.decision == decision_of(more[0]) != decision_of(answers[1])


def test_a_call_that_waited_too_long_costs_nothing(rounds: RoundPlace) -> None:
    """A call that Envoy no longer waits for is not judged; the others are."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    answers: dict[int, CheckResult] = {}
    late = rounds.call(alice, 1, answers)
    gone = dataclasses.replace(rounds.call(alice, 2, answers), expires_at=1.0)
    rounds.inner.world.clock.turn(seconds=3)
    rounds.rounds.answer_all([late, gone, rounds.call(alice, 3, answers)])
    refused(answers[1], "authorizer-busy")
    refused(answers[2], "authorizer-busy")
    assert answers[3].facts is not None
    assert len(rounds.events()) == 1


def test_an_idle_call_needs_no_other_thread(rounds: RoundPlace) -> None:
    """A single call of a known certificate is answered before `answer_all` returns, and the threads do not see it."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    assert rounds.ask(alice, 1)[1].facts is not None
    assert rounds.alone.calls == []


# limits


def test_the_rate_of_a_certificate_counts_each_connection_once(rounds: RoundPlace) -> None:
    """A connection beyond the certificate's rate is refused and its holder's limit is noted; nothing counts twice."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    for start in range(1, 991, 110):
        answers = rounds.ask(alice, *range(start, start + 110))
        assert all(one.facts is not None for one in answers.values())
        for number in answers:
            rounds.connections.forget(number)
    answers = rounds.ask(alice, *range(991, 1001))
    assert sum(one.facts is not None for one in answers.values()) == 9
    refused(answers[1000], "certificate-rate-exceeded")
    assert len(rounds.inner.over_limit) == 1


def test_a_share_of_connections_is_kept_within_a_round(rounds: RoundPlace) -> None:
    """The connections of one round count together for their principal."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    rounds.connections._max_per_principal = 2
    answers = rounds.ask(alice, 1, 2, 3, 4)
    assert sum(one.facts is not None for one in answers.values()) == 2
    refused(answers[4], "principal-connections-exhausted")
    assert len(rounds.inner.over_limit) == 2

    def fail(_: object) -> None:
        raise Unavailable("store-busy", "the database is locked")

    rounds.note_over_limit = fail
    refused(rounds.ask(alice, 5)[5], "store-busy")


def test_a_certificate_that_is_not_wanted_is_refused_once(rounds: RoundPlace) -> None:
    """A known admission does not pass by a person's wish to show another certificate."""
    alice = rounds.inner.world.issue("alice")
    rounds.learn(alice)
    choice = CertificateChoice.of(
        rounds.inner.world.application_id("payments"), alice.record.sha256, "198.51.100.7"
    )
    rounds.inner.chosen.add(choice)
    refused(rounds.ask(alice, 1)[1], "another-certificate-wanted")
    rounds.inner.chosen.clear()
    assert rounds.ask(alice, 2)[2].facts is not None
