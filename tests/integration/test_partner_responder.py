"""A partner's revocation at its own responder reaches the door; a dead or lying responder admits no connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from doorward.pki.der import encode_enumerated
from doorward.stores.records import ChangeKind
from doorward.verification.partner import RevocationMode
from tests.support.certificates.status import crl_of
from tests.support.certificates.status_der import list_bytes, listed
from tests.support.doorway import Doorway, eventually, open_doorway
from tests.support.partner_door import DAY, Clinic
from tests.support.responders import Place, answer, served
from tests.support.watching import LiveRequests, watching

BOB, EVE = "bob@clinic.example", "eve@clinic.example"
REFRESH = timedelta(seconds=1)


class Responder:
    """The answers of the partner's server; nothing at all while it is `silent`."""

    def __init__(self) -> None:
        self.lists: dict[str, bytes] = {}
        self.silent = False
        self.status = "200 OK"

    def __call__(self, connection: socket.socket, request: bytes) -> None:
        if self.silent:
            connection.recv(1)
            return
        path = request.split(b" ")[1].decode()
        connection.sendall(answer(self.lists.get(path, b"<html>"), status=self.status))

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
    """Trust a partner on this machine; its evidence is looked for each second."""
    sources = (f"{place.url}root.crl", f"{place.url}issuing.crl")
    clinic = Clinic(door, sources=sources, allow_private=("127.0.0.0/8", "::1/128"))
    with door.services.work.change() as stores:
        partner = stores.partners.get(clinic.id)
        assert partner is not None
        stores.partners.save(replace(partner, refresh=REFRESH))
        seq = stores.changes.note(ChangeKind.PARTNER, clinic.id, datetime.now(UTC))
    door.settle(seq)
    clinic.trust()
    return clinic


def prefer(door: Doorway, clinic: Clinic) -> None:
    """Ask for no more than that nothing says revoked."""
    with door.services.work.change() as stores:
        partner = stores.partners.get(clinic.id)
        assert partner is not None
        stores.partners.save(replace(partner, revocation=RevocationMode.PREFER))
        seq = stores.changes.note(ChangeKind.PARTNER, clinic.id, datetime.now(UTC))
    door.settle(seq)


def test_what_the_partner_revokes_is_refused(responder: tuple[Responder, Place]) -> None:
    """Without evidence no connection is admitted, with evidence one is; a revocation at the partner ends it."""
    made, place = responder
    with open_doorway() as door:
        clinic = trust(door, place)
        bob, eve = clinic.identity(BOB), clinic.identity(EVE)
        assert eventually(lambda: len(place.requests) >= 2)
        assert not door.lets_in(bob)
        made.publish(clinic, 2)
        assert eventually(lambda: door.lets_in(bob))
        requests, other = LiveRequests(door, bob), LiveRequests(door, eve)
        with watching(requests, other):
            made.publish(clinic, 3, BOB)
            assert eventually(lambda: bool(requests.ended))
            assert not door.lets_in(bob)
            made.publish(clinic, 2)  # the list of before, played again
            count, good = len(place.requests), len(other.good)
            assert eventually(lambda: len(place.requests) >= count + 2)
            assert not door.lets_in(bob)
            assert eventually(lambda: len(other.good) > good)
            assert not other.ended
            # A number of 20 octets, an entry of another with an odd reason, and Bob left out: Eve ends, Bob stays refused.
            prefer(door, clinic)
            listed_eve = listed(clinic.leaves[EVE].certificate.serial_number)
            times = {"this_update": clinic.now - DAY, "next_update": clinic.now + DAY}
            made.lists["/issuing.crl"] = list_bytes(
                clinic.issuing,
                listed(99, reason=encode_enumerated(11)),
                listed_eve,
                number=(1 << 159) - 1,
                **times,
            )
            assert eventually(lambda: bool(other.ended))
            assert not door.lets_in(eve)
            assert not door.lets_in(bob)


def test_unusable_evidence_refuses_also_if_evidence_is_only_preferred(
    responder: tuple[Responder, Place],
) -> None:
    """Without a CRL connections are admitted; a page in place of a CRL ends them, and a good CRL admits again."""
    made, place = responder
    made.status = "404 Not Found"
    with open_doorway() as door:
        clinic = trust(door, place)
        prefer(door, clinic)
        bob = clinic.identity(BOB)
        assert eventually(lambda: door.lets_in(bob))
        requests = LiveRequests(door, bob)
        with watching(requests):
            made.status = "200 OK"
            assert eventually(lambda: bool(requests.ended))
            assert not door.lets_in(bob)
        made.publish(clinic, 1)
        assert eventually(lambda: door.lets_in(bob))


def test_a_silent_responder_slows_no_connection(responder: tuple[Responder, Place]) -> None:
    """While the responder delays its answers, the door answers at once: by loaded evidence yes, without it no."""
    made, place = responder
    with open_doorway() as door:
        clinic = trust(door, place)
        bob = clinic.identity(BOB)
        made.publish(clinic, 1)
        assert eventually(lambda: door.lets_in(bob))
        made.silent = True
        count = len(place.requests)
        assert eventually(lambda: len(place.requests) >= count + 2, 25)  # a fetch is held for thirty seconds
        began = time.monotonic()
        assert door.lets_in(bob)
        assert time.monotonic() - began < 20
        assert door.lets_in(clinic.identity(EVE))
