"""What Envoy refuses costs the application only: it is closed, and everything else comes into force."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.enforcement.plan import HttpDoor, SocketAddress
from doorward.enforcement.trust import DoorTrust
from doorward.gateway.publishing.discovery.messages import CLUSTER, EXTENSION, ROUTES, SECRET
from doorward.gateway.publishing.publication import SHARED
from tests.support.refusals import refused
from tests.unit.enforcement.plans import UPSTREAM, door_rule, tcp_door
from tests.unit.gateway.publishing.streaming import DOOR, PAY, WEB, Bench, http_door, pair_of

EDITED, EDITED_WEB = http_door("pay", "gedited"), http_door("web", "gedited")
NEW = http_door("new")
WORDS = "an odd thing"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An Envoy with two applications and the enrolment door."""
    made = Bench(tmp_path)
    made.start(PAY, WEB)
    return made


def doors(count: int) -> list[HttpDoor]:
    """So many doors, in the order of the listener."""
    return [http_door(f"n{number}") for number in range(count)]


def other_chain(one: HttpDoor) -> HttpDoor:
    """The same door with another chain: it trusts authorities of its own."""
    return replace(one, trust=DoorTrust(authorities=("A",)))


# tables


def test_a_refused_table_closes_its_door_and_nothing_else(bench: Bench) -> None:
    """The former rules are not served any more, and the edit of another door is in force."""
    bench.refuse_version(bench.packed(EDITED)[ROUTES, "app_pay"], WORDS)
    published = bench.publish(EDITED, EDITED_WEB)
    assert published.refusals == {"app_pay": WORDS}
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")
    assert "gread" not in bench.table("pay")
    assert "gedited" in bench.table("web")
    assert sorted(bench.envoy.received) == [(ROUTES, "app_pay"), (ROUTES, "app_pay"), (ROUTES, "app_web")]


def test_a_new_door_with_a_refused_table_is_closed_from_the_beginning(bench: Bench) -> None:
    """It has a chain, so that clients are told; all other doors are as they were."""
    bench.refuse_version(bench.packed(NEW)[ROUTES, "app_new"], WORDS)
    published = bench.publish(NEW, PAY, WEB)
    assert published.closed == {"app_new"}
    assert bench.is_closed("new")
    assert "app_new" in bench.envoy.chains()
    assert not bench.is_closed("pay")


def test_a_refused_door_at_the_start(tmp_path: Path) -> None:
    """A new Envoy starts with all other doors."""
    bench = Bench(tmp_path)
    bench.refuse_version(bench.packed(PAY)[ROUTES, "app_pay"], WORDS)
    published = bench.start(PAY, WEB)
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")
    assert not bench.is_closed("web")


def test_what_was_refused_is_not_sent_again_until_it_changes(bench: Bench) -> None:
    """Another door's publication leaves it closed; a corrected one opens it."""
    bench.refuse_version(bench.packed(EDITED)[ROUTES, "app_pay"], WORDS)
    bench.publish(EDITED, WEB)
    bench.forget()
    published = bench.publish(EDITED, EDITED_WEB)
    assert bench.envoy.received == [(ROUTES, "app_web")]
    assert published.refusals == {"app_pay": WORDS}
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")
    bench.forget()
    corrected = bench.publish(http_door("pay", "gcorrect"), EDITED_WEB)
    assert bench.envoy.received == [(ROUTES, "app_pay")]
    assert (corrected.refusals, corrected.closed) == ({}, frozenset())
    assert "gcorrect" in bench.table("pay")


def test_going_back_to_what_was_in_force_opens_the_door(bench: Bench) -> None:
    """The former rules are the wanted ones again."""
    bench.refuse_version(bench.packed(EDITED)[ROUTES, "app_pay"], WORDS)
    bench.publish(EDITED, WEB)
    assert bench.publish(PAY, WEB).closed == frozenset()
    assert "gread" in bench.table("pay")


