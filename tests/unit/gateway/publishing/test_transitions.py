"""Publishing: the configuration in force, the numbers that wait, and the order of a transition."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest

from doorward.audit.events import EventType
from doorward.core.entities import PrincipalKind
from doorward.core.errors import Unavailable
from doorward.directory import principals as directory
from doorward.enforcement import transition
from doorward.gateway.publishing import publisher
from doorward.gateway.publishing import transition as module
from doorward.gateway.publishing.transition import (
    CHECK_SECONDS,
    RETRY_SECONDS,
)
from tests.support.world import DOCUMENT, OPERATOR, found_world
from tests.unit.gateway.live import token_of
from tests.unit.gateway.publishing.conftest import READ, Site, make_site

# what is in force


def test_a_fresh_envoy_gets_the_newest_policy(site: Site) -> None:
    """Its start brings every door into force, opens the gate for the newest revision, and knows the names."""
    payments, sensors = (site.world.application_id(name) for name in ("payments", "sensors"))
    assert site.doors() == {payments, sensors}
    assert site.gate.revision == 1
    assert site.publishing.application_name(payments) == "payments"
    assert site.publishing.trouble() == ""


def test_the_gate_opens_only_when_a_new_envoy_has_answered(tmp_path: Path) -> None:
    """An Envoy that was only prepared enforces nothing yet."""
    site = make_site(found_world(), tmp_path)
    site.stock()
    (tmp_path / "run").mkdir()
    site.publishing.prepare(tmp_path / "run", threading.Event())
    assert site.gate.revision == -1
    assert not site.lets_in("payments")
    site.start()
    assert site.lets_in("payments")


def test_a_new_policy_comes_into_force(site: Site) -> None:
    """A step brings the newest revision into force, records it, and then opens the gate."""
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.story == ["sent", "published 2"]
    (event,) = site.events(EventType.GATEWAY_PUBLISHED)
    assert event["revision"] == 2


def test_the_gate_opens_only_when_envoy_has_confirmed(site: Site) -> None:
    """Until Envoy has answered, the gate stands at the old revision."""
    assert site.envoy is not None
    seen: list[int] = []
    site.envoy.before = lambda _: seen.append(site.gate.revision)
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    site.publishing.step()
    assert seen == [1]
    assert site.gate.revision == 2


def test_nothing_new_is_not_published(site: Site) -> None:
    """A look without news sends nothing and records nothing."""
    assert site.publishing.step() == CHECK_SECONDS
    assert "sent" not in site.story
    assert site.events(EventType.GATEWAY_PUBLISHED) == []


def test_before_an_envoy_was_prepared_nothing_is_published(tmp_path: Path) -> None:
    """A request that comes before the first Envoy waits for it."""
    site = make_site(found_world(), tmp_path)
    site.publishing.requests.request(5)
    assert site.publishing.step() == RETRY_SECONDS
    assert site.publishing.requests.pending() == 5


# which numbers are in force


def test_a_number_is_pending_until_its_policy_is_in_force(site: Site) -> None:
    """A requested number is pending, and no longer after the publication."""
    assert site.publishing.requests.pending() is None
    seq = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.requests.request(seq)
    assert site.publishing.requests.pending() == seq
    site.publishing.step()
    assert site.publishing.requests.pending() is None


def test_the_oldest_number_is_pending(site: Site) -> None:
    """While two policies wait, the older one is what nothing beyond may be confirmed for."""
    first = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.requests.request(first)
    second = site.apply(DOCUMENT)
    site.publishing.requests.request(second)
    assert site.publishing.requests.pending() == first
    site.publishing.step()
    assert site.publishing.requests.pending() is None


def test_a_failed_publication_stays_pending(site: Site) -> None:
    """A number that could not be published is not confirmed by a later request."""
    first = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.requests.request(first)
    site.world.work.broken = Unavailable("database-unavailable", "the disk is gone")
    site.publishing.step()
    site.world.work.broken = None
    site.publishing.requests.request(first + 5)
    assert site.publishing.requests.pending() == first


def test_an_unconfirmed_publication_stays_pending(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as Envoy has not answered, no command is told that its change is in force."""
    assert site.envoy is not None
    monkeypatch.setattr(publisher, "CONFIRM_SECONDS", 0.0)
    first = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.requests.request(first)
    site.envoy.is_silent = True
    site.publishing.step()
    site.publishing.requests.request(first + 5)
    assert site.publishing.requests.pending() == first


