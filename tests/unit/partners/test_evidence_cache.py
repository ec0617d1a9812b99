"""The evidence cache: loaded from the database, kept if nothing changed, never emptied by a failure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from doorward.core.errors import Unavailable
from doorward.partners.evidence_cache import EvidenceCache
from doorward.stores.partner_records import EvidenceKind, EvidenceRecord
from doorward.verification.revocation.crl import parse_crl
from tests.support import records
from tests.support.certificates.issuing import certify, crl_at
from tests.support.certificates.status import crl_of
from tests.support.world import World, empty_world

ISSUER, OTHER = certify("West Issuing"), certify("West Other")
ALICE, BOB = certify("alice", ISSUER, ca=False), certify("bob", OTHER, ca=False)
WEST = records.opaque("ptn", "west")


def row(der: bytes, source: str = "http://a.example/crl", **changed: object) -> EvidenceRecord:
    """Return evidence as a stored record."""
    digest = hashlib.sha256(der).hexdigest() if der else ""
    return records.evidence("west", source, der=der, sha256=digest, **changed)


def store(world: World, *rows: EvidenceRecord) -> None:
    """Store evidence."""
    with world.work.change() as stores:
        for one in rows:
            stores.evidence.store(one)


@pytest.fixture
def world() -> World:
    """Two CRLs of a partner are stored."""
    made = empty_world()
    store(made, row(crl_of(ISSUER)), row(crl_of(OTHER), "http://b.example/crl"))
    return made


def lists(evidence_cache: EvidenceCache) -> list[bytes]:
    """Return the digests of the loaded CRLs of both issuers."""
    evidence_index = evidence_cache.of(WEST)
    return [crl.sha256.encode() for leaf in (ALICE, BOB) for crl in evidence_index.crls_about(leaf.parsed)]


def test_an_empty_cache_knows_nothing(world: World) -> None:
    """An empty cache lets no certificate in if evidence is required."""
    assert lists(EvidenceCache(world.work)) == []


def test_evidence_is_loaded_and_kept(world: World) -> None:
    """`load` returns whether something changed; if not, the same index stays."""
    evidence_cache = EvidenceCache(world.work)
    assert evidence_cache.load(WEST)
    assert len(lists(evidence_cache)) == 2
    evidence_index = evidence_cache.of(WEST)
    assert not evidence_cache.load(WEST)
    assert evidence_cache.of(WEST) is evidence_index


def test_only_new_evidence_is_parsed(world: World) -> None:
    """A new CRL makes another index; the other CRL is the same object as before."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    before = evidence_cache.of(WEST)
    store(world, row(crl_of(ISSUER, 5, number=2)))
    assert evidence_cache.load(WEST)
    after = evidence_cache.of(WEST)
    assert after is not before
    (kept,) = after.crls_about(BOB.parsed)
    assert kept is before.crls_about(BOB.parsed)[0]
    (newer,) = after.crls_about(ALICE.parsed)
    assert newer.number == 2


def test_a_removed_crl_is_not_used(world: World) -> None:
    """A CRL that is not stored any more is not used any more."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    with world.work.change() as stores:
        stores.evidence.forget(WEST, EvidenceKind.CRL, "http://b.example/crl", "")
    assert evidence_cache.load(WEST)
    assert len(lists(evidence_cache)) == 1


def test_a_row_without_evidence_is_not_loaded(world: World) -> None:
    """A row without evidence is not loaded."""
    store(world, row(b"", "http://c.example/crl"))
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    assert len(lists(evidence_cache)) == 2


def test_answers_are_kept_by_certificate(world: World) -> None:
    """OCSP responses of several responders about one certificate are kept together."""
    about = ALICE.parsed.sha256
    answers = [
        row(text, f"http://{n}.example/", kind=EvidenceKind.OCSP, about=about)
        for n, text in enumerate((b"first", b"second"))
    ]
    store(world, *answers)
    evidence_cache = EvidenceCache(world.work)
    assert evidence_cache.load(WEST)
    assert set(evidence_cache.of(WEST).responses_about(ALICE.parsed)) == {b"first", b"second"}
    assert not evidence_cache.load(WEST)
    store(world, replace(answers[0], der=b"third", sha256=hashlib.sha256(b"third").hexdigest()))
    assert evidence_cache.load(WEST)
    assert set(evidence_cache.of(WEST).responses_about(ALICE.parsed)) == {b"third", b"second"}


def test_one_answer_may_be_about_several(world: World) -> None:
    """Equal bytes are loaded for each certificate that they are stored for."""
    evidence_cache = EvidenceCache(world.work)
    store(world, row(b"answer", kind=EvidenceKind.OCSP, about=ALICE.parsed.sha256))
    evidence_cache.load(WEST)
    store(world, row(b"answer", kind=EvidenceKind.OCSP, about=BOB.parsed.sha256))
    assert evidence_cache.load(WEST)
    assert evidence_cache.of(WEST).responses_about(BOB.parsed) == (b"answer",)


def test_a_failure_keeps_the_former_evidence_index(world: World) -> None:
    """If the database cannot be read, the older evidence stays."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    before = evidence_cache.of(WEST)
    world.work.broken = Unavailable("database-unavailable", "away")
    with pytest.raises(Unavailable):
        evidence_cache.load(WEST)
    assert evidence_cache.of(WEST) is before


