"""A revision that cannot be published, and an Envoy that dies meanwhile: the doors that were good open again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from doorward.access.policies import apply_document
from doorward.gateway.publishing import transition as publishing
from doorward.gateway.publishing.watches import SPARE, InotifyUsage, watches_needed
from doorward.stores.policy_snapshot import PolicySnapshot
from tests.support.doorway import ACTOR, DOMAIN, Doorway, eventually, open_doorway, render_document

OTHERS = "- {allow: {groups: [other]}}"


def kill_envoy(door: Doorway) -> None:
    """End the running Envoy the hard way, and wait for its successor."""
    run = door.gateway.supervisor.running
    assert run is not None
    os.kill(run.pid, signal.SIGKILL)
    assert eventually(lambda: door.gateway.supervisor.epoch not in (0, run.epoch), 10)
    assert eventually(lambda: door.gateway.supervisor.running is not None, 10)


def trouble(door: Doorway) -> str:
    """The trouble for status."""
    return " ".join(door.gateway.trouble())


@pytest.mark.parametrize("refuser", ["room", "envoy"])
def test_a_refused_revision_is_no_outage_at_the_next_restart(
    refuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unchanged applications go on, before and after Envoy dies; changed ones admit no new connection until it is corrected."""
    with open_doorway() as door:
        door.apply_document(render_document(door.app(), door.app("pay")))
        alice = door.person("alice", "staff")
        bob = door.person("bob", "other")
        assert door.get(alice, "/").status == door.get(alice, "/", app="pay").status == 200
        if refuser == "room":
            room = InotifyUsage(limit=2 * watches_needed(3) + SPARE)
            monkeypatch.setattr(door.gateway.publishing, "_inotify_usage", lambda: room)
        else:
            monkeypatch.setattr(door.gateway.publishing, "_compile", _spoilt(door.gateway.publishing, "more"))
        text = render_document(door.app(), door.app("pay", OTHERS), door.app("more"))
        apply_document(door.services, text, file="refused.yaml", actor=ACTOR)
        assert eventually(lambda: "is refused" in trouble(door), 10)
        for _ in range(2):
            assert door.get(alice, "/").status == 200
            began = time.monotonic()
            for who in (alice, bob):  # by the old revision alice might, by the new one bob
                with pytest.raises(OSError):
                    door.get(who, "/", app="pay")
            with pytest.raises(OSError):
                door.get(bob, "/")
            assert time.monotonic() - began < 2  # the command does not wait for an answer that will not come
            kill_envoy(door)
            assert "is refused" in trouble(door)
        monkeypatch.undo()
        assert eventually(lambda: not door.gateway.trouble(), 15), trouble(door)
        assert door.get(bob, "/", app="pay").status == door.get(alice, "/").status == 200
        with pytest.raises(OSError):
            door.get(alice, "/", app="pay")


@contextmanager
def envoy_that_aborts_at(door: Doorway, host: str) -> Iterator[None]:
    """Let every Envoy end by SIGABRT that is given a listener with this host, as a failed assertion in it would."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.003):
            for run in door.gateway.supervisor._runs:
                with suppress(OSError):
                    if f'"{host}"' in (run.folder / "xds" / "lds.json").read_text():
                        os.kill(run.pid, signal.SIGABRT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_revision_that_envoy_dies_of_shuts_no_other_door() -> None:
    """Envoy aborts at load: what the revision does not change opens again, the rest stays shut, and it is said."""
    with open_doorway() as door:
        door.apply_document(render_document(door.app(), door.app("pay")))
        alice = door.person("alice", "staff")
        bob = door.person("bob", "other")
        text = render_document(door.app(), door.app("pay", OTHERS), door.app("more"))
        with envoy_that_aborts_at(door, f"more.{DOMAIN}"):
            apply_document(door.services, text, file="deadly.yaml", actor=ACTOR)
            assert eventually(lambda: "SIGABRT" in trouble(door) and "(more, pay)" in trouble(door), 20)
            assert eventually(lambda: door.gateway.supervisor.running is not None, 20)
            assert door.get(alice, "/").status == 200
            for who in (alice, bob):
                with pytest.raises(OSError):
                    door.get(who, "/", app="pay")
            epoch = door.gateway.supervisor.epoch
            door.gateway.publishing.step()  # asked again: Envoy is not given it again
            assert door.gateway.supervisor.epoch == epoch
            door.apply_document(render_document(door.app(), door.app("pay", OTHERS)))
            assert door.get(bob, "/", app="pay").status == door.get(alice, "/").status == 200


def _spoilt(one: publishing.PolicyPublisher, host: str) -> object:
    """Have the configuration of a document that names a host hold something that Envoy does not know."""
    compile_snapshot = one._compile

    def compile_spoilt(snapshot: PolicySnapshot, seq: int) -> object:
        compiled = compile_snapshot(snapshot, seq)
        if compiled is not None and any(app.name == host for app in snapshot.document.apps):
            compiled.resources.listeners[0]["no_such_field"] = 1
        return compiled

    return compile_spoilt
