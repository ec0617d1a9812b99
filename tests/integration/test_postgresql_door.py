"""A door over PostgreSQL: changes of other machines arrive, and without the database it fails closed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from doorward.authority.revocation import revoke
from doorward.core.certificate import RevocationReason
from doorward.directory.principals import suspend
from doorward.storage.postgresql.listening import Listener
from doorward.stores.records import ChangeKind
from tests.support.doorway import ACTOR, Doorway, eventually, open_doorway
from tests.support.ports import NOON
from tests.support.postgresql import Server, name_of
from tests.support.sql_store import postgresql_database, sql_work


@pytest.fixture
def door(postgresql: Server) -> Iterator[Doorway]:
    """A door for staff, which turns stale after a second."""
    settings = {"database": postgresql.empty(), "max_staleness": timedelta(seconds=1)}
    with open_doorway(settings=settings) as made:
        made.apply("- {allow: {groups: [staff]}}")
        yield made


def test_only_withdrawn_connections_are_ended(door: Doorway) -> None:
    """A revocation and a suspension end exactly the connections of the certificate or person concerned."""
    alice, bob, carol = (door.person(name, "staff") for name in ("alice", "bob", "carol"))
    with door.session(alice) as hers, door.session(bob) as his, door.session(carol) as kept:
        for session in (hers, his, kept):
            assert session.request("GET", "/").status == 200
        reason = RevocationReason.KEY_COMPROMISE
        door.settle(revoke(door.services, door.certificate_of("alice"), reason, actor=ACTOR))
        door.settle(suspend(door.services, "bob", actor=ACTOR).seq)
        for session in (hers, his):
            with pytest.raises(OSError):
                session.request("GET", "/")
        assert kept.request("GET", "/").status == 200
    assert not door.lets_in("alice")
    assert not door.lets_in("bob")
    assert door.lets_in("carol")


def test_without_the_database_the_door_fails_closed(postgresql: Server, door: Doorway) -> None:
    """Open connections continue, new ones are refused after `max_staleness`, and later accepted again."""
    door.person("alice", "staff")
    name = name_of(door.installation.settings.database)
    with door.session(door.identities["alice"]) as session:
        assert session.request("GET", "/").status == 200
        postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgresql.run(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        assert eventually(lambda: not door.lets_in("alice"))
        assert eventually(lambda: any("cannot be read" in one for one in door.gateway.trouble()))
        assert session.request("GET", "/").status == 200
        postgresql.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert eventually(lambda: door.lets_in("alice"))
        assert session.request("GET", "/").status == 200


def test_a_change_of_another_machine_sends_a_notification(postgresql: Server) -> None:
    """Each commit that moved the sequence sends a notification once it is visible; other commits and a rollback send none."""
    address = postgresql.cleared()
    notified, heads = threading.Semaphore(0), []
    with closing(postgresql_database(address)) as here, closing(postgresql_database(address)) as there:

        def read_head() -> None:
            with sql_work(here).read() as stores:
                heads.append(stores.changes.head())
            notified.release()

        with here.listening(read_head):
            assert notified.acquire(timeout=20)  # once it listens: what was before is not known
            work = sql_work(there)
            with pytest.raises(KeyError), work.change() as stores:  # noqa: PT012  # the block is the point
                stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
                raise KeyError
            with work.change() as stores:
                stores.ingest.advance("gtw_one", "access.log", 0, 1)
            with work.change() as stores:
                stores.changes.note(ChangeKind.PRINCIPAL, "per_one", NOON)
            assert notified.acquire(timeout=20)
    assert heads == [0, 1]


def test_a_listener_that_was_cut_off_listens_again(postgresql: Server) -> None:
    """A lost connection is made again and notifies, because notifications may have been missed."""
    notified = threading.Semaphore(0)
    listener = Listener(postgresql.cleared(), notified.release)
    listener.start()
    try:
        assert notified.acquire(timeout=20)
        postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        assert notified.acquire(timeout=20)
    finally:
        listener.stop()
