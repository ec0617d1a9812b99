"""Doors that are replaced many times: Envoy does not crash, and the last edit comes into force."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from doorward.access.policies import apply_document
from tests.support.doorway import ACTOR, DOMAIN, Doorway, eventually, open_doorway, render_document

DOORS = 4


def document(door: Doorway, number: int) -> str:
    """Four applications, each with a new host in each edit, so that certificates and chains are replaced."""
    hosts = [f"app{one}.{DOMAIN}, app{one}-{number}.{DOMAIN}" for one in range(DOORS)]
    return render_document(*(door.app(f"app{one}", hosts=names) for one, names in enumerate(hosts)))


def inotify_instances(pid: int) -> int:
    """How many inotify instances a process has."""
    count = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            count += str(one.readlink()) == "anon_inode:inotify"
    return count


def test_envoy_lives_through_quick_edits() -> None:
    """However many listeners drain, every edit is published, and Envoy watches no file."""
    with open_doorway(settings={"drain_time": "12s"}) as door:
        running = door.gateway.supervisor.running
        assert running is not None
        for number in range(3):
            seq = apply_document(door.services, document(door, number), file="test.yaml", actor=ACTOR).seq

            def settled(seq: int = seq) -> bool:
                behind = (
                    door.gateway.follower.seq < seq or door.gateway.publishing.requests.pending() is not None
                )
                return not behind and not door.gateway.trouble()

            assert eventually(settled, 90)
        assert inotify_instances(running.pid) == 0
        assert door.gateway.supervisor.running is running
        with door.session(door.person("ann", "staff"), app="app0") as session:
            assert session.request("GET", "/").status == 200