def test_evidence_that_was_never_read_is_unusable(world: World) -> None:
    """Evidence that cannot be read at the start is unusable until it is read."""
    evidence_cache = EvidenceCache(world.work)
    assert not evidence_cache.of(WEST).has_unusable(ALICE.parsed)
    evidence_cache.mark_unread(WEST)
    assert evidence_cache.of(WEST).has_unusable(ALICE.parsed)
    assert evidence_cache.load(WEST)
    assert not evidence_cache.of(WEST).has_unusable(ALICE.parsed)
    evidence_index = evidence_cache.of(WEST)
    evidence_cache.mark_unread(WEST)
    assert evidence_cache.of(WEST) is evidence_index


def test_unusable_evidence_is_known(world: World) -> None:
    """An unusable CRL is known by its address, an unusable answer by its certificate."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    named = certify("carol", ISSUER, ca=False, extra=[crl_at("http://c.example/crl")])
    store(world, row(b"", "http://c.example/crl", unusable=True))
    assert evidence_cache.load(WEST)
    store(world, row(b"", kind=EvidenceKind.OCSP, about=BOB.parsed.sha256, unusable=True))
    assert evidence_cache.load(WEST)
    assert not evidence_cache.load(WEST)
    evidence_index = evidence_cache.of(WEST)
    assert [evidence_index.has_unusable(one.parsed) for one in (named, BOB, ALICE)] == [True, True, False]
    anchor = certify("Anchor", extra=[crl_at("http://c.example/crl")])
    assert evidence_index.has_unusable(ALICE.parsed, anchor.parsed)


def test_a_crl_that_is_not_stored_as_it_was_is_unusable(world: World) -> None:
    """Its row has no bytes, and a digest: the certificates that it may cover are refused; the last good one stays."""
    evidence_cache = EvidenceCache(world.work)
    named = certify("carol", ISSUER, ca=False, extra=[crl_at("http://c.example/crl")])
    store(world, records.evidence("west", "http://c.example/crl", der=b""))
    answer = {"kind": EvidenceKind.OCSP, "about": BOB.parsed.sha256}
    store(world, records.evidence("west", "http://c.example/", der=b"", **answer))
    assert evidence_cache.load(WEST)
    evidence_index = evidence_cache.of(WEST)
    assert [evidence_index.has_unusable(one.parsed) for one in (named, BOB, ALICE)] == [True, True, False]
    assert len(lists(evidence_cache)) == 2
    store(world, records.evidence("west", "http://b.example/crl", der=b""))
    assert evidence_cache.load(WEST)
    assert len(lists(evidence_cache)) == 2


class _Racing:
    """Changes the first row after each time that the rows were listed, so often; counts the reads."""

    def __init__(self, world: World, times: int, act: Callable[[int], None]) -> None:
        self.reads = 0
        self._read, self._times, self._act = world.work.read, times, act

    def __call__(self) -> object:
        self.reads += 1
        if self._times and self.reads % 2 == 0:
            self._times -= 1
            self._act(self.reads)
        return self._read()


NAMED = certify("carol", ISSUER, ca=False, extra=[crl_at("http://a.example/crl")])


def test_a_crl_that_is_replaced_while_it_is_loaded_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a revoked certificate would get in until the next load, if a proof is only preferred."""
    evidence_cache = EvidenceCache(world.work)
    racing = _Racing(world, 1, lambda number: store(world, row(crl_of(ISSUER, 5, number=number))))
    monkeypatch.setattr(world.work, "read", racing)
    assert evidence_cache.load(WEST)
    assert not evidence_cache.of(WEST).has_unusable(NAMED.parsed)
    assert [crl.number for crl in evidence_cache.of(WEST).crls_about(ALICE.parsed)] == [2]
    assert racing.reads == 5  # the list twice, the replaced row twice, and the other one once


