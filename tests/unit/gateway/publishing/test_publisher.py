"""A publication, as Envoy sees it: what comes when, what is not sent, and what happens if Envoy does not answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.gateway.publishing import publisher as module
from doorward.gateway.publishing.discovery.messages import CLUSTER, EXTENSION, ROUTES, SECRET
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.gateway.publishing.publisher import CONFIRM_SECONDS
from tests.support.refusals import refused
from tests.unit.enforcement.plans import UPSTREAM, tcp_door
from tests.unit.gateway.publishing.streaming import DOOR, PAY, WEB, Bench, http_door, pair_of

EDITED = http_door("pay", "gedited")
NEW = http_door("new")
MOVED = replace(WEB, upstream=replace(UPSTREAM, port=9009))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An Envoy with two applications and the enrolment door."""
    made = Bench(tmp_path)
    assert made.start(PAY, WEB).refusals == {}
    return made


# what is sent


def test_a_new_envoy_gets_everything(bench: Bench) -> None:
    """All of it is in force once the start is confirmed, and the listener names every door."""
    assert bench.envoy.chains() == {"app_pay", "app_web", "doorward_enrol"}
    wanted = {key: one.body for key, one in bench.cache.resources().items()}
    assert bench.envoy.in_force() == wanted


def test_nothing_changed_nothing_sent(bench: Bench) -> None:
    """Equal plans are equal bytes, and have one version."""
    first, second = bench.publish(PAY, WEB), bench.publish(PAY, WEB)
    assert bench.envoy.received == []
    assert first.changed == second.changed == ()
    assert first.version == second.version
    assert bench.publish(EDITED, WEB).version != first.version


def test_an_edit_is_one_table(bench: Bench) -> None:
    """An edited rule touches neither the listener nor any other door."""
    published = bench.publish(EDITED, WEB)
    assert published.changed == ("app_pay",)
    assert bench.envoy.received == [(ROUTES, "app_pay")]
    assert "gedited" in bench.table("pay")


def test_a_renewed_certificate_is_one_secret(bench: Bench) -> None:
    """The new pair replaces the old one under the same name."""
    published = bench.publish(PAY, WEB, serials={"app_pay": "2"})
    assert published.changed == ("app_pay-cert",)
    assert bench.envoy.received == [(SECRET, "app_pay-cert")]
    assert pair_of("app_pay", "2").key_pem in (bench.in_force((SECRET, "app_pay-cert")) or b"")


def test_a_changed_upstream_is_one_cluster(bench: Bench) -> None:
    """The door stays as it is."""
    bench.publish(PAY, MOVED)
    assert bench.envoy.received == [(CLUSTER, "app_web")]


def test_edited_tcp_rules_are_one_filter(bench: Bench) -> None:
    """A TCP door has no table: its rules are a filter of their own."""
    bench.publish(tcp_door(), PAY, WEB)
    bench.forget()
    bench.publish(tcp_door(rules=()), PAY, WEB)
    assert bench.envoy.received == [(EXTENSION, "app_mqtt")]


# the order


def test_what_a_new_door_needs_is_there_before_the_listener_names_it(bench: Bench) -> None:
    """Its cluster is in force; its secret and table wait for Envoy's question, so that the listener waits for nothing."""
    ready: list[set[Key]] = []
    bench.envoy.before = lambda key: ready.append(set(bench.cache.resources())) if key == DOOR else None
    bench.publish(NEW, EDITED, WEB)
    listener = bench.envoy.received.index(DOOR)
    assert bench.envoy.received[:listener] == [(CLUSTER, "app_new")]
    assert {(SECRET, "app_new-cert"), (ROUTES, "app_new")} <= ready[0]
    assert set(bench.envoy.received[listener + 1 :]) == {
        (SECRET, "app_new-cert"),
        (ROUTES, "app_new"),
        (ROUTES, "app_pay"),
    }


def test_the_tables_of_present_doors_come_after_the_listener(bench: Bench) -> None:
    """A table may need what only the new chain has."""
    bench.publish(replace(EDITED, hosts=("pay.test", "www.test")), WEB)
    assert bench.envoy.received == [DOOR, (ROUTES, "app_pay")]


def test_certificates_and_clusters_come_before_the_listener(bench: Bench) -> None:
    """Envoy asks for them already, so they are in force when the listener is sent."""
    moved = replace(MOVED, hosts=("web.test", "www.test"))
    bench.publish(NEW, PAY, moved, serials={"app_web": "2"})
    received = bench.envoy.received
    assert set(received[: received.index(DOOR)]) == {
        (CLUSTER, "app_new"),
        (CLUSTER, "app_web"),
        (SECRET, "app_web-cert"),
    }


def test_the_listener_waits_for_the_answers_to_what_it_needs(bench: Bench) -> None:
    """A listener is sent only after Envoy answered for every cluster and secret."""
    in_force: list[dict[Key, bytes]] = []
    bench.envoy.before = lambda key: in_force.append(bench.envoy.in_force()) if key == DOOR else None
    doors = [http_door(f"n{number}") for number in range(9)]
    bench.publish(*doors, PAY, WEB, serials={"app_pay": "2"})
    assert {(CLUSTER, one.id) for one in doors} <= in_force[0].keys()
    assert pair_of("app_pay", "2").key_pem in in_force[0][SECRET, "app_pay-cert"]


