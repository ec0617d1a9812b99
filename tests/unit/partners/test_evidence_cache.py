"""The shelves of evidence: filled from the database, kept where nothing changed, never emptied by a failure."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from doorward.core.errors import Unavailable
from doorward.partners.evidence_cache import Shelves
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.verification.revocation.crl import parse_crl
from tests.support import records
from tests.support.partner_world import crl_at
from tests.support.path_ca import certify
from tests.support.status_ca import crl_of
from tests.support.world import World, empty_world

ISSUER, OTHER = certify("West Issuing"), certify("West Other")
ALICE, BOB = certify("alice", ISSUER, ca=False), certify("bob", OTHER, ca=False)
WEST = records.opaque("ptn", "west")


def row(der: bytes, source: str = "http://a.example/crl", **changed: object) -> EvidenceRecord:
    """Evidence as it is stored."""
    digest = hashlib.sha256(der).hexdigest() if der else ""
    return records.evidence("west", source, der=der, sha256=digest, **changed)


def store(world: World, *rows: EvidenceRecord) -> None:
    """Put evidence where it is looked for."""
    with world.work.change() as books:
        for one in rows:
            books.evidence.store(one)


@pytest.fixture
def world() -> World:
    """Two lists of a partner are stored."""
    made = empty_world()
    store(made, row(crl_of(ISSUER)), row(crl_of(OTHER), "http://b.example/crl"))
    return made


def lists(shelves: Shelves) -> list[bytes]:
    """The digests of what is at hand, of either issuer."""
    shelf = shelves.of(WEST)
    return [crl.sha256.encode() for leaf in (ALICE, BOB) for crl in shelf.crls_about(leaf.parsed)]


def test_before_anything_is_loaded_nothing_is_known(world: World) -> None:
    """An empty shelf lets nobody in where evidence is required."""
    assert lists(Shelves(world.work)) == []


def test_evidence_is_loaded_and_kept(world: World) -> None:
    """Loading says whether anything is another; where nothing is, the very same shelf stays."""
    shelves = Shelves(world.work)
    assert shelves.load(WEST)
    assert len(lists(shelves)) == 2
    shelf = shelves.of(WEST)
    assert not shelves.load(WEST)
    assert shelves.of(WEST) is shelf


def test_only_what_is_new_is_read(world: World) -> None:
    """One newer list makes another shelf; the other list is the same object as before."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    before = shelves.of(WEST)
    store(world, row(crl_of(ISSUER, 5, number=2)))
    assert shelves.load(WEST)
    after = shelves.of(WEST)
    assert after is not before
    (kept,) = after.crls_about(BOB.parsed)
    assert kept is before.crls_about(BOB.parsed)[0]
    (newer,) = after.crls_about(ALICE.parsed)
    assert newer.number == 2


def test_what_was_dropped_is_gone(world: World) -> None:
    """A list that is stored no more is not asked any more."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    with world.work.change() as books:
        books.evidence.forget(WEST, EvidenceKind.CRL, "http://b.example/crl", "")
    assert shelves.load(WEST)
    assert len(lists(shelves)) == 1


def test_what_was_never_had_is_not_loaded(world: World) -> None:
    """A row that only says what is looked for is no evidence."""
    store(world, row(b"", "http://c.example/crl"))
    shelves = Shelves(world.work)
    shelves.load(WEST)
    assert len(lists(shelves)) == 2


def test_answers_are_kept_by_whom_they_are_about(world: World) -> None:
    """OCSP answers of several responders about one certificate stand together, unread."""
    about = ALICE.parsed.sha256
    answers = [
        row(text, f"http://{n}.example/", kind=EvidenceKind.OCSP, about=about)
        for n, text in enumerate((b"first", b"second"))
    ]
    store(world, *answers)
    shelves = Shelves(world.work)
    assert shelves.load(WEST)
    assert set(shelves.of(WEST).answers_about(ALICE.parsed)) == {b"first", b"second"}
    assert not shelves.load(WEST)
    store(world, replace(answers[0], der=b"third", sha256=hashlib.sha256(b"third").hexdigest()))
    assert shelves.load(WEST)
    assert set(shelves.of(WEST).answers_about(ALICE.parsed)) == {b"third", b"second"}


def test_one_answer_may_be_about_several(world: World) -> None:
    """Bytes that are known already are at hand for another certificate as soon as they are stored for it."""
    shelves = Shelves(world.work)
    store(world, row(b"answer", kind=EvidenceKind.OCSP, about=ALICE.parsed.sha256))
    shelves.load(WEST)
    store(world, row(b"answer", kind=EvidenceKind.OCSP, about=BOB.parsed.sha256))
    assert shelves.load(WEST)
    assert shelves.of(WEST).answers_about(BOB.parsed) == (b"answer",)


def test_a_failure_keeps_the_former_shelf(world: World) -> None:
    """Where the database cannot be read the older evidence stays."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    before = shelves.of(WEST)
    world.work.broken = Unavailable("database-unavailable", "away")
    with pytest.raises(Unavailable):
        shelves.load(WEST)
    assert shelves.of(WEST) is before


