"""Requests that are issued together: each has its own outcome, as if they had come one after the other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any

import pytest

from doorward.audit.events import EventType
from doorward.authority.issuing import (
    AlreadyRenewed,
    Claim,
    Entitlement,
    Issued,
    OperatorClaim,
    RenewalClaim,
    issue,
    issue_each,
)
from doorward.authority.revocation import revoke
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.errors import MalformedInput, NotFound, RequestRefused, Unavailable
from doorward.directory.inviting import InvitationClaim, invite
from doorward.pki.csr import build_csr
from doorward.stores.protocols import Stores
from doorward.stores.records import CertificateFilter, CertificateRecord
from doorward.stores.services import Services
from tests.support.interleaving import before_change
from tests.support.world import OPERATOR, World, found_world

SECONDS = 30


@pytest.fixture
def world() -> World:
    """A founded authority of this test alone."""
    return found_world()


def states(world: World) -> list[CertificateState]:
    """The states of all certificates, oldest first."""
    with world.work.read() as stores:
        return [one.state for one in stores.certificates.list(CertificateFilter())]


def codes(outcomes: list[Issued | Exception]) -> list[str]:
    """What became of each request: `issued`, the code of its error, or the name of its exception."""
    return [
        "issued" if isinstance(one, Issued) else getattr(one, "code", type(one).__name__) for one in outcomes
    ]


@dataclass(frozen=True, kw_only=True)
class FaultyClaim(OperatorClaim):
    """A claim with a fault of the program in one of its methods."""

    step: str

    def redeem(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        if self.step == "redeem":
            raise ZeroDivisionError

    def settle(self, services: Services, stores: Stores, record: CertificateRecord) -> None:
        if self.step == "settle":
            raise ZeroDivisionError

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        if self.step == "examine":
            raise ZeroDivisionError
        return super().examine(stores, now)


def faulty(claim: OperatorClaim, step: str) -> FaultyClaim:
    """Return the same claim with a fault in that step."""
    return FaultyClaim(actor=claim.actor, holder=claim.holder, name=claim.name, step=step)


def test_neighbours_of_refused_requests_are_issued(world: World):
    """A malformed request and a refused claim fail alone; each refusal is an event, and the others share two transactions."""
    stranger = replace(world.claim("bob"), holder="per_" + "z" * 20)
    claims: list[Claim] = [world.claim("alice"), world.claim("carol"), stranger, world.claim("ledger")]
    requests = [world.csr(), b"nonsense", world.csr(), world.csr()]
    outcomes = issue_each(world.services, list(zip(requests, claims, strict=True)))
    assert codes(outcomes) == ["issued", "csr-malformed", "principal-unknown", "issued"]
    assert [type(one) for one in outcomes] == [Issued, MalformedInput, NotFound, Issued]
    assert states(world) == [CertificateState.VALID] * 2
    refusals = world.events(EventType.CERTIFICATE_REFUSED)
    assert sorted(one.data["reasons"] for one in refusals) == [("csr-malformed",), ("principal-unknown",)]
    issued = [one for one in outcomes if isinstance(one, Issued)]
    assert [one.record.subject_name for one in issued] == ["alice", "ledger"]
    assert issued[1].seq == issued[0].seq + 1 == world.head()


def test_one_link_in_a_batch_becomes_one_certificate(world: World):
    """Of two requests with one link, the first gets the certificate; the other is refused before the key signs."""
    invited = invite(world.services, "alice", actor=OPERATOR)
    claim = InvitationClaim(invitation=invited.record, name="alice")
    wanted = [(world.csr(), claim), (world.csr(), claim), (world.csr(), world.claim("bob"))]
    assert codes(issue_each(world.services, wanted)) == ["issued", "invitation-invalid", "issued"]
    assert states(world) == [CertificateState.VALID] * 2


@pytest.mark.parametrize(
    ("keys", "outcome"), [("one key", "AlreadyRenewed"), ("two keys", "renewal-superseded")]
)
def test_one_line_in_a_batch_has_one_successor(world: World, keys: str, outcome: str):
    """Of two renewals of one certificate, the first becomes valid; the other learns of it, as if it had come later."""
    old = world.issue("sensor-1")
    claim, request = RenewalClaim(actor=OPERATOR, certificate=old.record), world.csr()
    wanted = [(request, claim), (request if keys == "one key" else world.csr(), claim)]
    first, second = issue_each(world.services, wanted)
    assert codes([first, second]) == ["issued", outcome]
    assert isinstance(first, Issued)
    assert states(world).count(CertificateState.VALID) == 2
    assert not isinstance(second, AlreadyRenewed) or second.record == first.record


def test_one_key_in_a_batch_is_renewed_to_once(world: World):
    """Two holders renew with one new key: the second learns in the last step that the first has it."""
    held = [world.issue(name) for name in ("sensor-1", "ledger")]
    claims = [RenewalClaim(actor=OPERATOR, certificate=one.record) for one in held]
    request = world.csr()
    assert codes(issue_each(world.services, [(request, one) for one in claims])) == [
        "issued",
        "key-used-before",
    ]
    assert states(world).count(CertificateState.VALID) == 3


def test_one_revoked_key_in_a_batch_is_refused_alone(world: World):
    """Its neighbours, before and after it, are issued; the refused one leaves no intent."""
    held = world.issue("sensor-1")
    revoke(world.services, held.record.id, RevocationReason.KEY_COMPROMISE, OPERATOR)
    names = ["alice", "bob", "carol", "sensor-1", "ledger"]
    wanted = [(world.csr(), world.claim(name)) for name in names]
    wanted[2] = (build_csr(held.key, "carol"), world.claim("carol"))
    found = codes(issue_each(world.services, wanted))
    assert found == ["issued", "issued", "key-used-before", "issued", "issued"]
    assert Counter(states(world)) == Counter([CertificateState.VALID] * 4 + [CertificateState.REVOKED])


@pytest.mark.parametrize("step", ["examine", "redeem", "settle"])
def test_a_fault_of_the_program_fails_alone(world: World, step: str):
    """An unexpected exception of one claim touches no neighbour, in whichever transaction it is raised."""
    names = ["alice", "bob", "carol", "sensor-1", "ledger"]
    wanted = [(world.csr(), world.claim(name)) for name in names]
    wanted[2] = (wanted[2][0], faulty(world.claim("carol"), step))
    outcomes = issue_each(world.services, wanted)
    assert codes(outcomes) == ["issued", "issued", "ZeroDivisionError", "issued", "issued"]
    left = [CertificateState.INTENDED] if step == "settle" else []
    assert Counter(states(world)) == Counter([CertificateState.VALID] * 4 + left)


def test_all_fail_if_the_database_does(world: World):
    """If the second transaction cannot be stored, no certificate leaves, nothing is tried again, and the intents stay."""
    wanted = [(world.csr(), world.claim(name)) for name in ("alice", "bob")]

    def fail() -> None:
        raise Unavailable("store-unsure", "the connection was lost in the commit")

    before_change(world, 2, fail)
    assert codes(issue_each(world.services, wanted)) == ["store-unsure"] * 2
    assert states(world) == [CertificateState.INTENDED] * 2
    assert world.events(EventType.CERTIFICATE_ISSUED) == []


def test_no_refusal_is_told_without_its_event(world: World):
    """If the event of a refusal cannot be stored, the requester is told that; its neighbour has its certificate."""
    stranger = replace(world.claim("bob"), holder="per_" + "z" * 20)
    world.work.full = True  # for traffic, and so for refusals
    wanted = [(world.csr(), stranger), (world.csr(), world.claim("alice"))]
    assert codes(issue_each(world.services, wanted)) == ["store-full", "issued"]


@dataclass(frozen=True, kw_only=True)
class WaitingClaim(OperatorClaim):
    """A claim that is examined until it is released."""

    begun: threading.Event
    released: threading.Event

    def examine(self, stores: Stores, now: datetime) -> Entitlement:
        self.begun.set()
        assert self.released.wait(SECONDS)
        return super().examine(stores, now)


def test_threads_that_wait_share_the_transactions(world: World):
    """What several threads want while one is served is issued with two transactions."""
    transactions = count()
    change = world.work.change

    def counted(**how: Any) -> Any:
        next(transactions)
        return change(**how)

    names = ["bob", "carol", "sensor-1", "ledger"]
    calls = [(world.csr(), world.claim(name)) for name in names]
    alice, begun, released = world.claim("alice"), threading.Event(), threading.Event()
    first = WaitingClaim(actor=OPERATOR, holder=alice.holder, name="alice", begun=begun, released=released)
    request = world.csr()
    world.work.change = counted  # type: ignore[method-assign]  # the seam of the fake
    with ThreadPoolExecutor(len(names) + 1) as threads:
        made = [threads.submit(issue, world.services, request, first)]
        assert begun.wait(SECONDS)
        made += [threads.submit(issue, world.services, *one) for one in calls]
        while world.services.issuing.waiting < len(names):
            time.sleep(0.001)
        released.set()
        issued = [one.result(SECONDS) for one in made]
    assert [one.record.subject_name for one in issued] == ["alice", *names]
    assert next(transactions) == 4
    assert states(world) == [CertificateState.VALID] * 5


def test_a_refusal_reaches_its_own_thread(world: World):
    """`issue` raises the outcome of its own request."""
    stranger = replace(world.claim("bob"), holder="per_" + "z" * 20)
    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(issue, world.services, world.csr(), world.claim("alice"))
        bad = threads.submit(issue, world.services, world.csr(), stranger)
    assert good.result().record.subject_name == "alice"
    with pytest.raises(RequestRefused):
        bad.result()
