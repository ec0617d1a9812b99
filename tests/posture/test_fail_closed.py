"""If any part fails, new connections are refused and open ones go on."""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from doorward.core.errors import Unavailable
from doorward.directory.principals import add_member, create_group
from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.authorizer import facts as facts_module
from doorward.gateway.authorizer.loop import METHOD
from doorward.policy import grants as grants_module
from tests.posture.conftest import RULES
from tests.posture.test_grants import NO_RULES
from tests.posture.witness import Witness
from tests.support import ext_authz_pb2
from tests.support.attacks import AUTHORIZER, changed, exchange, has_ended, statuses
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import CLEARED, TELLER
from tests.support.doorway import ACTOR, Doorway, eventually
from tests.support.envoy_process import ToyAuthorizer, facts_of

pytestmark = pytest.mark.xdist_group("posture-living")


ALLOWING = changed(*AUTHORIZER, "failure_mode_allow", to=True)
HASTY = GatewayLimits(authorizer=timedelta(seconds=0.4))
REQUEST = b"GET /accounts/7 HTTP/1.1\r\nHost: pay.test\r\n\r\n"
LIVE = b"GET /live HTTP/1.1\r\nHost: app.test.localhost\r\n\r\n"


class Broken(ToyAuthorizer):
    """An authorizer that breaks in the way it is told."""

    way = "well"

    def check(self, request: ext_authz_pb2.CheckRequest, context: grpc.ServicerContext) -> object:
        """Answer, or not."""
        if self.way == "error":
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        if self.way == "unavailable":
            context.abort(grpc.StatusCode.UNAVAILABLE, "broken")
        if self.way == "exception":
            raise RuntimeError("broken")
        if self.way == "slow":
            self.delay_seconds = 0.9
        if self.way == "unknown status":
            answer = ext_authz_pb2.CheckResponse()
            answer.status.code = 9999
            return answer
        if self.way == "refusing with facts":
            answer = ext_authz_pb2.CheckResponse()
            answer.status.code = 7
            answer.dynamic_metadata.update(facts_of(TELLER, CLEARED))
            return answer
        if self.way == "garbage":
            return _Garbage()
        if self.way == "huge":
            self.facts = facts_of(TELLER, CLEARED, x="x" * 100_000)
        return super().check(request, context)


class _Garbage:
    """Serialises to bytes that are no CheckResponse."""

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        return b"\xff\xff\xff\xff garbage"


