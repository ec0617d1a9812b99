"""Doors that are replaced many times: Envoy does not crash, and the last edit comes into force."""

from __future__ import annotations

import pytest

from doorward.access.policies import apply_document
from doorward.gateway.publishing.watches import SPARE, InotifyUsage, watches_needed, watches_taken
from tests.support.doorway import ACTOR, DOMAIN, Doorway, eventually, open_doorway, render_document

DOORS = 4


def document(door: Doorway, number: int) -> str:
    """Four applications, each with a new host in each edit, so that certificates and chains are replaced."""
    hosts = [f"app{one}.{DOMAIN}, app{one}-{number}.{DOMAIN}" for one in range(DOORS)]
    return render_document(*(door.app(f"app{one}", hosts=names) for one, names in enumerate(hosts)))


def test_envoy_lives_through_quick_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few inotify instances Envoy stays below the limit, however many listeners drain, and every edit is published."""
    limit = 2 * watches_needed(DOORS + 3, 1) + SPARE  # one more than there are, with enrolment and portal
    with open_doorway(settings={"drain_time": "12s"}) as door:
        running = door.gateway.supervisor.running
        assert running is not None
        pids = door.gateway.supervisor.envoy_pids
        monkeypatch.setattr(
            door.gateway.publishing,
            "_inotify_usage",
            lambda: InotifyUsage(limit=limit, envoys=watches_taken(pids())),
        )
        most = 0
        for number in range(3):
            seq = apply_document(door.services, document(door, number), file="test.yaml", actor=ACTOR).seq

            def settled(seq: int = seq) -> bool:
                nonlocal most
                most = max(most, watches_taken([running.pid]))
                behind = (
                    door.gateway.follower.seq < seq or door.gateway.publishing.requests.pending() is not None
                )
                return not behind and not door.gateway.publishing.trouble()

            assert eventually(settled, 90)
        assert most <= limit
        assert door.gateway.supervisor.running is running
        with door.session(door.person("ann", "staff"), app="app0") as session:
            assert session.request("GET", "/").status == 200
