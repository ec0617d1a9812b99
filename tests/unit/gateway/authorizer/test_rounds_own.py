"""Rounds and certificates that are not known: our own are judged in the round, everything else is kept out of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from doorward.access import policies
from doorward.authority import revocation
from doorward.core.certificate import RevocationReason
from doorward.core.errors import Unavailable
from doorward.gateway.authorizer import own_judging
from doorward.gateway.authorizer.calls import CheckResult
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.stores.certificate_choice import CertificateChoice
from tests.support.certificates.issuing import certify, toy_ca
from tests.support.partner_site import PartnerSite
from tests.support.world import OPERATOR, Held
from tests.unit.gateway.authorizer.conftest import Interrupted, Place, url_pem
from tests.unit.gateway.authorizer.rounds_place import RoundPlace, application, decision_of

SLOW = own_judging.MOST_SECONDS * 0.4


@pytest.fixture
def rounds(place: Place) -> RoundPlace:
    """Rounds in a world with its policy in force."""
    return RoundPlace(place)


def ask_about(rounds: RoundPlace, ders: Sequence[bytes]) -> dict[int, CheckResult]:
    """Ask about one new socket for each certificate, in one turn."""
    answers: dict[int, CheckResult] = {}
    calls = [rounds.call(None, number, answers) for number in range(1, len(ders) + 1)]
    for call, der in zip(calls, ders, strict=True):
        call.certificate = url_pem(der)
    rounds.rounds.answer_all(calls)
    assert len(answers) == len(ders)
    return dict(sorted(answers.items()))


def stranger() -> bytes:
    """A certificate of an unknown authority."""
    return certify("alice", toy_ca("Issuing CA"), ca=False).der


def kept_out(rounds: RoundPlace, ders: Sequence[bytes]) -> dict[int, CheckResult]:
    """Ask about these certificates: the threads get them before any step of a round."""
    before = len(rounds.asked)
    answers = ask_about(rounds, ders)
    assert len(rounds.alone.calls) == len(ders)
    assert len(rounds.asked) == before
    assert rounds.judged_together == []
    return answers


def test_an_unknown_certificate_is_judged_in_the_round_and_then_known(rounds: RoundPlace) -> None:
    """The first connections of a certificate share one judgement; the next one repeats the admission."""
    alice, bob = rounds.inner.world.issue("alice"), rounds.inner.world.issue("bob")
    answers = ask_about(rounds, [alice.der, bob.der, alice.der])
    assert all(one.facts is not None for one in answers.values())
    assert len({decision_of(one) for one in answers.values()}) == 3
    assert len(rounds.judged_together) == 2
    assert rounds.ask(alice, 4)[4].facts is not None
    assert len(rounds.judged_together) == 2
    assert rounds.judged == []
    assert rounds.alone.calls == []
    assert len(rounds.connections) == 4


def test_a_judgement_in_a_round_leaves_the_record_and_the_facts_of_a_single_one(rounds: RoundPlace) -> None:
    """Reasons, evidence, grants, deadline and holder are the same; the registry has the same connection."""
    alice = rounds.inner.world.issue("alice")
    together, alone = rounds.ask(alice, 1)[1], rounds.ask_alone(alice, 2)
    (one,), (other,) = rounds.events(), rounds.inner.recorded
    assert decision_of(together) == one.id
    assert {**one.data, "connection": ""} == {**other.data, "connection": ""}
    assert one.personal == other.personal
    assert (one.actor, one.at, one.type) == (other.actor, other.at, other.type)
    assert together.facts is not None
    assert alone.facts is not None
    assert {**together.facts, "decision": ""} == {**alone.facts, "decision": ""}
    first, second = rounds.connections.get(1), rounds.connections.get(2)
    assert first is not None
    assert second is not None
    assert (first.deadline, first.grants, first.subject) == (second.deadline, second.grants, second.subject)


def test_known_and_unknown_certificates_share_one_round(rounds: RoundPlace) -> None:
    """One block of the record has the decisions of both."""
    alice, bob = rounds.inner.world.issue("alice"), rounds.inner.world.issue("bob")
    rounds.learn(alice)
    commits: list[int] = []
    rounds.hooks.after_commit.append(lambda: commits.append(len(rounds.events())))
    ask_about(rounds, [alice.der, bob.der])
    assert commits == [2]
    assert len(rounds.judged_together) == 1


def test_strangers_are_kept_out(rounds: RoundPlace) -> None:
    """A certificate of an unknown authority, a copy with another signature, and no certificate go to the threads before the round."""
    alice = rounds.inner.world.issue("alice")
    seen: list[int] = []
    rounds.hooks.before_begin.append(lambda: seen.append(len(rounds.alone.calls)))
    forged = alice.der[:-1] + bytes([alice.der[-1] ^ 1])
    answers = ask_about(rounds, [stranger(), forged, alice.der])
    assert [one.facts is not None for one in answers.values()] == [False, False, True]
    assert seen == [2]
    assert len(rounds.asked) == 1
    assert len(rounds.judged_together) == 1
    assert rounds.ask(None, 9)[9].facts is None
    assert len(rounds.asked) == 1


def test_a_certificate_that_is_not_valid_any_more_is_kept_out(rounds: RoundPlace) -> None:
    """A revoked one is judged by the threads, as often as it comes, and costs a round one look-up."""
    alice = rounds.inner.world.issue("alice")
    revocation.revoke(
        rounds.inner.world.services, alice.record.id, RevocationReason.KEY_COMPROMISE, actor=OPERATOR
    )
    answers = kept_out(rounds, [alice.der] * 2)
    assert all("certificate-revoked" in one.reasons for one in answers.values())
    assert len(rounds.judged) == 2


def test_a_partners_certificate_is_kept_out(site: PartnerSite, place: Place) -> None:
    """It may need a path, an OCSP look-up and a registration; also if it is in the inventory already."""
    inner = Place(
        world=site,
        connections=ConnectionRegistry(sequence=site.head()),
        gate=place.gate,
        decider=Interrupted(site.judge),
        sockets={},
    )
    inner.in_force()
    rounds = RoundPlace(inner)
    leaf = site.leaf("bob@clinic.example")
    site.decide(leaf)
    kept_out(rounds, [leaf.der, leaf.der])
    assert len(rounds.judged) == 2


def test_a_certificate_that_is_too_long_is_not_decoded(rounds: RoundPlace) -> None:
    """Decoding a long text costs time, and strangers could make a round spend it."""
    alice = rounds.inner.world.issue("alice")
    answers: dict[int, CheckResult] = {}
    call = rounds.call(alice, 1, answers)
    call.certificate += "%0A" * own_judging.LONGEST
    rounds.rounds.answer_all([call])
    assert answers[1].facts is not None
    assert len(rounds.alone.calls) == 1


def test_an_application_with_a_rule_about_the_source_is_kept_out(rounds: RoundPlace) -> None:
    """There every connection is judged alone, so nothing is looked up for a round."""
    world = rounds.inner.world
    alice = world.issue("alice")
    text = (
        "trust_domain: corp.example\napps:\n  payments:\n    hosts: [payments.corp.example]\n"
        "    upstream: http://127.0.0.1:9000\n    rules:\n"
        "      - {name: one, allow: {groups: [tellers], source: [198.51.100.0/24]}}\n"
    )
    policies.apply_document(world.services, text, file="test.yaml", actor=OPERATOR)
    rounds.inner.in_force()
    assert kept_out(rounds, [alice.der])[1].facts is not None


def test_what_the_rules_refuse_is_recorded_once(rounds: RoundPlace) -> None:
    """A refusal leaves the round; the threads judge it again, and record it with its reasons."""
    carol, alice = rounds.inner.world.issue("carol"), rounds.inner.world.issue("alice")
    answers = ask_about(rounds, [carol.der, alice.der])
    assert "no-rule-matched" in answers[1].reasons
    assert answers[2].facts is not None
    assert [one.type.value for one in rounds.inner.recorded] == ["connection:refused"]
    assert len(rounds.events()) == 1
    assert not rounds.connections.pending()


def test_a_certificate_that_is_not_wanted_is_refused_once(rounds: RoundPlace) -> None:
    """A person's wish to show another certificate counts for a judgement in a round, too."""
    alice = rounds.inner.world.issue("alice")
    payments = rounds.inner.world.application_id("payments")
    rounds.inner.chosen.add(CertificateChoice.of(payments, alice.record.sha256, "198.51.100.7"))
    assert rounds.ask(alice, 1)[1].reasons == ("another-certificate-wanted",)
    assert len(rounds.connections) == 0