class _Serving(Broken):
    """The same, with a serializer that takes anything."""

    @contextmanager
    def serving(self, path: Any) -> Iterator[_Serving]:
        """Serve on a unix socket."""
        from concurrent.futures import ThreadPoolExecutor

        server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self.check,
            request_deserializer=ext_authz_pb2.CheckRequest.FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )
        service = grpc.method_handlers_generic_handler(METHOD.split("/")[1], {"Check": handler})
        server.add_generic_rpc_handlers((service,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        self.stop = lambda: server.stop(0).wait()
        try:
            yield self
        finally:
            server.stop(0).wait()


WAYS = [
    "error",
    "unavailable",
    "exception",
    "slow",
    "unknown status",
    "garbage",
    "huge",
    "refusing with facts",
]
DECIDED = {"unknown status", "refusing with facts"}
"""These are answers: no failure mode concerns them."""


def opened(door: CompiledDoor) -> int:
    """Return the status of a new connection's first request; 0 if the connection ends."""
    try:
        return door.site.ask("GET", "/accounts/7").status
    except (OSError, ssl.SSLError):
        return 0


class TestAuthorizer:
    """The authorizer is unavailable, or its answer is invalid."""

    @pytest.mark.parametrize("way", WAYS)
    def test_no_answer_is_no(self, kept: Kept, witness: Witness, way: str) -> None:
        """The connection ends, nothing reaches the application, and an open connection goes on."""
        door = kept(name="broken", authorizer=_Serving(facts_of(TELLER, CLEARED)), limits=HASTY)
        self._mend(door)
        with door.connect() as before:
            assert statuses(exchange(before, REQUEST, answers=1)) == [200]
            door.authorizer.way = way  # type: ignore[attr-defined]
            mark = len(witness.requests)
            assert opened(door) == 0
            assert witness.since(mark) == []
            assert statuses(exchange(before, REQUEST, answers=1)) == [200]

    @pytest.mark.parametrize("way", WAYS)
    def test_with_failure_mode_allow_rules_still_refuse(self, kept: Kept, way: str) -> None:
        """With the field turned round the connection goes on, holds nothing, and gets 403."""
        door = kept(ALLOWING, authorizer=_Serving(facts_of(TELLER, CLEARED)), limits=HASTY)
        self._mend(door)
        door.authorizer.way = way  # type: ignore[attr-defined]
        assert opened(door) == (0 if way in DECIDED else 403)

    @pytest.mark.parametrize("way", sorted(set(WAYS) - DECIDED))
    def test_without_both_every_client_is_admitted(self, kept: Kept, way: str) -> None:
        """Failing open, and rules that ask for no grants: a broken authorizer lets every client in."""
        door = kept(
            ALLOWING, NO_RULES, name="open", authorizer=_Serving(facts_of(TELLER, CLEARED)), limits=HASTY
        )
        self._mend(door)
        door.authorizer.way = way  # type: ignore[attr-defined]
        assert opened(door) == 200

    def test_no_authorizer_at_all(self, doors: CompiledDoors) -> None:
        """When its socket is gone, new connections end and open ones go on."""
        with doors.open(authorizer=_Serving(facts_of(TELLER, CLEARED))) as door, door.connect() as before:
            assert statuses(exchange(before, REQUEST, answers=1)) == [200]
            door.authorizer.stop()  # type: ignore[attr-defined]
            assert opened(door) == 0
            assert statuses(exchange(before, REQUEST, answers=1)) == [200]

    def test_no_authorizer_from_the_start(self, doors: CompiledDoors) -> None:
        """Without an authorizer at the socket no client gets in; failing open and without rules, every client does."""
        for edits, status in (((), 0), ((ALLOWING,), 403), ((ALLOWING, NO_RULES), 200)):
            with doors.open(*edits, serve=False) as door:
                assert opened(door) == status

    @staticmethod
    def _mend(door: CompiledDoor) -> None:
        door.authorizer.way = "well"  # type: ignore[attr-defined]
        door.authorizer.facts, door.authorizer.delay_seconds = facts_of(TELLER, CLEARED), 0.0


class TestStore:
    """The database of a whole Doorward breaks while it runs."""

    @pytest.mark.parametrize("table", ["certificates", "principals", "changes", "log_outbox"])
    def test_unreadable(self, living: Doorway, table: str) -> None:
        """A table that cannot be used refuses new connections, at once or when knowledge is stale."""
        with self._line(living) as before:
            with self._without(living, table):
                assert eventually(lambda: not living.lets_in("alice"))
                assert statuses(exchange(before, LIVE, answers=1)) == [200]
            assert eventually(lambda: living.lets_in("alice"))
            assert statuses(exchange(before, LIVE, answers=1)) == [200]

    def test_a_decision_that_cannot_be_recorded_is_not_taken(self, living: Doorway) -> None:
        """If no event can be written, no connection is admitted, and open connections go on."""
        with self._line(living) as before:
            with self._locked(living):
                assert not living.lets_in("alice")
                assert statuses(exchange(before, LIVE, answers=1)) == [200]
            assert eventually(lambda: living.lets_in("alice"))

    def test_without_waiting_for_the_record_it_would_be(self, uncut: Doorway) -> None:
        """With an authorizer that does not wait, the same locked database lets every client in, unrecorded."""
        with _changed_ports(uncut, record=lambda _event: None), self._locked(uncut):
            assert uncut.lets_in("alice")

    def test_stale_knowledge(self, uncut: Doorway) -> None:
        """A gateway that cannot follow changes refuses, though it could judge; one that calls itself fresh admits."""
        follower = uncut.gateway.follower
        with self._standing_still(uncut):
            assert eventually(lambda: not follower.fresh())
            assert not uncut.lets_in("alice")
            with self._fresh(uncut, says=True):
                assert uncut.lets_in("alice")
            assert not uncut.lets_in("alice")
        assert eventually(lambda: uncut.lets_in("alice"))

    def test_stale_is_enough_to_refuse(self, uncut: Doorway) -> None:
        """If everything else is well, a gateway that is stale admits no connection."""
        assert uncut.lets_in("alice")
        with self._fresh(uncut, says=False):
            assert not uncut.lets_in("alice")
        assert uncut.lets_in("alice")

    def test_a_sequence_that_cannot_be_read_makes_stale(self, uncut: Doorway) -> None:
        """Without the table of changes the follower becomes stale, and no connection is admitted."""
        with self._without(uncut, "changes"):
            assert eventually(lambda: not uncut.gateway.follower.fresh())
            assert not uncut.lets_in("alice")
        assert eventually(lambda: uncut.lets_in("alice"))

    @contextmanager
    def _standing_still(self, doorway: Doorway) -> Iterator[None]:
        """Let the follower fail at each step: what the authorizer itself reads stays readable."""

        def fail() -> bool:
            raise Unavailable("store-unavailable", "the sequence cannot be read")

        follower = doorway.gateway.follower
        follower.step = fail  # type: ignore[method-assign]
        try:
            yield
        finally:
            del follower.step  # type: ignore[method-assign]

    @contextmanager
    def _fresh(self, doorway: Doorway, *, says: bool) -> Iterator[None]:
        with _changed_ports(doorway, fresh=lambda: says):
            yield

    @contextmanager
    def _line(self, doorway: Doorway) -> Iterator[ssl.SSLSocket]:
        with doorway.connect(doorway.identities["alice"]) as connection:
            assert statuses(exchange(connection, LIVE, answers=1)) == [200]
            yield connection

    @contextmanager
    def _without(self, doorway: Doorway, table: str) -> Iterator[None]:
        with closing(_raw(doorway)) as connection:
            texts = connection.execute("SELECT sql, type, name FROM sqlite_schema").fetchall()
        self._execute(doorway, f"ALTER TABLE {table} RENAME TO away")
        try:
            yield
        finally:
            self._execute(doorway, f"ALTER TABLE away RENAME TO {table}")
            # SQLite quotes what it renames, and Doorward compares each text of the schema.
            with closing(_raw(doorway)) as connection:
                connection.execute("PRAGMA writable_schema=ON")
                connection.executemany("UPDATE sqlite_schema SET sql = ? WHERE type = ? AND name = ?", texts)
                connection.commit()
                connection.execute("PRAGMA writable_schema=RESET")

    @contextmanager
    def _locked(self, doorway: Doorway) -> Iterator[None]:
        with closing(_raw(doorway)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield

    @staticmethod
    def _execute(doorway: Doorway, statement: str) -> None:
        with closing(_raw(doorway)) as connection:
            connection.execute("PRAGMA legacy_alter_table=ON")
            connection.execute(statement)


class TestEmptyPolicy:
    """A whole Doorward under a policy that says nothing."""

    def test_no_rule_no_access(self, living: Doorway) -> None:
        """An application without rules admits no connection, not even past the handshake."""
        try:
            living.apply("[]")
            with pytest.raises(OSError, match=r"ACCESS_DENIED|EOF|reset"):
                living.get(living.identities["alice"], "/x")
        finally:
            living.apply(RULES)
        assert living.get(living.identities["alice"], "/x").status == 200

    def test_no_application_no_door(self, living: Doorway) -> None:
        """Without applications the name is not even answered, and connections that were inside end."""
        with living.connect(living.identities["alice"]) as before:
            assert statuses(exchange(before, LIVE, answers=1)) == [200]
            try:
                living.apply_document("trust_domain: test.localhost\napps: {}\n")
                assert has_ended(before)
                with pytest.raises(OSError, match=r"EOF|reset"):
                    living.get(living.identities["alice"], "/x")
            finally:
                living.apply(RULES)


class TestGrantsLimit:
    """Grants are capped at 4 KiB."""

    def test_too_many_grants_refuse(self, uncut: Doorway, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person named by two hundred rules is refused; with a larger limit admitted, at a cost for each request."""
        groups = [f"g{number}" for number in range(200)]
        services = uncut.services
        rules = "\n".join(
            f"- {{name: r{number}, allow: {{groups: [{group}]}}, to: {{paths: ['/p{number}']}}}}"
            for number, group in enumerate(groups)
        )
        for group in groups:
            create_group(services, group, actor=ACTOR)
            add_member(services, group, "alice", actor=ACTOR)
        try:
            uncut.apply(RULES + rules)
            with pytest.raises(OSError, match=r"ACCESS_DENIED|EOF|reset"):
                uncut.get(uncut.identities["alice"], "/x")
            for module in (facts_module, grants_module):
                monkeypatch.setattr(module, "GRANTS_LIMIT_BYTES", 1 << 20)
            assert uncut.get(uncut.identities["alice"], "/x").status == 200
        finally:
            uncut.apply(RULES)


def _raw(doorway: Doorway) -> sqlite3.Connection:
    """Open the database past the installation's own connections."""
    return sqlite3.connect(doorway.installation.layout.database, isolation_level=None, timeout=10)


@contextmanager
def _changed_ports(doorway: Doorway, **changes: Any) -> Iterator[None]:
    """Change ports of the authorizer inside a running gateway, for single calls and for rounds."""
    assembled: Any = doorway.gateway._authorizer
    rounds, alone = assembled._rounds, assembled.authorizer
    parts, ports = rounds._parts, alone._ports
    recorder = _NoRecorder() if "record" in changes else parts.recorder
    alone._ports = replace(ports, **changes)
    rounds._parts = replace(parts, ports=alone._ports, recorder=recorder)
    try:
        yield
    finally:
        alone._ports, rounds._parts = ports, parts


class _NoRecorder:
    """Records nothing, and says that it did."""

    def new_ids(self, count: int) -> list[str]:
        return [f"evt_{number}" for number in range(count)]

    def record(self, admissions: Sequence[object], _at: object) -> list[None]:
        return [None] * len(admissions)
