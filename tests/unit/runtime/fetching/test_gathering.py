"""Gathering evidence: what a look does, and what it survives."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from doorward.core.ports import FetchRequest, FetchResponse
from doorward.partners.evidence import sources
from doorward.runtime.fetching.gathering import Gathering
from tests.support.certificates.issuing import crl_at, responder_at
from tests.support.certificates.status import crl_of
from tests.support.partner_world import ISSUING_CRL, RESPONDER, ROOT_CRL, PartnerWorld, partner_world

PATIENCE = 60.0


def look(west: PartnerWorld, stop: threading.Event | None = None) -> Gathering:
    """Look until nothing is left at once, and wait for every fetch."""
    gathering = Gathering(west.services, west.fetcher, stop or threading.Event())
    while gathering.work():
        pass
    gathering.wait(0)
    gathering.join(PATIENCE)
    return gathering


def test_a_look_fetches_and_takes() -> None:
    """What is due is fetched and kept; what cannot be had is said in the log, with its code."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages[ROOT_CRL] = crl_of(west.root)
    with capture_logs() as said:
        look(west)
    assert west.row(ROOT_CRL).der == west.pages[ROOT_CRL]
    assert [(one["url"], one["code"]) for one in said] == [(ISSUING_CRL, "fetch-unreachable")]


def test_a_host_that_gave_nothing_comes_last() -> None:
    """After a fetch that failed the answers of another responder are not hidden by those of the dead one."""
    west = partner_world(root_crl="")
    for number in range(40):
        west.let_in(f"user{number}", responder_at("http://a-dead.example/"))
    alice = west.let_in("alice", responder_at(RESPONDER))
    gathering = look(west)
    assert west.row(RESPONDER, alice).failures == 0
    gathering.work()
    gathering.join(PATIENCE)
    assert west.row(RESPONDER, alice).failures == 1


def test_an_unforeseen_fault_takes_no_room() -> None:
    """A fetch that ends with an unexpected error is in the log, and its place is free again."""
    west = partner_world()

    def burst(request: FetchRequest) -> None:
        raise ZeroDivisionError

    west.pages[ROOT_CRL] = burst
    with capture_logs() as said:
        gathering = look(west)
    assert [one["event"] for one in said] == ["fetched evidence could not be processed"]
    row = west.row(ROOT_CRL)
    assert (row.failures, row.problem[-16:]) == (1, "(internal-error)")
    west.pages[ROOT_CRL] = crl_of(west.root)
    west.clock.turn(minutes=2)
    gathering.work()
    gathering.join(PATIENCE)
    assert west.row(ROOT_CRL).sha256


def test_a_moment_without_threads_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started the look fails, and when there are threads again everything is fetched."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.pages.update({ROOT_CRL: crl_of(west.root), ISSUING_CRL: crl_of(west.issuing)})
    west.look()
    gathering = Gathering(west.services, west.fetcher, threading.Event())

    def no_more(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        for _ in range(4):
            with pytest.raises(RuntimeError):
                gathering.work()
            west.clock.turn(minutes=2)
    gathering.join(PATIENCE)
    gathering.work()
    gathering.join(PATIENCE)
    assert all(row.sha256 for row in west.rows())


def test_what_comes_after_the_end_is_left() -> None:
    """Nothing is written once `stop` is set; the claim ends by itself."""
    west, stop = partner_world(), threading.Event()

    def late(request: FetchRequest) -> FetchResponse:
        stop.set()
        return FetchResponse(body=crl_of(west.root))

    west.pages[ROOT_CRL] = late
    look(west, stop)
    assert west.row(ROOT_CRL).sha256 == ""


def test_too_much_evidence_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a partner names beyond its limit is in the log when the number changes, not at each look."""
    monkeypatch.setattr(sources, "CRL_LIMIT", 0)
    west = partner_world()
    with capture_logs() as said:
        gathering = look(west)
        gathering.work()
    assert [one["left_out"] for one in said] == [1]
