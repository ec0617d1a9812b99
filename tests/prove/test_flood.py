"""A flood writes no record: bounded leaves, honest events on time, withdrawals all the while and on a full disk.

Measured on a machine that does nothing else: the figures are printed.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Self

import pytest

from doorward.audit.events import EventType
from doorward.authority.inventory import find_certificate
from doorward.authority.revocation import revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal, remove_member, resume, suspend
from tests.support.doorway import ACTOR, short_folder
from tests.support.flooding import flooding, made_by
from tests.support.house import House, open_house

FLOOD_SECONDS = 20.0
MOST_LEAVES = 2_000
MOST_LATE_SECONDS = 2.0
DISK_MEGABYTES = 100


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 100 MB."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0711", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if os.geteuid() != 0 or mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Withdrawals:
    """Suspends and resumes a person and revokes certificates, twice a second, until the block ends."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            for change in (suspend, resume):
                began = time.monotonic()
                try:
                    change(self._house.services, "mallory", actor=ACTOR)
                except Exception as error:  # noqa: BLE001  # every failure is what is looked for
                    self.failures.append(repr(error))
                self.seconds.append(time.monotonic() - began)


class Honest:
    """Sends a request each quarter of a second on connections of its own."""

    def __init__(self, house: House, identity: object) -> None:
        self._house, self._identity = house, identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = self.answered = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.sent += 1
            with suppress(OSError):
                self.answered += self._house.get(self._identity, f"/honest/{self.sent}").status == 200  # type: ignore[arg-type]


def leaves(house: House) -> int:
    """Events that are leaves or wait to be."""
    with house.installation.event_log.read() as store:
        return store.tree_size() + store.waiting()


def lateness(house: House) -> float:
    """The longest time between the end of an honest request and its event."""
    late = 0.0
    for one in house.events(EventType.REQUEST_ANSWERED):
        if "principal" in one["data"] and one["personal"].get("path", "").startswith("/honest/"):
            ended = datetime.fromisoformat(one["data"]["started_at"]).timestamp()
            ended += one["data"].get("duration_ms", 0) / 1000
            late = max(late, datetime.fromisoformat(one["at"]).timestamp() - ended)
    return late


@pytest.mark.parametrize("kind", ["hellos", "handshakes"])
def test_a_flood_of_twenty_seconds(kind: str) -> None:
    """From one address, and from a thousand with a fresh certificate each."""
    with open_house() as house:
        house.apply("- {allow: {groups: [staff]}}")
        alice = house.person("alice", "staff")
        add_principal(house.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
        before = leaves(house)
        with (
            Honest(house, alice) as honest,
            Withdrawals(house) as withdrawals,
            flooding(kind, house.port, FLOOD_SECONDS, house.host("app")) as flooder,
        ):
            flooder.wait(FLOOD_SECONDS + 60)
        made = made_by(flooder)
        written = leaves(house) - before
        own = len(withdrawals.seconds) + 4 * honest.sent
        late = lateness(house)
        print(
            f"\n  {kind}: {made} connections in {FLOOD_SECONDS:g} s, {written} leaves in all, of honest traffic and "
            f"withdrawals at most {own}; honest requests {honest.answered} of {honest.sent}, recorded at most "
            f"{late:.2f} s late; {len(withdrawals.seconds)} withdrawals, the slowest {max(withdrawals.seconds):.2f} s"
        )
        assert withdrawals.failures == []
        assert written <= MOST_LEAVES
        assert honest.answered == honest.sent
        assert late <= MOST_LATE_SECONDS


def test_withdrawals_on_a_full_disk_under_a_flood() -> None:
    """The disk of 100 MB is filled to the last byte while the flood goes on: people are still put out."""
    with (
        short_folder() as folder,
        small_disk(folder / "disk") as disk,
        open_house(settings={"data": disk / "data"}) as house,
    ):
        house.apply("- {allow: {groups: [staff]}}")
        alice = house.person("alice", "staff")
        house.person("bob", "staff")
        add_principal(house.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
        assert house.get(alice, "/").status == 200
        time.sleep(12)  # the reserve is laid
        with flooding("hellos", house.port, FLOOD_SECONDS) as flooder:
            with (disk / "other").open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"x" * 65536)
            with Withdrawals(house) as withdrawals:
                certificate = house.certificate_of("bob")
                revoke(house.services, certificate, RevocationReason.KEY_COMPROMISE, actor=ACTOR)
                flooder.wait(FLOOD_SECONDS + 60)
        print(
            f"\n  full disk: {made_by(flooder)} hellos, {len(withdrawals.seconds)} withdrawals, "
            f"the slowest {max(withdrawals.seconds):.2f} s, {len(withdrawals.failures)} failed"
        )
        assert withdrawals.failures == []
        assert find_certificate(house.services, certificate).state is CertificateState.REVOKED


def test_a_policy_is_enforced_on_a_full_disk() -> None:
    """A group loses a member and a rule is narrowed: stored, written for Envoy, confirmed."""
    with (
        short_folder() as folder,
        small_disk(folder / "disk") as disk,
        open_house(settings={"data": disk / "data"}) as house,
    ):
        house.apply("- {allow: {groups: [staff]}}")
        alice, bob = house.person("alice", "staff"), house.person("bob", "staff")
        assert house.get(alice, "/").status == 200
        assert house.get(bob, "/").status == 200
        time.sleep(12)  # the reserve is laid
        with (disk / "other").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        house.settle(remove_member(house.services, "staff", "alice", actor=ACTOR).seq or 0)
        house.apply("- {allow: {groups: [staff]}, to: {paths: ['/left']}}")  # asserts that it is confirmed
