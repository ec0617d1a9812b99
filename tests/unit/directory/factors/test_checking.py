"""A factor is shown: good, wrong, replayed, throttled; and what the record has of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.audit.events import EventType
from doorward.core.errors import AccessDenied, RequestRefused, Unavailable
from doorward.core.factor_kinds import FactorKind
from doorward.directory.callers import Caller
from doorward.directory.factors import checking, enrolling, passkeys
from doorward.directory.factors.budget import HashBudget
from doorward.directory.factors.enrolment_tickets import invite_to_enrol
from doorward.directory.factors.failure_events import write_counts
from doorward.factors.password import PasswordCost, parse_password_cost
from doorward.factors.throttling import LOCKED_AFTER, LONGEST
from doorward.factors.verdict import FactorFault
from tests.support.factor_world import FactorWorld
from tests.support.world import OPERATOR

PASSWORD, TOTP, WEBAUTHN = FactorKind.PASSWORD, FactorKind.TOTP, FactorKind.WEBAUTHN
RECOVERY = FactorKind.RECOVERY


@pytest.fixture
def alice(people: FactorWorld) -> Caller:
    """Alice with a passkey, a password and an app."""
    found = people.comes("alice")
    people.passkey(found)
    people.set_password(found, shown=people.shown(WEBAUTHN))
    people.app(found, shown=people.shown(WEBAUTHN))
    people.clock.turn(minutes=1)
    return found


def test_each_factor_is_good_when_it_is_right(people: FactorWorld, alice: Caller) -> None:
    """The check names the factor and its kind, and is an event."""
    checked = [
        people.use_password(alice),
        checking.check_totp(people.factors, alice, people.code(alice)),
        people.use_passkey(alice),
    ]
    assert [one.kind for one in checked] == [PASSWORD, TOTP, WEBAUTHN]
    assert all(one.require().last_used_at == people.clock.now() for one in checked)
    events = people.events(EventType.FACTOR_CHECKED)
    assert [event.data["factor"] for event in events] == [one.require().id for one in checked]


def test_a_wrong_factor_is_refused_and_recorded_with_its_reason(people: FactorWorld, alice: Caller) -> None:
    """The person is not told what was wrong; the record is."""
    found = people.use_password(alice, "wrong horse battery staple")
    assert not found.good
    with pytest.raises(AccessDenied) as denied:
        found.require()
    assert denied.value.reasons == ("factor-wrong",)
    (event,) = people.events(EventType.FACTOR_FAILED)
    assert (event.data["reason"], event.data["kind"]) == ("factor-wrong", "password")
    assert event.data["certificate"] == alice.certificate_id
    with pytest.raises(TypeError):
        bool(found)


def test_who_has_no_factor_is_answered_as_for_a_wrong_one(people: FactorWorld) -> None:
    """One hash is made too; only the record tells the difference."""
    carol = people.comes("carol")
    found = [
        people.use_password(carol),
        checking.check_totp(people.factors, carol, "123456"),
        checking.check_recovery(people.factors, carol, "00000-00000-00000-00000-00000"),
    ]
    assert [one.faults for one in found] == [(FactorFault.NOT_ENROLLED,)] * 3
    assert all(one.until is None and not one.locked for one in found)


def test_a_code_is_good_once(people: FactorWorld, alice: Caller) -> None:
    """The same code within its step is a replay, also for another certificate of Alice."""
    code = people.code(alice)
    assert checking.check_totp(people.factors, alice, code).good
    for who in (alice, people.comes("alice", invited=False)):
        assert checking.check_totp(people.factors, who, code).faults == (FactorFault.REPLAYED,)
    people.clock.turn(seconds=30)
    assert checking.check_totp(people.factors, alice, people.code(alice)).good


def test_of_two_at_once_with_one_code_one_is_good(people: FactorWorld, alice: Caller) -> None:
    """The counter is compared and set: what was read before another use is stale."""
    code = people.code(alice)
    outcomes = []

    def judge_twice(kept: object) -> checking.FactorJudgement:
        outcomes.append(checking.check_totp(people.factors, alice, code).good)
        return checking.FactorJudgement(factor=kept[0], counter=kept[0].counter + 1)  # type: ignore[index]

    late = checking.check(people.factors, alice, TOTP, judge_twice)
    assert outcomes == [True]
    assert late.faults == (FactorFault.REPLAYED,)


def test_a_passkey_of_another_person_is_refused(people: FactorWorld, alice: Caller) -> None:
    """Bob's authenticator answers Alice's question."""
    bob = people.comes("bob")
    people.passkey(bob)
    asked = passkeys.begin_check(people.factors, alice)
    asked.options["allowCredentials"] = []
    answer = people.browsers["bob"].get(asked.options)
    found = passkeys.check_passkey(people.factors, alice, asked.id, answer)
    assert found.faults == (FactorFault.CREDENTIAL,)


def test_a_passkey_answers_its_own_question_once(people: FactorWorld, alice: Caller) -> None:
    """Not twice, not the question of another certificate, not after five minutes."""
    asked = passkeys.begin_check(people.factors, alice)
    answer = people.browsers["alice"].get(asked.options)
    other = people.comes("alice", invited=False)
    with pytest.raises(RequestRefused, match="open for too long"):
        passkeys.check_passkey(people.factors, other, asked.id, answer)
    assert passkeys.check_passkey(people.factors, alice, asked.id, answer).good
    with pytest.raises(RequestRefused, match="open for too long"):
        passkeys.check_passkey(people.factors, alice, asked.id, answer)
    asked = passkeys.begin_check(people.factors, alice)
    people.clock.turn(minutes=5)
    with pytest.raises(RequestRefused, match="open for too long"):
        passkeys.check_passkey(people.factors, alice, asked.id, answer)


def test_a_copied_passkey_is_found_by_its_counter(people: FactorWorld, alice: Caller) -> None:
    """The copy counts from where it was copied."""
    assert people.use_passkey(alice).good
    people.browsers["alice"].keys[0].counter = 0
    assert people.use_passkey(alice).faults == (FactorFault.COUNTER,)


def test_a_passkey_of_another_host_is_not_offered(people: FactorWorld, alice: Caller) -> None:
    """After a change of the portal's host no passkey is left."""
    party = replace(people.factors.party, id="p.corp.example", origin="https://p.corp.example")
    moved = replace(people.factors, party=party)
    assert passkeys.begin_check(moved, alice).options["allowCredentials"] == []