def test_evidence_that_was_never_read_is_not_none(world: World) -> None:
    """Where it cannot be read at the start, it may say anything; as soon as it is read it says what it says."""
    shelves = Shelves(world.work)
    assert not shelves.of(WEST).has_unusable(ALICE.parsed)
    shelves.mark_unread(WEST)
    assert shelves.of(WEST).has_unusable(ALICE.parsed)
    assert shelves.load(WEST)
    assert not shelves.of(WEST).has_unusable(ALICE.parsed)
    shelf = shelves.of(WEST)
    shelves.mark_unread(WEST)
    assert shelves.of(WEST) is shelf


def test_what_came_last_and_cannot_be_used_is_known(world: World) -> None:
    """Of a list by the address that certificates name, of an answer by its certificate; also where nothing good ever came."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    named = certify("carol", ISSUER, ca=False, extra=[crl_at("http://c.example/crl")])
    store(world, row(b"", "http://c.example/crl", unusable=True))
    assert shelves.load(WEST)
    store(world, row(b"", kind=EvidenceKind.OCSP, about=BOB.parsed.sha256, unusable=True))
    assert shelves.load(WEST)
    assert not shelves.load(WEST)
    shelf = shelves.of(WEST)
    assert [shelf.has_unusable(one.parsed) for one in (named, BOB, ALICE)] == [True, True, False]
    anchor = certify("Anchor", extra=[crl_at("http://c.example/crl")])
    assert shelf.has_unusable(ALICE.parsed, anchor.parsed)


def test_a_list_that_was_named_by_hand_may_be_about_everybody(world: World) -> None:
    """No certificate names its address: where it cannot be used nothing is known of any of them."""
    shelves = Shelves(world.work)
    with world.work.change() as books:
        books.partners.add(records.partner("west", crl_urls=("http://hand.example/crl",)))
    store(world, row(b"", "http://hand.example/crl", unusable=True))
    shelves.load(WEST)
    assert shelves.of(WEST).has_unusable(ALICE.parsed)


def test_revocations_that_were_seen_are_at_hand(world: World) -> None:
    """By issuer and serial number, whatever became of the evidence."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    key = hashlib.sha256(ISSUER.parsed.key_bits).hexdigest()
    seen = records.seen(key, ALICE.parsed.serial, ALICE.parsed.sha256)
    with world.work.change() as books:
        books.evidence.remember(WEST, seen)
    assert shelves.load(WEST)
    assert shelves.of(WEST).seen(ALICE.parsed, ISSUER.parsed) == seen
    assert shelves.of(WEST).seen(ALICE.parsed, OTHER.parsed) is None


def test_what_cannot_be_read_makes_nothing_else_unknown(world: World) -> None:
    """A list that does not parse here says nothing; the last good one of its place, and all others, stay."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    before = lists(shelves)
    store(world, row(b"garbage"))
    assert shelves.load(WEST)
    assert lists(shelves) == before
    fresh = Shelves(world.work)
    fresh.load(WEST)
    assert len(lists(fresh)) == len(before) - 1


def test_partners_have_shelves_of_their_own(world: World) -> None:
    """What is known of one says nothing of another."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    east = records.opaque("ptn", "east")
    assert not shelves.of(east).crls_about(ALICE.parsed)
    assert shelves.load(east)
    assert not shelves.load(east)
    assert len(lists(shelves)) == 2


def test_the_lists_are_those_that_were_stored(world: World) -> None:
    """What is at hand is what the bytes say."""
    shelves = Shelves(world.work)
    shelves.load(WEST)
    der = crl_of(ISSUER, 7, number=3)
    store(world, row(der))
    shelves.load(WEST)
    (found,) = shelves.of(WEST).crls_about(ALICE.parsed)
    assert found.number == parse_crl(der).number
