from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from doorward.core.entities import TENANT, Principal, PrincipalKind, PrincipalState
from doorward.core.errors import RequestRefused, Unavailable
from doorward.gateway.connections.journal import Journal
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.policy.subject import Subject
from tests.support.ports import NOON
from tests.support.refusals import refused
from tests.unit.gateway.live import live, pending


def admitted(registry: ConnectionRegistry, cookie: int, **changed: object) -> None:
    """Announce and admit one connection."""
    connection = live(cookie, **changed)  # type: ignore[arg-type]
    registry.begin(pending(cookie, remote=str(connection.remote)))
    assert registry.admit(connection, judged_at=registry.sequence)


def test_a_connection_is_found_by_certificate_and_principal() -> None:
    """Certificate and principal each lead to the connection, and to no other."""
    registry = ConnectionRegistry()
    admitted(registry, 1)
    admitted(registry, 2, certificate_id="crt_b", principal_id="per_b")
    for found in (registry.of_certificate("crt_b"), registry.of_principal("per_b")):
        assert [one.cookie for one in found] == [2]
    assert registry.of_certificate("crt_c") == ()
    assert [one.cookie for one in registry.all()] == [1, 2]
    assert len(registry) == 2


def test_pending_is_not_live() -> None:
    """A connection that is being judged is in no index, counts towards the limits, and can be refused."""
    registry = ConnectionRegistry()
    registry.begin(pending(1))
    assert registry.is_pending(1)
    assert registry.all() == ()
    assert registry.get(1) is None
    assert len(registry) == 1
    registry.refuse(1)
    assert not registry.is_pending(1)
    assert len(registry) == 0


def test_only_pending_connections_are_admitted() -> None:
    """A connection that was never announced, or was forgotten meanwhile, is not admitted."""
    registry = ConnectionRegistry()
    assert not registry.admit(live(1), judged_at=0)
    registry.begin(pending(1))
    registry.forget(1)
    assert not registry.admit(live(1), judged_at=0)


def test_a_change_between_look_up_and_admission_is_not_lost() -> None:
    """A judgement older than a change does not admit."""
    registry = ConnectionRegistry(sequence=7)
    registry.begin(pending(1))
    registry.note_change(8)
    assert not registry.admit(live(1), judged_at=7)
    assert registry.is_pending(1)
    assert registry.admit(live(1), judged_at=8)


@pytest.mark.parametrize("touched", ["crt_a", "per_a", "app_a"])
def test_a_change_that_touches_the_connection_asks_for_a_new_judgement(touched: str) -> None:
    """A change of the connection's own certificate, principal or application outdates its judgement."""
    registry = ConnectionRegistry(sequence=7)
    registry.begin(pending(1))
    registry.note_change(8, frozenset({touched}))
    assert not registry.admit(live(1), judged_at=7)


def test_changes_of_others_do_not_delay_admission() -> None:
    """A thousand certificates issued a second make no admission fail."""
    registry = ConnectionRegistry(sequence=7)
    registry.begin(pending(1))
    for number in range(8, 500):
        registry.note_change(number, frozenset({f"crt_{number}x"}))
    assert registry.admit(live(1), judged_at=7)


def test_a_judgement_older_than_memory_is_refused() -> None:
    """If it is no longer known which ids a change affects, the judgement counts as outdated."""
    registry = ConnectionRegistry(sequence=7)
    registry.begin(pending(1))
    for number in range(8, 8 + 1025):
        registry.note_change(number, frozenset({"crt_other"}))
    assert not registry.admit(live(1), judged_at=7)
    assert registry.admit(live(1), judged_at=8)


def test_condemned_connections_lose_everything_at_once() -> None:
    """A condemned connection leaves every index and waits for its cut; a pending one is not admitted any more."""
    registry = ConnectionRegistry()
    admitted(registry, 1)
    registry.begin(pending(2))
    assert registry.condemn(1) is not None
    assert registry.condemn(1) is None
    assert registry.condemn(2) is None
    assert registry.of_certificate("crt_a") == ()
    assert [one.cookie for one in registry.condemned()] == [1]
    assert not registry.admit(live(2), judged_at=0)
    with refused(RequestRefused, "connection-condemned"):
        registry.begin(pending(1))
    registry.forget(1)
    assert registry.condemned() == ()


def test_asking_again_takes_back_the_first_answer() -> None:
    """A live connection that is announced again has no authority until it is admitted again."""
    registry = ConnectionRegistry()
    admitted(registry, 1)
    registry.begin(pending(1))
    assert registry.all() == ()
    assert len(registry) == 1