def test_after_five_wrong_passwords_the_next_is_not_judged(people: FactorWorld, alice: Caller) -> None:
    """The correct one has to wait too; then it is good, and the count is cleared."""
    for _ in range(5):
        assert people.use_password(alice, "wrong horse battery staple").until is None
    refused = people.use_password(alice)
    assert refused.faults == (FactorFault.THROTTLED,)
    assert refused.until == people.clock.now() + timedelta(seconds=30)
    people.clock.turn(seconds=30)
    assert people.use_password(alice).good
    for _ in range(4):
        people.use_password(alice, "wrong horse battery staple")
    assert people.use_password(alice).good


def test_a_try_counts_while_it_is_being_judged(people: FactorWorld, alice: Caller) -> None:
    """Of many at the same time no more are judged than one after the other."""
    inner: list[tuple[FactorFault, ...]] = []

    def judge_slowly(_kept: object) -> checking.FactorJudgement:
        inner.extend(people.use_password(alice, "wrong horse battery staple").faults for _ in range(5))
        return checking.FactorJudgement(faults=(FactorFault.WRONG,))

    checking.check(people.factors, alice, PASSWORD, judge_slowly)
    assert inner == [(FactorFault.WRONG,)] * 4 + [(FactorFault.THROTTLED,)]


def test_the_counts_survive_a_restart(people: FactorWorld, alice: Caller) -> None:
    """They lie in the store: a new process refuses as the old one did."""
    for _ in range(5):
        people.use_password(alice, "wrong horse battery staple")
    again = replace(people)
    assert again.use_password(alice).faults == (FactorFault.THROTTLED,)


def test_the_attempts_of_a_thief_keep_no_other_person_out(people: FactorWorld, alice: Caller) -> None:
    """Another certificate of Alice has a count of its own, and so has another kind of factor."""
    for _ in range(7):
        people.use_password(alice, "wrong horse battery staple")
    assert people.use_password(alice).faults == (FactorFault.THROTTLED,)
    assert people.use_password(people.comes("alice", invited=False)).good
    assert checking.check_totp(people.factors, alice, people.code(alice)).good
    assert people.use_passkey(alice).good