def test_a_door_whose_closing_is_refused_is_not_called_closed(bench: Bench) -> None:
    """Then it is unknown what is served there: the publication does not succeed."""
    bench.envoy.refuse[ROUTES, "app_pay"] = WORDS
    with refused(Unavailable, "publication-unconfirmed") as caught:
        bench.publish(EDITED, WEB)
    assert "closing" in caught.value.detail
    bench.envoy.refuse.clear()
    bench.publish(http_door("pay", "gcorrect"), WEB)
    assert "gcorrect" in bench.table("pay")


# clusters, secrets, rules of TCP


def test_a_refused_cluster_closes_its_door(bench: Bench) -> None:
    """Its new rules do not come into force with the old upstream."""
    moved = replace(EDITED, upstream=replace(UPSTREAM, port=9009))
    bench.refuse_version(bench.packed(moved)[CLUSTER, "app_pay"], WORDS)
    published = bench.publish(moved, EDITED_WEB)
    assert published.refusals == {"app_pay": WORDS}
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")
    assert "gedited" in bench.table("web")


def test_a_refused_certificate_of_a_new_door_closes_it(bench: Bench) -> None:
    """There is no former one."""
    bench.refuse_version(bench.packed(NEW)[SECRET, "app_new-cert"], WORDS)
    published = bench.publish(NEW, PAY, EDITED_WEB)
    assert published.refusals == {"app_new": WORDS}
    assert published.closed == {"app_new"}
    assert bench.is_closed("new")
    assert "gedited" in bench.table("web")


def test_a_refused_renewed_certificate_keeps_the_door_open(bench: Bench) -> None:
    """The former certificate is still good, so the door is as wanted otherwise; each report tells of it."""
    bench.refuse_version(bench.packed(PAY, "2")[SECRET, "app_pay-cert"], WORDS)
    published = bench.publish(EDITED, WEB, serials={"app_pay": "2"})
    assert published.refusals == {"app_pay": WORDS}
    assert published.closed == frozenset()
    assert "gedited" in bench.table("pay")
    assert pair_of("app_pay", "1").key_pem in (bench.in_force((SECRET, "app_pay-cert")) or b"")
    bench.forget()
    again = bench.publish(http_door("pay", "gthird"), WEB, serials={"app_pay": "2"})
    assert (again.refusals, again.closed) == ({"app_pay": WORDS}, frozenset())
    assert bench.envoy.received == [(ROUTES, "app_pay")]
    assert bench.publish(PAY, WEB, serials={"app_pay": "3"}).refusals == {}


def test_refused_authorities_of_a_door_close_it(bench: Bench) -> None:
    """A superseded trust is not served, unlike a superseded certificate of the door's own."""
    bench.publish(other_chain(PAY), WEB)
    other = replace(PAY, trust=DoorTrust(authorities=("B",)))
    (key,) = [one for one in bench.packed(other) if one[0] == SECRET and "trust" in one[1]]
    bench.refuse_version(bench.packed(other)[key], WORDS)
    published = bench.publish(other, WEB)
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")


def test_refused_tcp_rules_let_nothing_pass(bench: Bench) -> None:
    """Rules without a policy allow no connection."""
    bench.publish(tcp_door(), PAY, WEB)
    assert "gsensor" in str(bench.envoy.resource(EXTENSION, "app_mqtt"))
    edited = tcp_door(rules=(door_rule("gother"),))
    bench.refuse_version(bench.packed(edited)[EXTENSION, "app_mqtt"], WORDS)
    published = bench.publish(edited, PAY, EDITED_WEB)
    assert published.closed == {"app_mqtt"}
    rules = bench.envoy.resource(EXTENSION, "app_mqtt")["typedConfig"]["rules"]
    assert "policies" not in rules
    assert "gedited" in bench.table("web")
    bench.forget()
    assert bench.publish(edited, PAY, WEB).closed == {"app_mqtt"}
    assert bench.envoy.received == [(ROUTES, "app_web")]


