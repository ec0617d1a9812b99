"""Ten thousand devices from one CSV file: the time, kill -9 at random moments, and withdrawals meanwhile."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.audit.leaf import parse_leaf
from doorward.core.entities import PrincipalKind
from doorward.directory.importing.inviting_many import Invited, find_open
from doorward.directory.principals import add_principal, list_principals, resume, suspend
from doorward.runtime.compose import Installation
from doorward.stores.records import ChangeKind
from doorward.wire.csv_rows import parse_csv
from tests.support.doorway import ACTOR, STAFF, eventually, founded, open_doorway

DEVICES = 10_000
KILLED_DEVICES = 30_000
LINKS = 20_000
KILLS = 50
"""There are so many devices and links that the import is not at its end before the last kill."""

MOST_SECONDS = 60.0
"""The goal for ten thousand devices, each with two groups, on SQLite."""


@pytest.fixture
def installation() -> Iterator[Installation]:
    """A founded installation without running roles: every event stays in the outbox, where it can be counted."""
    with founded(unlocked=False) as made:
        yield made


def start(installation: Installation, *words: str, as_json: bool = True) -> subprocess.Popen[str]:
    """Start a command on the installation in a process of its own."""
    environ = {
        **os.environ,
        "DOORWARD_DATA": str(installation.layout.data),
        "DOORWARD_PASSPHRASE_FILE": str(installation.layout.data.parent / "passphrase"),
    }
    command = [sys.executable, "-m", "doorward.cli", *words, *(["--json"] if as_json else [])]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a command; return its document."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, (out, err)
    value: dict[str, Any] = json.loads(out)
    return value


def write_csv(installation: Installation, count: int) -> str:
    """Write a file as a spreadsheet does: byte order mark, semicolons, CRLF; return its path."""
    path = installation.layout.data.parent / "devices.csv"
    rows = [f'sensor-{one:05};"Sensor ""{one}""";"sensors;hall-{one % 7}"\r\n' for one in range(count)]
    path.write_bytes(("\ufeffname;display_name;groups\r\n" + "".join(rows)).encode())
    return str(path)


def count_devices(installation: Installation) -> int:
    """Return how many devices there are."""
    return len(list_principals(installation.services, PrincipalKind.DEVICE))


def _await_progress(installation: Installation, running: subprocess.Popen[str]) -> None:
    """Wait until an import has committed something, or has ended."""

    def head() -> int:
        with installation.services.work.read() as stores:
            return stores.changes.head()

    before = head()
    eventually(lambda: head() > before or running.poll() is not None, 60)


def check_accounts(installation: Installation, count: int) -> None:
    """Check that there is each device once, with one event, two memberships and one change."""
    found = list_principals(installation.services, PrincipalKind.DEVICE)
    assert [one.name for one in found] == [f"sensor-{one:05}" for one in range(count)]
    assert all(one.groups == (f"hall-{index % 7}", "sensors") for index, one in enumerate(found))
    with installation.event_log.read() as log:
        leaves = [parse_leaf(one.leaf) for one in log.pending(limit=10 * count + 1000)]
    created = Counter(
        one.data["principal"] for one in leaves if one.type == EventType.PRINCIPAL_CREATED.value
    )
    joined = Counter(
        one.data["principal"] for one in leaves if one.type == EventType.GROUP_MEMBER_ADDED.value
    )
    groups = [one for one in leaves if one.type == EventType.GROUP_CREATED.value]
    ids = {one.id for one in found}
    created = Counter({one: number for one, number in created.items() if one.startswith("dev_")})
    assert created == Counter(dict.fromkeys(ids, 1))
    assert joined == Counter(dict.fromkeys(ids, 2))
    assert len(groups) == 8
    changes, seq = Counter[str](), 0
    with installation.services.work.read() as stores:
        while page := stores.changes.since(seq):
            changes.update(one.subject for one in page if one.kind is ChangeKind.PRINCIPAL)
            seq = page[-1].seq
    assert {one: changes[one] for one in ids} == dict.fromkeys(ids, 1)


def test_ten_thousand_devices(installation: Installation) -> None:
    """The whole file in less than a minute; a withdrawal waits only for a short transaction; a repeat writes nothing."""
    file = write_csv(installation, DEVICES)
    add_principal(installation.services, PrincipalKind.PERSON, "alice", actor=ACTOR)
    began = time.monotonic()
    running = start(installation, "device", "add", "--from", file, "--create-groups")
    waits: list[float] = []
    over = threading.Event()

    def withdraw() -> None:
        while not over.wait(0.1):
            for change in (suspend, resume):
                before = time.monotonic()
                change(installation.services, "alice", actor=ACTOR)
                waits.append(time.monotonic() - before)

    withdrawing = threading.Thread(target=withdraw, daemon=True)
    withdrawing.start()
    done = finish(running)
    seconds = time.monotonic() - began
    over.set()
    withdrawing.join(60)
    assert done["added"] == DEVICES
    print(f"\n  {DEVICES} devices with two groups: {seconds:.1f} s, {DEVICES / seconds:.0f} a second")
    print(
        f"  a withdrawal meanwhile: median {median(waits) * 1000:.0f} ms, longest {max(waits) * 1000:.0f} ms"
    )
    assert seconds < MOST_SECONDS
    check_accounts(installation, DEVICES)
    with installation.services.work.read() as stores:
        events = stores.outbox.waiting()
    began = time.monotonic()
    again = finish(start(installation, "device", "add", "--from", file))
    print(f"  the same file again: {time.monotonic() - began:.1f} s")
    assert (again["added"], again["unchanged"]) == (0, DEVICES)
    with installation.services.work.read() as stores:
        assert stores.outbox.waiting() == events


