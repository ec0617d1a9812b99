"""Gathering evidence from real servers that are dead, slow or lying: the old evidence stays, and no other fetch waits."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest
from cryptography.x509 import ocsp

from doorward.partners.evidence import leasing, list_evidence_health
from doorward.runtime.fetching.fetcher import HttpFetcher
from doorward.runtime.fetching.gathering import Gathering
from tests.support.certificates.issuing import CertifiedKey, certify, crl_at, responder_at
from tests.support.certificates.status import HOUR, answer_about, crl_of
from tests.support.doorway import eventually
from tests.support.partner_world import PartnerWorld, partner_world
from tests.support.ports import NOON
from tests.support.responders import Script, answer, drip, moved, play_last, say, served, silent
from tests.support.sql_store import sql_work, sqlite_database

DAY = timedelta(days=1)
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def west(tmp_path: Path) -> Iterator[PartnerWorld]:
    """A partner with responders on this machine, in a database; the clock stands at noon."""
    database = sqlite_database(tmp_path)
    yield partner_world(work=sql_work(database), root_crl="", allow_private=("127.0.0.0/8", "::1/128"))
    database.close()


class Gatherer:
    """One running `Gathering`, as the job of `serve` runs it."""

    def __init__(self, west: PartnerWorld) -> None:
        self.stop = threading.Event()
        self.gathering = Gathering(west.services, HttpFetcher(), self.stop)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stop.is_set():
            while self.gathering.work():
                pass
            self.gathering.wait(0.02)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.gathering.join(60)


def told(west: PartnerWorld, source: str) -> str:
    """The fault of a row."""
    return next((one.problem for one in west.rows() if one.source == source), "")


def at_hand(west: PartnerWorld, source: str, about: CertifiedKey | None = None) -> bytes:
    """The evidence that is kept; empty if there is none."""
    known = [one for one in west.rows() if one.source == source]
    return west.row(source, about).der if known else b""


def crl(west: PartnerWorld, *serials: int, **options: object) -> bytes:
    """A CRL of the partner's issuing authority that ends in a day."""
    return crl_of(west.issuing, *serials, **{"next_update": NOON + DAY, **options})