def test_what_all_doors_share_is_told_and_closes_none(bench: Bench) -> None:
    """The former authorities stay, and the authorizer judges each certificate all the same."""
    bench.envoy.refuse[SECRET, "trust"] = WORDS
    published = bench.publish(PAY, EDITED_WEB, trust=("another",))
    assert published.refusals == {SHARED: f"trust: {WORDS}"}
    assert published.closed == frozenset()
    assert "gedited" in bench.table("web")


# chains


@pytest.mark.parametrize("bad", [0, 3, 7])
def test_one_bad_chain_of_eight_costs_one_door(tmp_path: Path, bad: int) -> None:
    """The others' new chains are in force, the bad one keeps its former chain, closed; few listeners are tried."""
    bench = Bench(tmp_path)
    former, latter = doors(8), [other_chain(one) for one in doors(8)]
    bench.start(*former)
    packed = {one.id: one for one in bench.packed_plan(*latter).doors.values()}
    kept = {one.id: one for one in bench.packed_plan(*former).doors.values()}
    bench.refuse_chains(packed[f"app_n{bad}"].chain)
    published = bench.publish(*latter)
    assert published.refusals == {f"app_n{bad}": "an odd chain"}
    assert published.closed == {f"app_n{bad}"}
    listener = bench.in_force(DOOR) or b""
    for number in range(8):
        one = f"app_n{number}"
        wanted = kept[one] if number == bad else packed[one]
        assert wanted.chain in listener
        assert bench.is_closed(f"n{number}") is (number == bad)
    assert bench.tries() <= 8  # 1 + 2 log2(8), and the good one once more
    bench.forget()
    assert bench.publish(*latter).changed == ()
    assert bench.envoy.received == []


def test_two_bad_chains_and_a_new_one(bench: Bench) -> None:
    """Each bad door is closed; a new one has no chain at all, and its clients find no such host."""
    trusting = other_chain(PAY)
    packed = bench.packed_plan(trusting, WEB, NEW, http_door("good")).doors
    bench.refuse_chains(packed["app_pay"].chain, packed["app_new"].chain)
    published = bench.publish(trusting, WEB, NEW, http_door("good"))
    assert published.closed == {"app_pay", "app_new"}
    assert bench.envoy.chains() == {"app_good", "app_pay", "app_web", "doorward_enrol"}
    assert bench.is_closed("pay")
    assert not bench.is_closed("web")


@pytest.mark.parametrize(("former", "latter"), [(PAY, WEB), (WEB, PAY)])
def test_a_door_with_a_bad_chain_keeps_no_host_that_moved(
    bench: Bench, former: HttpDoor, latter: HttpDoor
) -> None:
    """Its former chain stays, closed; the host belongs to the door that the revision gives it to."""
    bench.publish(replace(former, hosts=(*former.hosts, "moved.test")), latter)
    wanted = other_chain(former), replace(latter, hosts=(*latter.hosts, "moved.test"))
    bench.refuse_chains(bench.packed_plan(*wanted).doors[former.id].chain)
    assert bench.publish(*wanted).closed == {former.id}
    listener = bench.envoy.resource(*DOOR)
    tree = listener["filterChainMatcher"]["matcherTree"]["exactMatchMap"]["map"]
    assert tree["moved.test"] == tree[latter.hosts[0]] != tree[former.hosts[0]]


def test_a_bad_chain_that_is_corrected_opens_its_door(bench: Bench) -> None:
    """As soon as the chain is another one."""
    bad = other_chain(PAY)
    bench.refuse_chains(bench.packed_plan(bad, WEB).doors["app_pay"].chain)
    assert bench.publish(bad, WEB).closed == {"app_pay"}
    assert bench.publish(PAY, WEB).closed == frozenset()
    assert not bench.is_closed("pay")


def test_if_the_frame_is_refused_the_revision_is(bench: Bench) -> None:
    """None of the chains is to blame then: once Envoy takes a listener, all doors open."""
    bench.envoy.refuse[DOOR] = WORDS
    elsewhere = (SocketAddress(host="127.0.0.1", port=9443),)
    with refused(ConfigurationError, "envoy-refused-configuration") as caught:
        bench.publish(NEW, other_chain(PAY), WEB, listen=elsewhere)
    assert WORDS in caught.value.detail
    bench.envoy.refuse.clear()
    published = bench.publish(NEW, other_chain(PAY), WEB, listen=elsewhere)
    assert (published.refusals, published.closed) == ({}, frozenset())
    assert not bench.is_closed("pay")
    assert bench.envoy.chains() == {"app_new", "app_pay", "app_web", "doorward_enrol"}