# limits


def many(rounds: RoundPlace, count: int) -> list[Held]:
    """As many certificates of alice."""
    return [rounds.inner.world.issue("alice") for _ in range(count)]


def test_the_judgements_of_a_round_have_a_limit_of_time(rounds: RoundPlace) -> None:
    """Once the round has used its processor time, the others go to the threads; all are admitted."""
    rounds.judge_seconds = SLOW
    answers = ask_about(rounds, [one.der for one in many(rounds, 5)])
    assert all(one.facts is not None for one in answers.values())
    assert len(rounds.judged_together) == 3
    assert len(rounds.judged) == 2


def test_the_look_ups_of_a_turn_have_a_limit(rounds: RoundPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many strangers come, a turn looks up so many; the newest are looked up, the others go to the threads."""
    looked_up: list[int] = []
    are_own = rounds.inner.decider.are_own

    def count(digests: Sequence[str]) -> list[bool]:
        looked_up.append(len(digests))
        return are_own(digests)

    monkeypatch.setattr(rounds.inner.decider, "are_own", count)
    old, new = many(rounds, 2)
    most = own_judging.MOST_LOOKED_UP
    answers = ask_about(rounds, [old.der, *[stranger()] * most, new.der])
    assert looked_up == [most]
    assert answers[1].facts is not None
    assert answers[most + 2].facts is not None
    assert len(rounds.judged_together) == 1
    assert len(rounds.alone.calls) == most + 1


def test_a_policy_that_is_not_loaded_is_not_loaded_by_a_round(rounds: RoundPlace) -> None:
    """Parsing a document may take long, and everything else would wait for it."""
    alice = rounds.inner.world.issue("alice")
    rounds.inner.decider.is_prepared = False
    assert rounds.ask(alice, 1)[1].facts is not None
    assert rounds.judged_together == []
    assert len(rounds.judged) == 1


# faults


def test_a_database_that_cannot_be_read_refuses(rounds: RoundPlace) -> None:
    """Without look-ups nothing is picked, and the threads refuse."""
    alice = rounds.inner.world.issue("alice")
    answers: dict[int, CheckResult] = {}
    call = rounds.call(alice, 1, answers)
    rounds.inner.world.work.broken = Unavailable("store-busy", "the database is locked")
    rounds.rounds.answer_all([call])
    rounds.inner.world.work.broken = None
    assert answers[1].reasons == ("store-busy",)
    assert len(rounds.alone.calls) == 1
    assert len(rounds.connections) == 0


@pytest.mark.parametrize("step", ["are_own", "decide_own"])
@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), Unavailable("store-busy", "the database is locked")]
)
def test_a_fault_refuses_no_connection(
    rounds: RoundPlace, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    """If the way through the round fails, the threads judge."""

    def fail(*_: object) -> None:
        raise error

    alice, bob = rounds.inner.world.issue("alice"), rounds.inner.world.issue("bob")
    rounds.learn(alice)
    monkeypatch.setattr(rounds.inner.decider, step, fail)
    answers = ask_about(rounds, [alice.der, bob.der])
    assert all(one.facts is not None for one in answers.values())
    assert len(rounds.judged) == 1


def test_an_application_is_told_apart(rounds: RoundPlace) -> None:
    """A certificate that two applications see in one round is judged for each."""
    alice = rounds.inner.world.issue("alice")
    answers: dict[int, CheckResult] = {}
    rounds.rounds.answer_all(
        [
            rounds.call(alice, 1, answers),
            rounds.call(alice, 2, answers, **application(rounds, "sensors")),
        ]
    )
    assert answers[1].facts is not None
    assert "no-rule-matched" in answers[2].reasons