def test_clusters_are_removed_last(bench: Bench) -> None:
    """First no chain and no route names it any more."""
    published = bench.publish(EDITED, NEW)
    received = bench.envoy.received
    assert received[-1] == (CLUSTER, "app_web")
    assert received.index(DOOR) < received.index((ROUTES, "app_pay")) < len(received) - 1
    assert "app_web" in published.changed
    assert "app_web" not in bench.envoy.names(CLUSTER)
    assert bench.envoy.chains() == {"app_new", "app_pay", "doorward_enrol"}


def test_nothing_of_a_removed_door_is_kept(bench: Bench) -> None:
    """Its key least of all."""
    bench.publish(PAY)
    assert not [key for key in bench.cache.resources() if "app_web" in key[1]]
    assert not [key for key in bench.envoy.in_force() if "app_web" in key[1]]


def test_a_publication_is_over_when_the_listener_is_warm(bench: Bench) -> None:
    """Envoy acknowledges a listener before it serves: the old one does so until the new one has everything."""
    waits: list[set[str]] = []

    def warm_up() -> None:
        waits.append(bench.envoy.names(ROUTES))
        bench.envoy.warming = 0 if len(waits) >= 3 else 1

    bench.while_warming, bench.envoy.warming = warm_up, 1
    bench.publish(NEW, EDITED, WEB)
    assert len(waits) == 3
    assert "app_new" in waits[0]


def test_a_listener_that_stays_cold_is_told(bench: Bench) -> None:
    """It is not in force, so the publication fails."""
    bench.envoy.warming = 1
    with refused(Unavailable, "publication-unconfirmed") as caught:
        bench.publish(NEW, PAY, WEB)
    assert "its listener" in caught.value.detail
    assert bench.clock.monotonic() <= 2 * CONFIRM_SECONDS


# Envoys that do not answer, or connect again


def test_a_silent_envoy_is_unconfirmed_and_the_next_publication_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unknown what it enforces; once it answers, everything comes into force, and nothing is sent twice."""
    bench.envoy.is_silent = True
    with monkeypatch.context() as patch:
        patch.setattr(module, "CONFIRM_SECONDS", 0.0)
        with refused(Unavailable, "publication-unconfirmed"):
            bench.publish(EDITED, WEB)
    bench.envoy.is_silent = False
    bench.connect()
    published = bench.publish(EDITED, MOVED)
    assert published.refusals == {}
    assert "gedited" in bench.table("pay")
    assert set(bench.envoy.received) <= {(ROUTES, "app_pay"), (CLUSTER, "app_web")}


def test_going_back_while_an_answer_is_open_is_not_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy may still take the version in between: the former one counts only when Envoy has answered for both."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.0)
    bench.envoy.is_silent = True
    with refused(Unavailable, "publication-unconfirmed"):
        bench.publish(EDITED, WEB)
    bench.envoy.await_received((ROUTES, "app_pay"))
    with refused(Unavailable, "publication-unconfirmed"):
        bench.publish(PAY, WEB)


def test_an_envoy_that_connects_again_in_the_middle_gets_the_rest(bench: Bench) -> None:
    """What it had taken before is not sent again, and the publication ends as if nothing had been."""

    def again(key: Key) -> None:
        if key == DOOR:
            bench.envoy.before = lambda _: None
            bench.connect()

    bench.envoy.before = again
    published = bench.publish(NEW, EDITED, WEB)
    assert published.refusals == {}
    assert bench.envoy.chains() == {"app_new", "app_pay", "app_web", "doorward_enrol"}
    assert bench.envoy.received.count((CLUSTER, "app_new")) == 1
    assert bench.envoy.received.count(DOOR) == 2  # the first one was lost with the connection
    assert "gedited" in bench.table("pay")


def test_an_envoy_that_has_everything_is_sent_nothing(bench: Bench, tmp_path: Path) -> None:
    """A new gateway adopts it: the start is confirmed by what Envoy says that it has."""
    adopting = Bench(tmp_path, envoy=bench.envoy)
    bench.forget()
    adopting.publisher.prepare(adopting.packed_plan(PAY, WEB))
    adopting.connect()
    published = adopting.publisher.await_start(adopting.envoy)
    assert adopting.envoy.received == []
    assert published.refusals == {}
    assert published.version == bench.publish(PAY, WEB).version


def test_an_adopted_envoy_is_brought_up_to_date(bench: Bench, tmp_path: Path) -> None:
    """What changed while no gateway ran is sent, and what is gone is removed."""
    adopting = Bench(tmp_path, envoy=bench.envoy)
    adopting.publisher.prepare(adopting.packed_plan(EDITED, NEW))
    adopting.connect()
    adopting.publisher.await_start(adopting.envoy)
    assert set(adopting.envoy.received) == {
        (CLUSTER, "app_new"),
        DOOR,
        (SECRET, "app_new-cert"),
        (ROUTES, "app_new"),
        (ROUTES, "app_pay"),
        (CLUSTER, "app_web"),
    }
    assert adopting.envoy.in_force() == {key: one.body for key, one in adopting.cache.resources().items()}


def test_an_envoy_may_connect_before_anybody_waits_for_it(tmp_path: Path) -> None:
    """Everything is there for it already, the listener as well; the wait finds its answers."""
    bench = Bench(tmp_path)
    bench.publisher.prepare(bench.packed_plan(PAY, WEB))
    bench.connect()
    bench.envoy.await_received(DOOR)
    assert bench.publisher.await_start(bench.envoy).changed == ()
    assert bench.envoy.chains() == {"app_pay", "app_web", "doorward_enrol"}


def test_a_start_needs_a_preparation(tmp_path: Path) -> None:
    """Nothing would be sent, and everything would be confirmed."""
    with pytest.raises(ValueError, match="prepared"):
        Bench(tmp_path).publisher.await_start(Bench(tmp_path).envoy)
