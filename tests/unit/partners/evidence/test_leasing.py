"""Leasing the due fetches, and the requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from doorward.core.addresses import parse_private_networks
from doorward.core.errors import Unavailable
from doorward.core.ports import FetchResponse
from doorward.partners.evidence import FetchSlots, lease_due
from doorward.partners.evidence.leasing import FAILED_HOST_DELAY, LEASE
from doorward.pki.ocsp import parse_ocsp_request
from doorward.stores.partner_records import EvidenceKind
from doorward.verification.partner import RevocationMode
from tests.support import records
from tests.support.certificates.issuing import certify, crl_at, responder_at, with_serial
from tests.support.certificates.status import crl_of
from tests.support.partner_world import (
    ISSUING_CRL,
    RESPONDER,
    ROOT_CRL,
    authority,
    inventory_row,
    partner_world,
)
from tests.support.ports import NOON

CRL, OCSP = EvidenceKind.CRL, EvidenceKind.OCSP


def test_a_crl_is_asked_for():
    """A CRL is fetched from its URL, within limits, on the partner's terms."""
    west = partner_world(allow_private=("127.0.0.0/8", "::1/128"))
    west.look()
    (task,) = lease_due(west.services, west.slots)
    request = task.request
    assert (request.url, request.body, request.accept) == (ROOT_CRL, None, "application/pkix-crl")
    assert (request.allow_private, request.etag) == (parse_private_networks(["127.0.0.0/8", "::1"]), "")
    assert task.host == "pki.partner.example"
    assert request.limit <= 32 * 1024 * 1024
    assert request.seconds < LEASE.total_seconds()


def test_private_addresses_need_the_operators_leave():
    """Without permitted networks the request has none."""
    west = partner_world()
    west.look()
    assert not lease_due(west.services, west.slots)[0].request.allow_private


def test_a_responder_is_asked_about_one_certificate():
    """The OCSP request is about the leaf, with its issuer's hashes."""
    west = partner_world()
    alice = west.let_in("alice", responder_at(RESPONDER))
    west.look()
    request = next(one.request for one in lease_due(west.services, west.slots) if one.request.body)
    assert (request.url, request.media_type, request.limit) == (
        RESPONDER,
        "application/ocsp-request",
        64 * 1024,
    )
    question = parse_ocsp_request(request.body)
    assert (question.serial, question.nonce) == (alice.parsed.serial, None)


def test_the_etag_is_sent_while_the_crl_is_valid():
    """After the CRL's end no ETag is sent."""
    west = partner_world(refresh=timedelta(days=9))
    west.pages[ROOT_CRL] = lambda request: FetchResponse(body=crl_of(west.root), etag='"1"')
    west.run()
    west.clock.turn(minutes=40)
    assert lease_due(west.services, FetchSlots())[0].request.etag == '"1"'
    west.clock.turn(minutes=40)
    assert lease_due(west.services, FetchSlots())[0].request.etag == ""


def test_a_leased_fetch_is_not_leased_again():
    """Another process leases nothing until the lease has ended."""
    west = partner_world()
    west.look()
    assert len(lease_due(west.services, FetchSlots())) == 1
    assert lease_due(west.services, FetchSlots()) == []
    west.clock.turn(seconds=LEASE.total_seconds())
    assert len(lease_due(west.services, FetchSlots())) == 1


def test_of_two_concurrent_leases_one_succeeds(monkeypatch):
    """The other one releases its slot."""
    west = partner_world()
    west.look()
    slots, other = FetchSlots(), FetchSlots()
    with west.work.read() as stores:
        due = stores.evidence.due(NOON, 9)
    assert len(lease_due(west.services, other)) == 1
    monkeypatch.setattr("tests.support.memory_partners.MemoryEvidence.due", lambda *args: due)
    assert lease_due(west.services, slots) == []
    assert slots.acquire(west.partner.id, "pki.partner.example", CRL)
    assert slots.acquire(west.partner.id, "pki.partner.example", CRL)