def test_replacing_keeps_the_indexes_true() -> None:
    """After a new judgement the connection is found under its new facts only, and a gone one is not revived."""
    registry = ConnectionRegistry()
    admitted(registry, 1)
    assert registry.replace(live(1, principal_id="per_z", grants=("g2",)))
    assert registry.of_principal("per_a") == ()
    assert registry.of_principal("per_z")[0].grants == ("g2",)
    registry.condemn(1)
    assert not registry.replace(live(1))


def _of(*groups: str) -> Subject:
    person = Principal(
        id="per_a",
        tenant=TENANT,
        kind=PrincipalKind.PERSON,
        name="alice",
        state=PrincipalState.ACTIVE,
        groups=groups,
    )
    return Subject(principal=person)


def test_connections_are_found_by_groups_as_last_judged() -> None:
    """A combination is known while a connection has it; after a new judgement a connection is in its new one only."""
    registry = ConnectionRegistry()
    admitted(registry, 1, subject=_of("clerks"))
    admitted(registry, 2, subject=_of("clerks", "tellers"))
    admitted(registry, 3, subject=_of("clerks"))
    admitted(registry, 4)  # adopted: its groups are not known yet
    assert set(registry.groups()) == {("clerks",), ("clerks", "tellers")}
    assert {one.cookie for one in registry.of_groups(("clerks",))} == {1, 3}
    assert registry.replace(live(1, subject=_of("tellers")))
    registry.condemn(2)
    assert set(registry.groups()) == {("clerks",), ("tellers",)}
    assert [one.cookie for one in registry.of_groups(("tellers",))] == [1]
    assert registry.of_groups(("clerks", "tellers")) == ()


def test_deadlines_come_in_order_until_obeyed() -> None:
    """Due connections are returned earliest first, again after a second, and no longer once they are gone."""
    registry = ConnectionRegistry()
    assert registry.next_deadline() is None
    admitted(registry, 1, deadline=NOON + timedelta(minutes=2))
    admitted(registry, 2, deadline=NOON + timedelta(minutes=1))
    assert registry.next_deadline() == NOON + timedelta(minutes=1)
    assert registry.due(NOON) == ()
    late = NOON + timedelta(minutes=5)
    assert [one.cookie for one in registry.due(late)] == [2, 1]
    assert registry.due(late) == ()
    assert [one.cookie for one in registry.due(late + timedelta(seconds=1))] == [1, 2]
    registry.condemn(1)
    registry.forget(2)
    assert registry.due(late + timedelta(minutes=1)) == ()


def test_a_moved_deadline_holds() -> None:
    """A connection with a later deadline is not due at the former one."""
    registry = ConnectionRegistry()
    admitted(registry, 1, deadline=NOON + timedelta(minutes=1))
    registry.replace(live(1, deadline=NOON + timedelta(minutes=9)))
    assert registry.due(NOON + timedelta(minutes=2)) == ()
    assert [one.cookie for one in registry.due(NOON + timedelta(minutes=9))] == [1]


def test_the_total_is_capped() -> None:
    """Beyond the total no connection is registered, and an ended one makes room."""
    registry = ConnectionRegistry(max_total=2)
    admitted(registry, 1)
    registry.begin(pending(2))
    with refused(RequestRefused, "connections-exhausted"):
        registry.begin(pending(3))
    registry.forget(1)
    registry.begin(pending(3))


@pytest.mark.parametrize(
    ("mine", "also_mine", "anothers"),
    [
        ("198.51.100.7:1", "198.51.100.7:2", "198.51.100.8:1"),
        ("[2001:db8::1]:1", "[2001:db8::2:2]:1", "[2001:db8:0:1::1]:1"),
    ],
)
def test_one_source_is_capped(mine: str, also_mine: str, anothers: str) -> None:
    """One IPv4 address, or one IPv6 /64, cannot take the room of all others."""
    registry = ConnectionRegistry(max_per_source=1)
    registry.begin(pending(1, remote=mine))
    with refused(RequestRefused, "connections-per-source-exhausted"):
        registry.begin(pending(2, remote=also_mine))
    registry.begin(pending(3, remote=anothers))
    registry.refuse(1)
    registry.begin(pending(2, remote=also_mine))


def test_a_restarted_gateway_knows_what_is_still_connected(tmp_path: Path) -> None:
    """Adopted connections are found and end at their deadline; they have no authority to compare.

    One that was condemned is past its deadline: it may still be there.
    """
    first = ConnectionRegistry(Journal(tmp_path / "journal", boot_id="boot"))
    admitted(first, 1)
    admitted(first, 2)
    admitted(first, 3)
    first.forget(2)
    first.condemn(3)
    second = ConnectionRegistry(Journal(tmp_path / "journal", boot_id="boot"))
    one, condemned = second.of_certificate("crt_a")
    assert one == replace(live(1), adopted=True)
    assert (condemned.cookie, condemned.was_condemned) == (3, True)
    assert [due.cookie for due in second.due(NOON + timedelta(hours=2))] == [3, 1]
    second.forget(1)
    second.forget(3)
    third = ConnectionRegistry(Journal(tmp_path / "journal", boot_id="boot"))
    assert third.all() == ()


