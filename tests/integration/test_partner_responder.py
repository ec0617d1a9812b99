"""A partner's revocation at its own responder reaches the door, and a dead or lying one lets nobody in."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from doorward.authority.records import ChangeKind
from tests.support.doorway import Doorway, Identity, eventually, open_doorway
from tests.support.partner_door import DAY, Clinic
from tests.support.responders import Place, answer, served
from tests.support.status_ca import crl_of
from tests.support.watching import LiveRequests, watching

BOB, EVE = "bob@clinic.example", "eve@clinic.example"
REFRESH = timedelta(seconds=1)


class Responder:
    """What the partner's server answers; nothing at all while it is `silent`."""

    def __init__(self) -> None:
        self.lists: dict[str, bytes] = {}
        self.silent = False

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        if self.silent:
            connection.recv(1)
            return
        path = request.split(b" ")[1].decode()
        connection.sendall(answer(self.lists.get(path, b"<html>")))

    def publish(self, clinic: Clinic, number: int, *revoked: str) -> None:
        """Put newer CRLs of both authorities on the server."""
        serials = [clinic.leaves[one].certificate.serial_number for one in revoked]
        times = {"this_update": clinic.now - DAY, "next_update": clinic.now + DAY, "number": number}
        self.lists = {
            "/root.crl": crl_of(clinic.root, **times),
            "/issuing.crl": crl_of(clinic.issuing, *serials, **times),
        }


@pytest.fixture
def responder() -> Iterator[tuple[Responder, Place]]:
    """A server that publishes nothing yet."""
    made = Responder()
    with served(made) as place:
        yield made, place


def trust(door: Doorway, place: Place) -> Clinic:
    """Trust a partner whose evidence is looked for each second, on this machine."""
    sources = (f"{place.url}root.crl", f"{place.url}issuing.crl")
    clinic = Clinic(door, sources=sources, allow_private=("127.0.0.0/8", "::1/128"))
    with door.services.work.change() as books:
        partner = books.partners.get(clinic.id)
        assert partner is not None
        books.partners.save(replace(partner, refresh=REFRESH))
        seq = books.changes.note(ChangeKind.PARTNER, clinic.id, datetime.now(UTC))
    door.settle(seq)
    clinic.trust()
    return clinic


def is_let_in(door: Doorway, identity: Identity) -> bool:
    """Whether a request on a new connection is answered by the application."""
    try:
        return door.get(identity, "/x").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_what_the_partner_revokes_is_refused(responder: tuple[Responder, Place]) -> None:
    """Without evidence nobody is let in; with it somebody is; revoked at the partner a live connection ends."""
    made, place = responder
    with open_doorway() as door:
        clinic = trust(door, place)
        bob, eve = clinic.identity(BOB), clinic.identity(EVE)
        assert eventually(lambda: len(place.requests) >= 2)
        assert not is_let_in(door, bob)
        made.publish(clinic, 2)
        assert eventually(lambda: is_let_in(door, bob), 10)
        requests, other = LiveRequests(door, bob), LiveRequests(door, eve)
        with watching(requests, other):
            made.publish(clinic, 3, BOB)
            assert eventually(lambda: bool(requests.ended), 10)
            assert not is_let_in(door, bob)
            made.publish(clinic, 2)  # the list of before, played again
            count, good = len(place.requests), len(other.good)
            assert eventually(lambda: len(place.requests) >= count + 2, 10)
            assert not is_let_in(door, bob)
            assert eventually(lambda: len(other.good) > good)
            assert not other.ended


def test_a_silent_responder_slows_no_connection(responder: tuple[Responder, Place]) -> None:
    """While the responder holds its fetches the door answers at once: yes by what is at hand, no without."""
    made, place = responder
    with open_doorway() as door:
        clinic = trust(door, place)
        bob = clinic.identity(BOB)
        made.publish(clinic, 1)
        assert eventually(lambda: is_let_in(door, bob), 10)
        made.silent = True
        count = len(place.requests)
        assert eventually(lambda: len(place.requests) >= count + 2, 10)
        began = time.monotonic()
        assert is_let_in(door, bob)
        assert time.monotonic() - began < 10  # a fetch is held for thirty seconds
        assert is_let_in(door, clinic.identity(EVE))