def test_an_envoy_that_takes_no_listener_does_not_start(tmp_path: Path) -> None:
    """There is nothing to serve."""
    bench = Bench(tmp_path)
    bench.envoy.refuse[DOOR] = WORDS
    with refused(ConfigurationError, "envoy-refused-configuration"):
        bench.start(PAY, WEB)


def test_a_bad_chain_of_another_kind_closes_the_former_one(bench: Bench) -> None:
    """An application that becomes TCP has rules in the place of a table: the table that its chain names is closed."""
    mqtt = tcp_door(id="app_pay", name="pay", hosts=("pay.test",))
    bench.refuse_chains(bench.packed_plan(mqtt, WEB).doors["app_pay"].chain)
    published = bench.publish(mqtt, WEB)
    assert published.closed == {"app_pay"}
    assert bench.is_closed("pay")
    assert bench.publish(PAY, WEB).closed == frozenset()
    assert not bench.is_closed("pay")


def test_a_door_of_another_kind_with_a_refused_cluster_is_closed(bench: Bench) -> None:
    """Its new chain comes into force, so its new rules let nothing pass."""
    mqtt = tcp_door(id="app_pay", name="pay", hosts=("pay.test",))
    bench.refuse_version(bench.packed(mqtt)[CLUSTER, "app_pay_tcp"], WORDS)
    published = bench.publish(mqtt, WEB)
    assert published.closed == {"app_pay"}
    rules = bench.envoy.resource(EXTENSION, "app_pay")["typedConfig"]["rules"]
    assert "policies" not in rules


# doors that cannot be packed


def test_a_door_that_cannot_be_packed_is_closed(bench: Bench) -> None:
    """A present door is closed with its former chain, and a new one has none; the rest is in force."""
    bench.unfit = {"app_pay", "app_new"}
    published = bench.publish(NEW, EDITED, EDITED_WEB)
    assert published.closed == {"app_new", "app_pay"}
    assert published.refusals == {"app_new": "an unfit field", "app_pay": "an unfit field"}
    assert bench.is_closed("pay")
    assert bench.envoy.chains() == {"app_pay", "app_web", "doorward_enrol"}
    assert "gedited" in bench.table("web")
    assert bench.publish(NEW, EDITED, EDITED_WEB).changed == ()
    assert bench.in_force((CLUSTER, "app_pay")), "its live connections go on"
    bench.unfit = set()
    assert bench.publish(NEW, EDITED, EDITED_WEB).closed == frozenset()
    assert "gedited" in bench.table("pay")
    assert "app_new" in bench.envoy.chains()


def test_a_certificate_that_cannot_be_read(bench: Bench, tmp_path: Path) -> None:
    """A present door keeps its former one and is as wanted otherwise; a new one is left out. No path is told."""
    serials = {"app_pay": "2", "app_new": "2"}
    bench.unreadable = {"app_pay-2.key", "app_new-2.key"}
    published = bench.publish(NEW, EDITED, WEB, serials=serials)
    assert published.closed == {"app_new"}
    assert set(published.refusals) == {"app_new", "app_pay"}
    assert "cannot be read" in published.refusals["app_pay"]
    assert str(tmp_path) not in str(published.refusals)
    assert "gedited" in bench.table("pay")
    assert pair_of("app_pay", "1").key_pem in (bench.in_force((SECRET, "app_pay-cert")) or b"")
    bench.unreadable = set()
    assert bench.publish(NEW, EDITED, WEB, serials=serials).refusals == {}
    assert pair_of("app_pay", "2").key_pem in (bench.in_force((SECRET, "app_pay-cert")) or b"")