def test_what_cannot_be_written_down_is_not_admitted(tmp_path: Path) -> None:
    """A connection that a restarted gateway could not know stays pending; ending needs no disk."""
    journal = Journal(tmp_path / "journal", boot_id="boot")
    registry = ConnectionRegistry(journal)
    admitted(registry, 1)
    registry.begin(pending(2))
    journal.close()
    with pytest.raises(Unavailable):
        registry.admit(live(2), judged_at=0)
    assert registry.is_pending(2)
    with pytest.raises(Unavailable):
        registry.replace(live(1, deadline=NOON))
    assert registry.replace(live(1, partner_id="ptn_a")), "what the journal does not tell needs no disk"
    assert registry.forget(1) is not None


def test_certificates_that_left_are_remembered_once_and_within_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until they are taken; the memory does not grow with the number of certificates."""
    monkeypatch.setattr("doorward.gateway.connections.registry._REMEMBERED_LEFT", 2)
    registry = ConnectionRegistry()
    for cookie in range(1, 5):
        admitted(registry, cookie, certificate_id=f"crt_{cookie}")
    for cookie in range(1, 4):
        registry.forget(cookie)
    assert registry.take_seen().keys() == {"crt_1", "crt_2", "crt_4"}
    assert registry.take_seen().keys() == {"crt_4"}


def test_many_begin_and_are_admitted_at_once(tmp_path: Path) -> None:
    """Each of many connections gets the outcome that it would get alone, and the journal has those that were admitted."""
    registry = ConnectionRegistry(
        Journal(tmp_path / "journal", boot_id="b"), max_total=4, max_per_principal=2
    )
    registry.begin(pending(9))
    registry.admit(live(9, principal_id="per_z"), judged_at=0)
    registry.condemn(9)
    begun = registry.begin_all([pending(1), pending(9), pending(2), pending(3), pending(4), pending(5)])
    assert [one and one.code for one in begun] == [
        None,
        "connection-condemned",
        None,
        None,
        None,
        "connections-exhausted",
    ]
    registry.note_change(5, frozenset({"crt_b"}))
    outcomes = registry.admit_all(
        [live(1), live(2, certificate_id="crt_b", principal_id="per_b"), live(3), live(4), live(7)],
        judged_at=4,
    )
    assert [one if isinstance(one, bool) else one.code for one in outcomes] == [
        True,
        False,
        True,
        "principal-connections-exhausted",
        False,
    ]
    assert registry.pending() == {2, 4}
    assert [one and one.cookie for one in registry.get_all([1, 2, 3, 4])] == [1, None, 3, None]
    adopted = Journal(tmp_path / "journal", boot_id="b").adopted
    assert sorted(one.cookie for one in adopted if not one.was_condemned) == [1, 3]


def test_what_cannot_be_written_down_together_stays_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal's disk is full, none of the connections is admitted, and none of their lines stays in the file."""
    path = tmp_path / "journal"
    registry = ConnectionRegistry(Journal(path, boot_id="b"))
    registry.begin_all([pending(1), pending(2)])
    before, real = path.read_bytes(), os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[: len(data) - 10]))
    with pytest.raises(Unavailable) as caught:
        registry.admit_all([live(1), live(2)], judged_at=0)
    assert caught.value.code == "journal-unavailable"
    monkeypatch.setattr(os, "write", real)
    assert registry.pending() == {1, 2}
    assert registry.all() == ()
    assert registry.of_principal("per_a") == ()
    assert path.read_bytes() == before
    assert registry.admit_all([live(1), live(2)], judged_at=0) == [True, True]
    assert sorted(one.cookie for one in Journal(path, boot_id="b").adopted) == [1, 2]


def test_many_are_forgotten_at_once(tmp_path: Path) -> None:
    """Live, pending and condemned connections are forgotten together; the journal says that each has ended."""
    path = tmp_path / "journal"
    registry = ConnectionRegistry(Journal(path, boot_id="b"))
    registry.begin_all([pending(one) for one in range(1, 5)])
    registry.admit_all([live(1), live(2), live(3)], judged_at=0)
    registry.condemn(2)
    registry.forget_all([1, 2, 4, 5, *range(10, 300)])
    assert [one.cookie for one in registry.all()] == [3]
    assert registry.condemned() == ()
    assert registry.pending() == frozenset()
    assert [one.cookie for one in Journal(path, boot_id="b").adopted] == [3]