def test_a_request_from_the_future_stays_pending(site: Site) -> None:
    """A number beyond what the publication rested on waits for the next one."""
    ahead = site.world.head() + 1
    site.publishing.requests.request(ahead)
    site.publishing.step()
    assert site.publishing.requests.pending() == ahead


# the order of a transition


def test_the_overreaching_are_ended_before_anything_is_published(site: Site) -> None:
    """A connection with an id that it does not deserve is ended before a policy gives that id more."""
    text = DOCUMENT.replace(
        READ,
        '      - name: also\n        allow: {groups: [clerks]}\n        to: {methods: [GET], paths: ["/accounts/**"]}\n'
        + READ,
    )
    site.publish(text)
    directory.create_group(site.world.services, "clerks", actor=OPERATOR)
    directory.add_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.enter("alice", 1)
    site.enter("bob", 2)
    directory.remove_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.judge_again(1)
    site.story.clear()
    site.publish(text.replace('methods: [GET], paths: ["/accounts/**"]', 'paths: ["/vault/**"]'))
    assert site.cutter.cut == [1]
    assert site.story == ["cut", "sent", "published 3"]
    reasons = [one["reason"] for one in site.events(EventType.CONNECTION_CUT)]
    assert reasons == ["authority-withdrawn"]


TCP = """\
trust_domain: corp.example
apps:
  payments:
    hosts: [payments.corp.example]
    upstream: tcp://127.0.0.1:1883
    rules:
      - allow: {groups: [tellers]}
      - allow: {groups: [clerks]}
"""


def test_of_a_tcp_connection_only_authority_counts(site: Site) -> None:
    """Its rules are asked once: neither an id that it no longer deserves nor one that it lacks ends it."""
    site.publish(TCP)
    directory.create_group(site.world.services, "clerks", actor=OPERATOR)
    directory.add_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.enter("alice", 1)
    directory.remove_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.judge_again(1)
    site.publish(TCP.replace("[clerks]", "[clerks, others]"))
    site.publish(TCP.replace("[tellers]", "[tellers, others]"))
    assert site.cutter.cut == []
    assert site.connections.get(1) is not None


