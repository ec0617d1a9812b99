"""What a browser was asked: found once, by its holder, in time, and bounded."""

from __future__ import annotations

import pytest

from doorward.directory.factors import pending
from doorward.directory.factors.pending import LIFETIME, PER_HOLDER, PendingTable, Purpose
from tests.support.ports import NOON, FakeRandom

PASSKEY, APP = Purpose.CHECK_PASSKEY, Purpose.ENROL_TOTP


def test_a_question_is_taken_once_by_its_holder() -> None:
    """Not by another holder, not for another purpose, not twice."""
    table, random = PendingTable(), FakeRandom()
    name = table.put(random, "crt_a", PASSKEY, b"secret", NOON)
    assert table.take(name, "crt_b", PASSKEY, NOON) is None
    assert table.look(name, "crt_a", PASSKEY, NOON) == b"secret"
    assert table.take(name, "crt_a", PASSKEY, NOON) == b"secret"
    assert table.take(name, "crt_a", PASSKEY, NOON) is None
    name = table.put(random, "crt_a", PASSKEY, b"secret", NOON)
    assert table.take(name, "crt_a", APP, NOON) is None


def test_a_question_is_over_after_five_minutes() -> None:
    """It is gone then."""
    table = PendingTable()
    name = table.put(FakeRandom(), "crt_a", PASSKEY, b"secret", NOON)
    assert table.look(name, "crt_a", PASSKEY, NOON + LIFETIME) is None
    assert table.look(name, "crt_a", PASSKEY, NOON) is None


def test_one_holder_pushes_out_only_their_own() -> None:
    """The oldest of the holder makes room, and another's question stays."""
    table, random = PendingTable(), FakeRandom()
    other = table.put(random, "crt_b", PASSKEY, b"other", NOON)
    names = [table.put(random, "crt_a", PASSKEY, b"mine", NOON) for _ in range(PER_HOLDER + 2)]
    kept = [table.look(name, "crt_a", PASSKEY, NOON) is not None for name in names]
    assert kept == [False, False] + [True] * PER_HOLDER
    assert table.look(other, "crt_b", PASSKEY, NOON) == b"other"


def test_holders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder who asked longest ago makes room."""
    monkeypatch.setattr(pending, "HOLDERS", 2)
    table, random = PendingTable(), FakeRandom()
    names = {holder: table.put(random, holder, PASSKEY, b"s", NOON) for holder in ("crt_a", "crt_b", "crt_c")}
    found = [table.look(name, holder, PASSKEY, NOON) is not None for holder, name in names.items()]
    assert found == [False, True, True]