def test_a_good_passkey_clears_the_other_counts(people: FactorWorld, alice: Caller) -> None:
    """A person who has shown the strongest factor need not wait for the weaker ones."""
    for _ in range(5):
        people.use_password(alice, "wrong horse battery staple")
    assert people.use_passkey(alice).good
    assert people.use_password(alice).good


def test_a_hundred_wrong_tries_lock_this_kind_for_this_certificate(
    people: FactorWorld, alice: Caller
) -> None:
    """Waiting does not help any more; the passkey does."""
    for _ in range(LOCKED_AFTER):
        people.use_password(alice, "wrong horse battery staple")
        people.clock.turn(seconds=LONGEST.total_seconds())
    found = people.use_password(alice)
    assert found.locked
    assert found.until is None
    assert people.use_passkey(alice).good
    assert people.use_password(alice).good


def test_under_a_flood_failures_are_counted_and_told_once(people: FactorWorld, alice: Caller) -> None:
    """Twenty events of one certificate a minute; the rest is one event with its number."""
    for _ in range(50):
        people.use_password(alice, "wrong horse battery staple")
    assert len(people.events(EventType.FACTOR_FAILED)) == 20
    assert write_counts(people.services, people.factors.failure_limiter) == 0
    people.clock.turn(minutes=1)
    assert write_counts(people.services, people.factors.failure_limiter) == 1
    told = people.events(EventType.FACTOR_FAILED)[-1]
    assert (told.data["reason"], told.data["number"]) == ("too-many-attempts", 30)
    assert told.data["certificate"] == alice.certificate_id


def test_counts_are_told_by_the_next_failure_and_at_the_end(people: FactorWorld, alice: Caller) -> None:
    """The next failure after the minute tells them; a process that stops tells those of its last minute."""
    for _ in range(21):
        people.use_password(alice, "wrong horse battery staple")
    people.clock.turn(minutes=1)
    people.use_password(alice, "wrong horse battery staple")
    assert [event.data.get("number") for event in people.events(EventType.FACTOR_FAILED)][-2:] == [
        1,
        None,
    ]
    for _ in range(21):
        people.use_password(alice, "wrong horse battery staple")
    assert write_counts(people.services, people.factors.failure_limiter, whole=True) == 1


def test_a_password_is_hashed_again_at_a_new_cost(people: FactorWorld, alice: Caller) -> None:
    """The next good check does it; the factor stays what it was."""
    dear = PasswordCost(memory_kibibytes=16, passes=1)
    later = replace(people.factors, cost=dear)
    good = checking.check_password(later, alice, "gravel otter lantern quilt").require()
    with people.work.read() as stores:
        kept = stores.factors.get(good.id)
    assert kept is not None
    assert parse_password_cost(kept.secret.decode()) == dear
    assert kept.last_used_at == people.clock.now()
    assert checking.check_password(later, alice, "gravel otter lantern quilt").good


def test_a_try_that_finds_no_place_is_not_counted(people: FactorWorld, alice: Caller) -> None:
    """The answer is `too-busy`, and the five free tries remain."""
    full = HashBudget(at_once=0, waiting=0)
    context = replace(people.factors, budget=full)
    for _ in range(9):
        with pytest.raises(Unavailable) as away:
            checking.check_password(context, alice, "gravel otter lantern quilt")
        assert away.value.code == "too-busy"
    assert people.use_password(alice).good


def test_a_right_password_is_good_also_if_it_cannot_be_hashed_again(
    people: FactorWorld, alice: Caller
) -> None:
    """The place for the second hash was not free; the old hash stays."""

    class OnePlace(HashBudget):
        """A budget that is spent by its first hash."""

        spent = False

        def run(self, source, work):  # type: ignore[no-untyped-def]
            if self.spent:
                raise Unavailable("too-busy", "no place")
            self.spent = True
            return super().run(source, work)

    dear = replace(people.factors, cost=PasswordCost(memory_kibibytes=16, passes=1), budget=OnePlace())
    assert checking.check_password(dear, alice, "gravel otter lantern quilt").good


