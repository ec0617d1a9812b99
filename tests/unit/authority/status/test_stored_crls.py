"""Whether the stored CRLs are those that were signed, at one look and at many."""

from __future__ import annotations

import pytest

from doorward.authority.status.crls import publish_crls
from doorward.authority.status.stored_crls import AGAIN_SECONDS, StoredCrls
from doorward.core.errors import IntegrityError, NotFound
from tests.support.refusals import refused
from tests.support.world import empty_world, found_world


@pytest.fixture
def world():
    """A founded authority."""
    return found_world(people=(), document="")


def damage(world):
    """Replace every stored byte; return what was there."""
    with world.work.change() as stores:
        pieces = stores.status.writable().crl_pieces
        former = dict(pieces)
        pieces.update(dict.fromkeys(pieces, b"damage"))
    return former


def repair(world, former):
    """Put back what `damage` replaced."""
    with world.work.change() as stores:
        stores.status.writable().crl_pieces.update(former)


def test_a_damaged_list_is_seen_at_the_first_look(world):
    """That of the root too."""
    StoredCrls().check(world.services)
    damage(world)
    with refused(IntegrityError, "crl-damaged"):
        StoredCrls().check(world.services)
    publish_crls(world.services)  # the list of the issuing authority is whole again, that of the root is not
    with refused(IntegrityError, "crl-damaged"):
        StoredCrls().check(world.services)


def test_a_list_that_was_whole_is_read_again_after_ten_minutes(world):
    """Damage that came after a look is found then, and the look after it finds it again."""
    crls = StoredCrls()
    crls.check(world.services)
    damage(world)
    world.clock.turn(seconds=AGAIN_SECONDS - 1)
    crls.check(world.services)
    world.clock.turn(seconds=1)
    for _ in range(2):
        with refused(IntegrityError, "crl-damaged"):
            crls.check(world.services)


def test_a_new_list_is_read_at_the_next_look(world):
    """Its number is another one; nothing is remembered about it."""
    crls = StoredCrls()
    crls.check(world.services)
    publish_crls(world.services)
    damage(world)
    with refused(IntegrityError, "crl-damaged"):
        crls.check(world.services)


def test_a_list_that_was_damaged_is_read_at_each_look(world):
    """So a repair is seen at once."""
    crls = StoredCrls()
    former = damage(world)
    with refused(IntegrityError, "crl-damaged"):
        crls.check(world.services)
    repair(world, former)
    crls.check(world.services)


def test_before_the_founding():
    """There is no root."""
    with refused(NotFound, "not-founded"):
        StoredCrls().check(empty_world().services)