def test_a_crl_that_is_replaced_again_and_again_is_unusable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the next load: the certificates that it may cover are refused, and the last good one stays."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    (before,) = evidence_cache.of(WEST).crls_about(ALICE.parsed)
    with monkeypatch.context() as raced:
        store(world, row(crl_of(ISSUER, 5, number=90)))
        act = _Racing(world, 9, lambda number: store(world, row(crl_of(ISSUER, 5, number=90 + number))))
        raced.setattr(world.work, "read", act)
        assert evidence_cache.load(WEST)
    assert evidence_cache.of(WEST).has_unusable(NAMED.parsed)
    assert evidence_cache.of(WEST).crls_about(ALICE.parsed) == (before,)
    assert evidence_cache.load(WEST)
    assert not evidence_cache.of(WEST).has_unusable(NAMED.parsed)


def test_a_row_that_is_removed_while_it_is_loaded_is_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one stays, and nothing is unusable."""
    evidence_cache = EvidenceCache(world.work)

    def remove(_: int) -> None:
        with world.work.change() as stores:
            stores.evidence.forget(WEST, EvidenceKind.CRL, "http://a.example/crl", "")

    monkeypatch.setattr(world.work, "read", _Racing(world, 1, remove))
    assert evidence_cache.load(WEST)
    assert not evidence_cache.of(WEST).has_unusable(NAMED.parsed)
    assert len(lists(evidence_cache)) == 1


def test_a_list_that_was_named_by_hand_may_be_about_everybody(world: World) -> None:
    """An unusable CRL that the operator added makes every status unknown."""
    evidence_cache = EvidenceCache(world.work)
    with world.work.change() as stores:
        stores.partners.add(records.partner("west", crl_urls=("http://hand.example/crl",)))
    store(world, row(b"", "http://hand.example/crl", unusable=True))
    evidence_cache.load(WEST)
    assert evidence_cache.of(WEST).has_unusable(ALICE.parsed)


def test_revocations_that_were_seen_are_at_hand(world: World) -> None:
    """A recorded revocation is found by issuer and serial number."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    key = hashlib.sha256(ISSUER.parsed.key_bits).hexdigest()
    seen = records.seen(key, ALICE.parsed.serial, ALICE.parsed.sha256)
    with world.work.change() as stores:
        stores.evidence.record_revocation(WEST, seen)
    assert evidence_cache.load(WEST)
    assert evidence_cache.of(WEST).find_recorded(ALICE.parsed, ISSUER.parsed) == seen
    assert evidence_cache.of(WEST).find_recorded(ALICE.parsed, OTHER.parsed) is None


def test_an_unreadable_crl_does_not_affect_others(world: World) -> None:
    """If a CRL does not parse, its last good version and all others stay."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    before = lists(evidence_cache)
    store(world, row(b"garbage"))
    assert evidence_cache.load(WEST)
    assert lists(evidence_cache) == before
    fresh = EvidenceCache(world.work)
    fresh.load(WEST)
    assert len(lists(fresh)) == len(before) - 1


def test_each_partner_has_its_own_index(world: World) -> None:
    """Evidence of one partner is not used for another."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    east = records.opaque("ptn", "east")
    assert not evidence_cache.of(east).crls_about(ALICE.parsed)
    assert evidence_cache.load(east)
    assert not evidence_cache.load(east)
    assert len(lists(evidence_cache)) == 2


def test_the_lists_are_those_that_were_stored(world: World) -> None:
    """The loaded CRLs have the stored content."""
    evidence_cache = EvidenceCache(world.work)
    evidence_cache.load(WEST)
    der = crl_of(ISSUER, 7, number=3)
    store(world, row(der))
    evidence_cache.load(WEST)
    (found,) = evidence_cache.of(WEST).crls_about(ALICE.parsed)
    assert found.number == parse_crl(der).number