def test_who_lost_nothing_goes_on_by_an_alias(site: Site) -> None:
    """If only an id changed, Envoy accepts the connection's class token in its place; no connection is cut."""
    site.enter("alice", 1)
    one = site.connections.get(1)
    assert one is not None
    site.publish(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    assert site.cutter.cut == []
    routes = site.table(one.application_id)
    assert token_of(one) in routes


def test_an_alias_lasts_as_long_as_its_connection(site: Site) -> None:
    """A connection that lives by an alias is not ended for it, and each publication proves the alias again."""
    site.enter("alice", 1)
    one = site.connections.get(1)
    assert one is not None
    site.publish(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    for _ in range(3):
        site.world.clock.turn(hours=1)
        site.publishing.step()
    assert site.cutter.cut == []
    assert token_of(one) in _accepted(site)
    site.connections.forget(1)
    site.publishing.step()
    assert token_of(one) not in _accepted(site)


def _accepted(site: Site) -> set[str]:
    """The ids that the payments door asks for."""
    return set(re.findall(r",([gct][a-z2-7]{20}),", site.table()))


OWN = DOCUMENT.replace(
    READ, "      - name: own\n        allow: {persons: [alice]}\n        to: {paths: [/own]}\n" + READ
)


def add_dave(site: Site) -> None:
    """Another person of alice's class."""
    directory.add_principal(
        site.world.services, PrincipalKind.PERSON, "dave", groups=("tellers",), actor=OPERATOR
    )


def test_who_alone_of_its_class_deserves_more_is_let_through_by_its_decision(site: Site) -> None:
    """The id of its decision counts as the new id: no other connection has it, and none is ended."""
    add_dave(site)
    site.enter("alice", 1)
    site.enter("dave", 2)
    site.publish(OWN)
    assert site.cutter.cut == []
    routes = site.table()
    alice, dave = site.connections.get(1), site.connections.get(2)
    assert alice is not None
    assert dave is not None
    assert alice.decision in routes
    assert dave.decision not in routes


def test_a_gain_is_published_when_it_is_asked_for(site: Site) -> None:
    """A person who joins a group is let through on the connection that it has, and not before."""
    site.publish(DOCUMENT.replace(READ, "      - {name: c, allow: {groups: [clerks]}}\n" + READ))
    directory.create_group(site.world.services, "clerks", actor=OPERATOR)
    site.enter("alice", 1)
    site.publishing.step()
    one = site.connections.get(1)
    assert one is not None
    assert one.decision not in site.table()
    directory.add_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.judge_again(1)
    site.publishing.requests.refresh()
    site.publishing.step()
    assert one.decision in site.table()
    assert site.cutter.cut == []


def test_beyond_the_most_aliases_a_gain_waits_for_the_next_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection for which there is no alias goes on without its gain; it is ended only if it would lose something."""
    monkeypatch.setattr(transition, "MAX_OWN_ALIASES", 0)
    site.publish(DOCUMENT.replace(READ, "      - {name: c, allow: {groups: [clerks]}}\n" + READ))
    directory.create_group(site.world.services, "clerks", actor=OPERATOR)
    add_dave(site)
    site.enter("alice", 1)
    site.enter("dave", 2)
    directory.add_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.judge_again(1)
    site.publishing.step()
    assert site.cutter.cut == []
    monkeypatch.setattr(transition, "MAX_ALIASES", 0)
    site.story.clear()
    site.publish(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    assert sorted(site.cutter.cut) == [1, 2]
    assert site.story == ["sent", "published 3", "cut"]


def test_connections_of_an_application_that_is_gone_are_ended_first(site: Site) -> None:
    """No connection stays at an application that is no longer in the policy."""
    site.enter("sensor-1", 3, "sensors")
    sensors = site.world.application_id("sensors")
    site.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    site.publishing.step()
    assert site.cutter.cut == [3]
    assert site.story[0] == "cut"
    assert sensors not in site.doors()


def test_who_could_not_be_cut_counts_until_it_is_gone(site: Site) -> None:
    """A condemned connection that resists is still there: no alias may be made that it would pass by."""
    site.enter("alice", 1)
    directory.add_principal(
        site.world.services, PrincipalKind.PERSON, "dave", groups=("tellers",), actor=OPERATOR
    )
    site.enter("dave", 2)
    site.connections.condemn(2)
    directory.remove_member(site.world.services, "tellers", "dave", actor=OPERATOR)
    one = site.connections.get(1)
    assert one is not None
    condemned = site.connections.condemned()
    assert [token_of(found) for found in condemned] == [token_of(one)]
    site.apply(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    site.judge_again(1)
    site.publishing.step()
    assert token_of(one) not in site.table(one.application_id)


def test_what_is_deserved_is_judged_by_the_policy_that_is_published(site: Site) -> None:
    """If policies follow closely, the registry may have the permissions of another one: no connection is cut for that."""
    site.enter("alice", 1)
    one = site.connections.get(1)
    assert one is not None
    site.apply(DOCUMENT.replace("deny: {groups: [contractors]}", "deny: {groups: [contractors, guests]}"))
    site.publishing.step()
    assert site.cutter.cut == []
    assert token_of(one) in _accepted(site)


def test_nothing_is_published_before_the_follower_has_acted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aliases are counted over connections that were all compared with this policy, or not at all."""
    monkeypatch.setattr(module, "FOLLOWER_SECONDS", -1.0)
    site.followed = site.world.head()
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert "sent" not in site.story
    assert "compared" in site.publishing.trouble()
    site.followed = site.world.head()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.publishing.trouble() == ""


def test_nothing_is_admitted_before_a_new_envoy_has_everything(site: Site) -> None:
    """Its listener may be open before its tables are there; the former Envoy has ended."""
    assert site.lets_in("payments")
    run = site.folder / "second"
    run.mkdir()
    site.publishing.prepare(run, threading.Event())
    assert not site.lets_in("payments")
    site.start()
    assert site.lets_in("payments")