def test_a_lease_that_cannot_be_written_takes_no_slot(monkeypatch):
    """If the database is missing, the slots are released."""
    west = partner_world()
    west.look()
    slots = FetchSlots(total=1)

    def away():
        raise Unavailable("store-busy", "busy")

    monkeypatch.setattr(west.work, "change", away)
    with pytest.raises(Unavailable):
        lease_due(west.services, slots)
    assert slots.acquire("ptn_any", "any", CRL)


def test_a_host_is_not_asked_by_many_at_once():
    """A host gets two fetches at once, a partner four, and all together eight."""
    slots = FetchSlots()
    assert [slots.acquire("a", "one", kind) for kind in (CRL, OCSP, CRL)] == [True, True, False]
    assert [
        slots.acquire("a", host, kind) for host, kind in (("two", CRL), ("three", OCSP), ("four", CRL))
    ] == [
        True,
        True,
        False,
    ]
    kinds = (CRL, OCSP, CRL, OCSP, CRL)
    entered = [slots.acquire("b", str(number), kind) for number, kind in enumerate(kinds)]
    assert entered == [True, True, True, True, False]
    assert [slots.acquire("c", "five", CRL)] == [False]
    slots.release("a", "one", CRL)
    assert [slots.acquire("c", "one", CRL), slots.acquire("c", "one", CRL)] == [True, False]


@pytest.mark.parametrize(("many", "other"), [(CRL, OCSP), (OCSP, CRL)])
def test_neither_kind_takes_the_last_place_of_the_other(many, other):
    """One kind takes at most three of a partner's four slots."""
    slots = FetchSlots()
    assert [slots.acquire("a", str(number), many) for number in range(4)] == [True, True, True, False]
    assert slots.acquire("a", "four", other)
    slots.release("a", "0", many)
    assert slots.acquire("a", "five", many)


def test_a_list_does_not_wait_behind_thousands_of_answers():
    """A CRL gets a slot in the next call, also if many answers are due."""
    west = partner_world(root_crl="")
    for number in range(40):
        west.let_in(f"user{number}", responder_at(f"http://{number}.example/"))
    west.look()
    assert {one.evidence.kind for one in lease_due(west.services, west.slots)} == {OCSP}
    west.clock.turn(seconds=1)
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.look()
    assert [one.request.url for one in lease_due(west.services, west.slots)] == [ISSUING_CRL]


def test_a_list_does_not_wait_behind_those_of_a_dead_host():
    """CRLs of another host are fetched while many of a hanging host are due."""
    west = partner_world(root_crl="")
    for number in range(40):
        west.let_in(f"user{number}", crl_at(f"http://dead.example/{number}"))
    west.look()
    assert {one.host for one in lease_due(west.services, west.slots)} == {"dead.example"}
    west.clock.turn(seconds=1)
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.look()
    assert [one.request.url for one in lease_due(west.services, west.slots)] == [ISSUING_CRL]


def many_due_at(west, *hosts: str) -> None:
    """More answers of each of these responders than are looked at, and after them one of `RESPONDER`."""
    for host in hosts:
        for number in range(40):
            west.let_in(f"user{number} of {host}", responder_at(f"http://{host}/"))
    west.look()
    west.clock.turn(seconds=1)
    west.let_in("alice", responder_at(RESPONDER))
    west.look()


def test_an_answer_does_not_wait_behind_those_of_a_full_host():
    """While a host has no free slot, answers of other hosts are fetched."""
    west = partner_world(root_crl="")
    many_due_at(west, "dead.example")
    assert {one.host for one in lease_due(west.services, west.slots)} == {"dead.example"}
    assert [one.request.url for one in lease_due(west.services, west.slots)] == [RESPONDER]


def test_an_answer_does_not_wait_behind_those_of_hosts_that_failed():
    """If failed hosts hold all slots, the next free slot is for a good host."""
    west, dead = partner_world(root_crl=""), ("a-dead.example", "b-dead.example")
    many_due_at(west, *dead)
    tasks = lease_due(west.services, west.slots) + lease_due(west.services, west.slots)
    assert Counter(one.host for one in tasks) == {dead[0]: 2, dead[1]: 1}
    for one in tasks:
        west.slots.note_result(one.evidence.partner_id, one.host, failed=True, now=west.clock.now())
        west.slots.release(one.evidence.partner_id, one.host, one.evidence.kind)
    urls = [one.request.url for one in lease_due(west.services, west.slots)]
    assert (urls[0], len(urls)) == (RESPONDER, 3)  # the dead have what is left