def test_killed_at_random_moments(installation: Installation) -> None:
    """After each kill, the same command goes on; at the end, nothing is there twice and nothing is missing."""
    file = write_csv(installation, KILLED_DEVICES)
    words = ("device", "add", "--from", file, "--create-groups")
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"\n  seed {seed}")
    counts, kills = [], 0
    while kills < KILLS:
        running = start(installation, *words)
        if kills % 4:  # most kills come within the import, some before it
            _await_progress(installation, running)
            time.sleep(chance.uniform(0, 0.25))
        else:
            time.sleep(chance.uniform(0, 1))
        running.kill()
        running.communicate()
        kills += 1
        counts.append(count_devices(installation))
    assert counts == sorted(counts)
    assert counts[-1] < KILLED_DEVICES, "the last kills came after the import: let it have more devices"
    done = finish(start(installation, *words))
    print(f"  {kills} kills, with {', '.join(map(str, counts))} devices; the last run added {done['added']}")
    assert done["added"] + done["unchanged"] == KILLED_DEVICES
    check_accounts(installation, KILLED_DEVICES)


def test_interrupted_by_a_person(installation: Installation) -> None:
    """Ctrl-C ends it between two transactions, and it says how to go on."""
    file = write_csv(installation, DEVICES)
    words = ("device", "add", "--from", file, "--create-groups")
    running = start(installation, *words, as_json=False)
    _await_progress(installation, running)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "run the same command again" in err
    assert finish(start(installation, *words))["unchanged"] > 0
    check_accounts(installation, DEVICES)


def test_links_survive_kills(installation: Installation) -> None:
    """Each device has exactly one open link, and the file has it: no link that is valid was lost."""
    file = write_csv(installation, LINKS)
    out = installation.layout.data.parent / "links.csv"
    words = ("device", "add", "--from", file, "--create-groups", "--invitations", str(out))
    chance = random.Random(7)
    kills = 0
    while kills < KILLS:
        running = start(installation, *words)
        if kills % 4:
            _await_progress(installation, running)
            time.sleep(chance.uniform(0, 0.1))
        else:
            time.sleep(chance.uniform(0.4, 1.6))
        running.kill()
        running.communicate()
        kills += 1
    assert not out.exists(), "the last kills came after the import: let it have more links"
    assert finish(start(installation, *words))["invited"] == LINKS
    known = _read_links(out)
    assert sorted(one.name for one in known) == [f"sensor-{one:05}" for one in range(LINKS)]
    assert len(find_open(installation.services, known)) == LINKS
    with installation.services.work.read() as stores:
        assert len(stores.invitations.open_at(installation.services.clock.now())) == LINKS
    print(f"\n  {kills} kills: {LINKS} links, each of them open and in the file")


def _read_links(file: Path) -> list[Invited]:

    assert file.stat().st_mode & 0o777 == 0o600
    return [
        Invited(
            name=str(row.cells["name"]),
            token=str(row.cells["token"]),
            expires_at=datetime.fromisoformat(str(row.cells["expires_at"])),
        )
        for row in parse_csv(file.read_bytes()).rows
    ]


def test_a_withdrawal_at_the_door_during_an_import() -> None:
    """The door refuses a suspended person as soon as ever, while thousands of changes pass through it."""
    with open_doorway() as door:
        door.apply(STAFF)
        alice = door.person("alice", "staff")
        installation = door.installation
        running = start(
            installation, "device", "add", "--from", write_csv(installation, 4000), "--create-groups"
        )
        _await_progress(installation, running)
        waits = []
        while running.poll() is None:
            began = time.monotonic()
            door.settle(suspend(door.services, "alice", actor=ACTOR).seq)
            waits.append(time.monotonic() - began)
            with pytest.raises(OSError):  # the handshake or the first request is refused
                door.get(alice, "/x")
            door.settle(resume(door.services, "alice", actor=ACTOR).seq)
            assert door.get(alice, "/x").status == 200
        finish(running)
        print(
            f"\n  {len(waits)} withdrawals confirmed during the import: median {median(waits) * 1000:.0f} ms, "
            f"longest {max(waits) * 1000:.0f} ms"
        )
        assert waits
