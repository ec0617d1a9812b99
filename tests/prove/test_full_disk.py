"""The disk is full to the last byte: withdrawals succeed and are enforced, also after a process died there.

New connections are refused, because their decision cannot be recorded; open ones go on. As soon as there is room again,
traffic returns by itself, and the record is complete but for lines that Envoy could not write: those are a gap on record.
The log of the processes lies on the same disk, as where somebody redirects it there.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from doorward.audit.events import EventType
from doorward.authority.gateways import confirmations
from doorward.authority.inventory import find_certificate
from doorward.authority.revocation import revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.directory.principals import add_principal, remove_member, suspend
from tests.support.churn import churning
from tests.support.churn_record import Death, check_inventory, check_record, read_record, still_let_in
from tests.support.doorway import ACTOR, eventually, is_root, short_folder
from tests.support.flooding import flooding, made_by
from tests.support.honest import Withdrawals
from tests.support.house import House, open_house
from tests.support.small_disk import filled, small_disk
from tests.support.watching import LiveStream, watching

MEGABYTES = 100
FLOOD_SECONDS = 20.0
BACK_SECONDS = 180.0
"""Usual are 5 s; on a machine with ten times as much work as it has cores a gateway starts within 20 s."""

ENFORCED_SECONDS = 2.0
"""From a withdrawal to the end of its connection; some milliseconds are usual."""

pytestmark = pytest.mark.skipif(not is_root(), reason="only root may mount a file system")


@contextmanager
def cramped() -> Iterator[tuple[House, Iterator[None]]]:
    """A running house on a small disk, with its reserve laid, and what fills that disk."""
    with (
        short_folder() as folder,
        small_disk(folder / "disk", megabytes=MEGABYTES) as disk,
        open_house(settings={"data": disk / "data"}) as house,
    ):
        house.apply("- {allow: {groups: [staff]}}")
        while house.installation.database.maintain():
            pass
        yield house, filled(disk)  # type: ignore[misc]  # a context manager


def test_withdrawals_under_a_flood() -> None:
    """People are put out while the flood goes on."""
    with cramped() as (house, full):
        house.person("bob", "staff")
        add_principal(house.services, PrincipalKind.PERSON, "mallory", actor=ACTOR)
        with (
            flooding("hellos", house.port, FLOOD_SECONDS) as flooder,
            full,
            Withdrawals(house) as withdrawals,
        ):
            certificate = house.certificate_of("bob")
            revoke(house.services, certificate, RevocationReason.KEY_COMPROMISE, actor=ACTOR)
            flooder.wait(FLOOD_SECONDS + 60)
        print(
            f"\n  full disk: {made_by(flooder)} hellos, {len(withdrawals.seconds)} withdrawals, "
            f"the slowest {max(withdrawals.seconds):.2f} s, {len(withdrawals.failures)} failed"
        )
        assert withdrawals.failures == []
        assert find_certificate(house.services, certificate).state is CertificateState.REVOKED


def test_a_policy_is_enforced() -> None:
    """A group loses a member and a rule is narrowed: stored, sent to Envoy, confirmed."""
    with cramped() as (house, full):
        alice, bob = house.person("alice", "staff"), house.person("bob", "staff")
        assert house.get(alice, "/").status == 200
        assert house.get(bob, "/").status == 200
        with full:
            house.settle(remove_member(house.services, "staff", "alice", actor=ACTOR).seq or 0)
            house.apply(
                "- {allow: {groups: [staff]}, to: {paths: ['/left']}}"
            )  # asserts that it is confirmed


@pytest.mark.parametrize("victim", ["gateway", "serve", "envoy"])
def test_a_process_dies_there(victim: str) -> None:
    """It starts again and withdrawals are enforced; with room again everybody is served, and nothing is lost."""
    with cramped() as (house, full):
        deaths = []
        with churning(house) as churn:
            mallory = house.person("mallory", "staff")
            stream = LiveStream(house, mallory)
            with watching(stream):
                began = time.time()
                with full:
                    time.sleep(2.0)
                    pid = house.pid(victim)
                    died = time.time()
                    os.kill(pid, signal.SIGKILL)
                    deaths.append(Death(died, time.time()))
                    house.wait_for_pid(victim, other_than=pid, seconds=BACK_SECONDS)
                    withdrawn = time.time()
                    await_enforced(house, suspend(house.services, "mallory", actor=ACTOR).seq)
                    assert eventually(lambda: bool(stream.ended), ENFORCED_SECONDS + BACK_SECONDS), stream.why
                    settled = time.time()
                    time.sleep(2.0)
                ended = time.time()
                assert eventually(lambda: churn.is_back(ended, joining=True), BACK_SECONDS), house.words()
                back = time.time()
        print(
            f"\n  {victim} killed on a full disk: withdrawn and confirmed {settled - withdrawn:.2f} s after its restart;"
            f" with room again everybody was served after {back - ended:.2f} s"
        )
        churn.report()
        assert not house.lets_in(mallory)
        assert churn.faults == []
        churn.applied += 1  # the first one
        record = read_record(house)
        lost = check_record(churn, record, deaths if victim == "envoy" else (), [(began, ended)])
        check_inventory(churn)
        assert still_let_in(churn) == []
        assert not lost or eventually(lambda: bool(house.events(EventType.ACCESS_GAP))), (
            "a gap is not on record"
        )
        print(f"  {lost} requests are not on record, {len(house.events(EventType.ACCESS_GAP))} gaps are")


def await_enforced(house: House, seq: int) -> None:
    """Wait until the gateway enforces a change. `House.settle` gives up if a gateway that starts was away for 15 s."""
    assert eventually(
        lambda: all(one.confirmed for one in confirmations(house.services, seq)), BACK_SECONDS
    ), house.words()
