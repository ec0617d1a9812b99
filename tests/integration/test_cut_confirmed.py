"""A confirmed number is enforced: nothing is confirmed while a policy at or before it is not in force."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from doorward.access.policies import apply_document
from doorward.directory.principals import resume, suspend
from doorward.gateway.publishing.publisher import Published, StreamPublisher
from doorward.runtime.change_notification import DatagramListener
from tests.support.doorway import ACTOR, eventually, open_doorway, render_document

SLOW_SECONDS = 0.3


def test_nothing_is_confirmed_ahead_of_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """While publishing is slow, changes that came after a policy are acted on at once and confirmed with it."""
    publish = StreamPublisher.publish
    # A follower that is called seldom takes several changes at once, a policy among others.
    monkeypatch.setattr(DatagramListener, "wait", lambda _self, _seconds: time.sleep(0.1))

    def slowly(self: StreamPublisher, *args: Any) -> Published:
        time.sleep(SLOW_SECONDS)
        return publish(self, *args)

    with open_doorway() as door:
        door.apply("- {allow: {groups: [staff]}}")
        door.person("alice", "staff")
        monkeypatch.setattr(StreamPublisher, "publish", slowly)
        policies: dict[int, int] = {}  # number of the change -> revision
        wrong: list[tuple[int, int]] = []
        seen: list[int] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.002):
                with door.services.work.read() as stores:
                    confirmed = stores.gateways.list()[0].confirmed_seq
                revision = (
                    door.gateway.publishing._gate.revision
                )  # read after the number: it may only be newer
                seen.append(confirmed)
                ahead = [seq for seq, of in list(policies.items()) if seq <= confirmed and of > revision]
                wrong.extend((confirmed, seq) for seq in ahead)

        watcher = threading.Thread(target=watch)
        watcher.start()
        last = 0
        try:
            for turn in range(6):
                text = render_document(door.app(rules=f"- {{allow: {{groups: [staff, other-{turn}]}}}}"))
                applied = apply_document(door.services, text, file="t.yaml", actor=ACTOR)
                policies[applied.seq] = applied.revision.number
                time.sleep(0.02 * turn)
                suspend(door.services, "alice", actor=ACTOR)
                last = resume(door.services, "alice", actor=ACTOR).seq
            door.settle(last)
            assert eventually(lambda: len(set(seen)) > 1)
        finally:
            stop.set()
            watcher.join()
        assert wrong == []
        assert seen == sorted(seen), "a confirmation is never taken back"
