"""The log lines, and when they are on disk."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.gateway.access_log.lines import parse_access_line
from tests.support.attacks import LISTENER, changed, command_of
from tests.support.compiled_door import CompiledDoor, CompiledDoors, Kept
from tests.support.door_site import APPS
from tests.support.doorway import eventually

pytestmark = pytest.mark.xdist_group("posture-access-log")


FLUSH = "--file-flush-interval-msec"
REQUESTS = 20
LOG = (*LISTENER, "access_log", 0, "typed_config", "log_format", "json_format")


class TestFlushing:
    """Envoy writes its log every 10 s by default: killing it erases the lines of its last answers."""

    def test_lines_are_there_before_a_kill(self, doors: CompiledDoors) -> None:
        """Requests answered a tenth of a second before `kill -9` are in the file, every one."""
        # On a machine that does something else the flush may be late: then it gets more time, but never the ten seconds.
        pauses = (0.15, 0.5, 1.0, 1.0)
        assert any(self._left_after_a_kill(doors, drop=(), pause=pause) == REQUESTS for pause in pauses)

    def test_without_the_flag_they_are_lost(self, doors: CompiledDoors) -> None:
        """Without the flag not one of the same requests is on record."""
        assert self._left_after_a_kill(doors, drop=(FLUSH,)) == 0

    def test_the_flag_says_fifty_milliseconds(self, door: CompiledDoor) -> None:
        """At most the flush interval may be lost."""
        command = command_of(door.envoy.process.pid)
        assert command[command.index(FLUSH) + 1] == "50"

    @staticmethod
    def _left_after_a_kill(doors: CompiledDoors, drop: tuple[str, ...], pause: float = 0.15) -> int:
        with doors.open(drop_flags=drop) as door:
            with door.connect() as connection:
                # The first line starts the writer, which takes what is there by then: count the others.
                assert door.site.ask("GET", "/accounts/first", over=connection).status == 200
                time.sleep(0.3)
                for _ in range(REQUESTS):
                    assert door.site.ask("GET", "/accounts/7", over=connection).status == 200
                time.sleep(pause)
                door.envoy.process.send_signal(signal.SIGKILL)
                door.envoy.process.wait(60)
            return len([one for one in door.site.log_lines() if one.get("path") == "/accounts/7"])


def test_a_full_device_stops_no_request_and_is_counted(kept: Kept) -> None:
    """Log to a full device: requests go on, and `filesystem.write_failed`, which is to be watched, grows."""
    http = ("listeners", "door", "filter_chains", "app_pay", "filters", "doorward.http", "typed_config")
    door = kept(changed(*http, "access_log", 0, "typed_config", "path", to="/dev/full"))
    for _ in range(5):
        assert door.site.ask("GET", "/accounts/7").status == 200
    deadline = time.monotonic() + 60
    name = "filesystem.write_failed"
    while door.envoy.admin.statistics(name).get(name, 0) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.02)


class TestClaims:
    """Item 14: the log of a failed handshake carries the identity that an unverified certificate claims."""

    def test_it_is_called_claimed(self, door: CompiledDoor) -> None:
        """Only fields that say so hold what the certificate said of itself."""
        line = self._failed(door)
        carrying = {name for name, value in line.items() if "alice" in str(value)}
        assert carrying == {"claimed_subject", "claimed_uri"}

    def test_the_event_says_so_too(self, door: CompiledDoor) -> None:
        """The event has no principal as its actor, and keeps the claim in a `claimed_…` field."""
        event = parse_access_line(json.dumps(self._failed(door)).encode(), "gwy_1")
        assert event is not None
        assert event.type is EventType.HANDSHAKE_FAILED
        assert event.actor == "system"
        assert "alice" not in str(event.data)
        assert {name for name, value in event.personal.items() if "alice" in value} == {
            "claimed_subject",
            "claimed_san",
        }

    def test_under_another_name_it_would_read_as_identity(self, kept: Kept) -> None:
        """With the fields renamed, a stranger's handshake line names a principal: alice."""

        def rename(fields: dict[str, Any]) -> dict[str, Any]:
            return {
                name.replace("claimed_subject", "principal"): value
                for name, value in fields.items()
                if name != "claimed_uri"
            }

        line = self._failed(kept(changed(*LOG, to=rename)), "principal")
        assert line["principal"] == "CN=alice"

    @staticmethod
    def _failed(door: CompiledDoor, field: str = "claimed_subject") -> dict[str, Any]:
        """Knock with the certificate of a stranger's authority that says alice; return the log line."""
        door.site.alert("pay.test", "stranger")
        deadline = time.monotonic() + 60
        while True:
            lines = [one for one in door.site.log_lines() if one["kind"] == "handshake" and one.get(field)]
            if lines:
                return dict(lines[-1])
            assert time.monotonic() < deadline
            time.sleep(0.02)


class TestLines:
    """A client writes no line of its own, and no secret."""

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ('/accounts/"},{"kind":"request","principal":"per_root"}', []),
            ("/accounts/7", [("X-Request-Id", '"}\n{"kind":"request"}')]),
        ],
    )
    def test_no_request_forges_a_line(
        self, door: CompiledDoor, path: str, headers: list[tuple[str, str]]
    ) -> None:
        """With any content of a request, its line is one JSON object of its own kind and person."""
        for name, value in headers:
            with pytest.raises(ValueError, match="Invalid header"):
                door.site.ask("GET", path, headers=[(name, value)])
        before = _requests(door)
        door.site.ask("GET", path)
        assert eventually(lambda: _requests(door) > before)
        assert all(one.get("principal") in {None, "per_alice"} for one in door.site.log_lines())

    def test_no_query_is_logged(self, door: CompiledDoor, kept: Kept) -> None:
        """Query strings never are; with `PATH(WQ:PATH)` in its place they would be."""
        http = ("listeners", "door", "filter_chains", "app_pay", "filters", "doorward.http", "typed_config")
        place = (*http, "access_log", 0, "typed_config", "log_format", "json_format", "path")
        open_door = kept(changed(*place, to="%REQ(:PATH)%"))
        for one, logged in ((door, False), (open_door, True)):
            before = _requests(one)
            one.site.ask("GET", "/accounts/7?token=s3cr3t")
            assert eventually(lambda one=one, before=before: _requests(one) > before)  # type: ignore[misc]
            assert ("s3cr3t" in (one.site.folder / "access.log").read_text()) is logged

    def test_no_log_names_a_secret_field(self, doors: CompiledDoors) -> None:
        """No format holds credentials: no Authorization, cookie, assertion or client certificate."""
        resources = doors.site.resources(APPS)
        for listener in resources.listeners:
            logs = [value for key, value in _values(listener) if key == "json_format" and "kind" in value]
            assert len(logs) == 4  # the listener, two applications, enrolment
            for log in logs:
                text = str(log).lower()
                for word in ("authorization", "cookie", "assertion", "client_cert", "grants", "wq:"):
                    assert word not in text


def _requests(door: CompiledDoor) -> int:
    """How many requests are on record."""
    return sum(one["kind"] == "request" for one in door.site.log_lines())


def _values(tree: Any) -> list[tuple[str, Any]]:
    from tests.support.attacks import every_value

    return list(every_value(tree))