LIES: dict[str, Callable[[PartnerWorld], Script]] = {
    "silent": lambda west: silent,
    "drips": lambda west: drip(HEAD, b"0"),
    "hangs up": lambda west: say(),
    "10 MB": lambda west: say(answer(b"0" * 10_000_000)),
    "endless": lambda west: drip(HEAD, b"0" * 10_000, 0),
    "busy": lambda west: say(answer(b"<html>", status="503 Busy")),
    "html": lambda west: say(answer(b"<html>maintenance</html>", content_type="application/pkix-crl")),
    "half": lambda west: say(answer(crl(west, number=9)[:-20])),
    "wrong signer": lambda west: say(answer(crl_of(certify("West Issuing"), number=9))),
    "stale": lambda west: say(answer(crl(west, number=9, next_update=NOON))),
    "replayed": lambda west: say(answer(crl(west, number=4))),
    "another's": lambda west: say(answer(crl_of(west.root, number=9, next_update=NOON + DAY))),
    "elsewhere": lambda west: moved("http://169.254.169.254/latest/meta-data/"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lying_server_takes_nothing(west: PartnerWorld, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any answer of the server, or none, the present list stays, and the failure is reported."""
    monkeypatch.setattr(leasing, "FETCH_SECONDS", 1.0 if name in ("silent", "drips") else 30.0)
    monkeypatch.setattr(leasing, "CRL_BYTES", 1_000_000)
    good = crl(west, 7, number=5)
    with served(say(answer(good, etag='"1"')), LIES[name](west)) as place, Gatherer(west):
        west.trust([west.root], [west.issuing], allow_private=("127.0.0.0/8", "::1/128"))
        west.let_in("alice", crl_at(place.url))
        assert eventually(lambda: at_hand(west, place.url) == good)
        west.clock.turn(hours=1)
        assert eventually(lambda: told(west, place.url))
        row = west.row(place.url)
    assert row.der == good
    assert row.failures == 1
    assert b'If-None-Match: "1"' in place.requests[1]
    sources = list_evidence_health(west.services, NOON)[0]
    assert (sources.failing, sources.stale) == (1, 0)


def test_a_dead_server_takes_nothing(west: PartnerWorld) -> None:
    """If no server listens, the row says so, and it is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with Gatherer(west):
        west.let_in("alice", crl_at(url))
        assert eventually(lambda: "cannot be reached" in told(west, url))
        with served(say(answer(crl(west))), port=int(url.rstrip("/").rpartition(":")[2])):
            west.clock.turn(minutes=1)
            assert eventually(lambda: at_hand(west, url))
    assert (west.row(url).failures, told(west, url)) == (0, "")


@pytest.mark.parametrize("name", ["wrong serial", "wrong signer", "stale", "html", "10 MB"])
def test_a_lying_responder_takes_nothing(west: PartnerWorld, name: str) -> None:
    """An answer about another certificate, by another signer, of another time, or no answer is not kept."""
    bob, stranger = certify("bob", west.root, ca=False), certify("West Issuing")
    scripts: list[Script] = []
    with served(play_last(scripts)) as place, Gatherer(west):
        alice = certify("alice", west.issuing, ca=False, extra=[responder_at(place.url)])
        lies = {
            "wrong serial": answer_about(bob, west.root),
            "wrong signer": answer_about(alice, west.issuing, responder=stranger),
            "stale": answer_about(alice, west.issuing, next_update=NOON - timedelta(minutes=1)),
            "html": b"<html>",
            "10 MB": b"0" * 10_000_000,
        }
        scripts.append(say(answer(lies[name])))
        west.let_in("alice", leaf=alice)
        assert eventually(lambda: told(west, place.url))
        assert at_hand(west, place.url, alice) == b""
        revoked = answer_about(
            alice, west.issuing, status=ocsp.OCSPCertStatus.REVOKED, next_update=NOON + DAY
        )
        scripts.append(say(answer(revoked)))
        west.clock.turn(minutes=1)
        assert eventually(lambda: at_hand(west, place.url, alice) == revoked)
    assert place.requests[0].startswith(b"POST / ")


def test_a_slow_server_delays_no_other(west: PartnerWorld) -> None:
    """While eight servers of one partner say nothing the list of another one comes, and the job looks on."""
    with Gatherer(west) as running, served(silent) as slow, served(say(answer(crl(west)))) as quick:
        for number in range(8):
            west.let_in(f"user{number}", crl_at(f"{slow.url}{number}"))
        assert eventually(lambda: len(slow.requests) == 2)
        west.let_in("alice", crl_at(quick.url))
        assert eventually(
            lambda: at_hand(west, quick.url), 20
        )  # a silent server is waited for for thirty seconds
        assert len(slow.requests) == 2
        running.stop.set()
        running.thread.join(20)
        assert not running.thread.is_alive()


def test_private_addresses_are_asked_only_with_leave(west: PartnerWorld) -> None:
    """Without the operator's leave a certificate cannot make this machine call itself."""
    west.trust([west.root], [west.issuing], allow_private=())
    with served(say(answer(crl(west)))) as place, Gatherer(west):
        west.let_in("alice", crl_at(place.url))
        assert eventually(lambda: "nothing may be fetched" in told(west, place.url))
        assert place.requests == []
        west.trust([west.root], [west.issuing], allow_private=("127.0.0.0/8", "::1/128"))
        west.clock.turn(hours=1)
        assert eventually(lambda: at_hand(west, place.url))


def test_a_revocation_is_known_within_refresh(west: PartnerWorld) -> None:
    """Evidence that the partner publishes just after a look is loaded when `refresh` is over."""
    lists = [crl(west, number=1), crl(west, 7, number=2)]
    scripts = [say(answer(lists[0]))]
    with served(play_last(scripts)) as place, Gatherer(west):
        west.let_in("alice", crl_at(place.url))
        assert eventually(lambda: at_hand(west, place.url) == lists[0])
        scripts.append(say(answer(lists[1])))
        west.clock.turn(seconds=HOUR.total_seconds())
        assert eventually(lambda: at_hand(west, place.url) == lists[1])


def test_two_processes_share_the_work(west: PartnerWorld) -> None:
    """Two that gather from one database ask each server once."""
    other = replace(west)
    with served(say(answer(crl(west)))) as place, Gatherer(west), Gatherer(other):
        for number in range(6):
            west.let_in(f"user{number}", crl_at(f"{place.url}{number}"))
        assert eventually(lambda: sum(bool(one.sha256) for one in west.rows()) == 6)
    assert len(place.requests) == 6