def test_a_host_that_failed_comes_last_for_a_while():
    """A failed host comes last for one partner and one minute; the last sixteen are remembered."""
    slots = FetchSlots()
    slots.note_result("a", "dead", failed=True, now=NOON)
    assert slots.failed_hosts("a", NOON + FAILED_HOST_DELAY - timedelta(seconds=1)) == {"dead"}
    assert slots.failed_hosts("a", NOON + FAILED_HOST_DELAY) == frozenset()
    assert slots.failed_hosts("b", NOON) == frozenset()
    slots.note_result("a", "dead", failed=False, now=NOON)
    assert slots.failed_hosts("a", NOON) == frozenset()
    for number in range(17):
        slots.note_result("a", str(number), failed=True, now=NOON)
        slots.note_result("b", str(number % 3), failed=True, now=NOON)
    assert slots.failed_hosts("a", NOON) == {str(number) for number in range(1, 17)}
    assert slots.failed_hosts("b", NOON) == {"0", "1", "2"}


def test_a_partner_with_dead_responders_takes_no_turn_from_another():
    """A partner with many due rows does not block another."""
    west = partner_world()
    for number in range(40):
        west.let_in(f"user{number}", crl_at(f"http://{number}.example/crl"))
    east = records.partner("east")
    root = certify("East Root", extra=[crl_at("http://east.example/crl")])
    with west.work.change() as stores:
        stores.partners.add(east)
        stores.partners.set_authorities(east.id, [authority(east, root, anchor=True)])
    west.look()
    hosts = {task.host for task in lease_due(west.services, west.slots)}
    assert len(hosts) == 4
    assert "east.example" in hosts


def test_a_malformed_address_stops_no_other_fetch():
    """A malformed address does not stop the fetches for other partners."""
    west = partner_world()
    west.let_in("alice", crl_at("http://["))
    west.look()
    assert [task.request.url for task in lease_due(west.services, west.slots)] == [ROOT_CRL]


def test_nothing_is_fetched_without_a_good_path():
    """If an authority was removed since the scan, nothing is fetched for its certificates."""
    west = partner_world()
    west.let_in("alice", responder_at(RESPONDER))
    west.look()
    west.trust([west.root])
    assert {one.request.url for one in lease_due(west.services, west.slots)} == {ROOT_CRL}


def test_nothing_is_fetched_for_a_foreign_certificate():
    """Nothing is fetched for an unknown certificate or one of another authority."""
    west = partner_world()
    alice = certify("alice", west.issuing, ca=False, extra=[responder_at(RESPONDER)])
    seen = replace(inventory_row(west.partner, west.issuing, alice, 1), authority_id="aut_other")
    with west.work.change() as stores:
        assert stores.certificates.add_seen(seen)
        for about in ("0" * 64, alice.parsed.sha256):
            stores.evidence.store(records.evidence("west", RESPONDER, kind=EvidenceKind.OCSP, about=about))
    assert lease_due(west.services, west.slots) == []


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_a_serial_that_fits_no_request_is_skipped():
    """A serial number that fits in no request is skipped, and the row has the reason."""
    west = partner_world()
    issuing = certify("West Issuing", west.root, extra=[responder_at(RESPONDER)])
    odd = with_serial(issuing, west.root.key, b"\x00")
    west.trust([west.root], [odd])
    west.look()
    assert [row.source for row in west.rows()] == [RESPONDER]
    assert lease_due(west.services, west.slots) == []
    row = west.row(RESPONDER, odd)
    assert (row.failures, row.problem) == (
        1,
        "the serial number of the certificate is not positive, or has more than 160 bits (ocsp-request-unbuildable)",
    )
    assert not west.slots.full_hosts()


def test_off_fetches_nothing():
    """With `revocation: off` nothing is fetched."""
    west = partner_world()
    west.let_in("alice", crl_at(ISSUING_CRL))
    west.look()
    west.trust([west.root], [west.issuing], revocation=RevocationMode.OFF)
    assert lease_due(west.services, west.slots) == []
    assert lease_due(partner_world().services, FetchSlots()) == []