def test_a_recovery_code_opens_enrolment_once_and_ends_the_rest(people: FactorWorld, alice: Caller) -> None:
    """The lost factors are gone and the sessions ended; one new factor may be enrolled, and the code is used up."""
    codes = enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(WEBAUTHN))
    before = people.epoch(alice)
    assert checking.check_recovery(people.factors, alice, codes[3].lower()).good
    assert people.kinds(alice) == [RECOVERY] * 9
    assert people.epoch(alice) != before
    reasons = [event.data["reason"] for event in people.events(EventType.FACTOR_REMOVED)]
    assert reasons == ["recovery-code-used"] * 3
    assert checking.check_recovery(people.factors, alice, codes[3]).faults == (FactorFault.WRONG,)
    people.passkey(alice)
    assert people.kinds(alice) == [WEBAUTHN] + [RECOVERY] * 9


def test_a_recovery_code_gives_back_nothing_stronger(people: FactorWorld) -> None:
    """A stolen password makes codes, and no passkey comes of them; also not of those that were made before a passkey."""
    carol = people.comes("carol")
    people.set_password(carol)
    codes = enrolling.make_recovery_codes(people.factors, carol, shown=people.shown(PASSWORD))
    link = invite_to_enrol(people.services, "carol", actor=OPERATOR)
    people.passkey(carol, token=link.token)
    for code in codes[:2]:  # also if nothing is enrolled between two of them
        assert checking.check_recovery(people.factors, carol, code).good
        for stronger in (people.passkey, people.app):
            with pytest.raises(RequestRefused) as caught:
                stronger(carol)
            assert caught.value.code == "factor-too-weak"
    people.set_password(carol)
    assert people.kinds(carol) == [PASSWORD] + [RECOVERY] * 8


def test_a_recovery_code_is_the_certificates_own_chance(people: FactorWorld, alice: Caller) -> None:
    """Another certificate of Alice gets no ticket by it; after fifteen minutes no certificate has one."""
    codes = enrolling.make_recovery_codes(people.factors, alice, shown=people.shown(WEBAUTHN))
    other = people.comes("alice", invited=False)
    assert checking.check_recovery(people.factors, alice, codes[0]).good
    with pytest.raises(RequestRefused):
        people.passkey(other)
    people.clock.turn(minutes=15)
    with pytest.raises(RequestRefused):
        people.passkey(alice)


def test_no_more_than_two_hashes_run_at_once() -> None:
    """Of many threads two work, some wait, and those beyond are told that it is too busy."""
    budget = HashBudget(waiting=2)
    running, most, lock = 0, 0, threading.Lock()
    go, both, outcomes = threading.Event(), threading.Semaphore(0), []

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.release()
        go.wait()
        with lock:
            running -= 1

    def come(source: str) -> None:
        try:
            budget.run(source, work)
            outcomes.append("done")
        except Unavailable as away:
            outcomes.append(away.code)

    threads = [threading.Thread(target=come, args=(f"192.0.2.{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    both.acquire()
    both.acquire()
    while budget.count_waiting() < 2:
        threading.Event().wait(0.001)
    come("192.0.2.9")
    assert outcomes == ["too-busy"]
    go.set()
    for thread in threads:
        thread.join()
    assert outcomes.count("done") == 4
    assert most == 2


def test_sources_take_turns() -> None:
    """An address with many tries does not delay another's only one."""
    budget = HashBudget(at_once=1)
    go, order = threading.Event(), []
    threads = [threading.Thread(target=budget.run, args=("first", go.wait))]
    threads[0].start()
    for number, source in enumerate(["busy", "busy", "busy", "other"]):
        while budget.count_waiting() < number:
            threading.Event().wait(0.001)
        thread = threading.Thread(target=budget.run, args=(source, lambda name=source: order.append(name)))
        thread.start()
        threads.append(thread)
    while budget.count_waiting() < 4:
        threading.Event().wait(0.001)
    go.set()
    for thread in threads:
        thread.join()
    assert order == ["busy", "other", "busy", "busy"]


def test_one_source_may_fill_only_a_part_of_the_queue() -> None:
    """Four calls wait for an address; the fifth gets `too-busy`, and so does a call that waits too long."""
    budget = HashBudget(at_once=0, seconds=0.01)
    with pytest.raises(Unavailable):
        budget.run("192.0.2.7", lambda: None)
    assert budget.count_waiting() == 0
