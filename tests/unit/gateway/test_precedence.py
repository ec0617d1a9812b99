"""Urgent work takes precedence; other work waits for it, but not for ever."""

from __future__ import annotations

import threading
import time

import pytest

from doorward.gateway import precedence as module
from doorward.gateway.precedence import Precedence


def test_other_work_waits_until_urgent_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on as soon as the block ends, also if that fails."""
    monkeypatch.setattr(module, "LONGEST_SECONDS", 60.0)
    precedence, order, began = Precedence(), list[str](), threading.Event()

    def give_way() -> None:
        began.set()
        precedence.give_way()
        order.append("other")

    other = threading.Thread(target=give_way)
    with pytest.raises(OSError), precedence.taken():  # noqa: PT012  what runs before the failure matters
        other.start()
        assert began.wait(60)
        time.sleep(0.05)  # it is waiting now, or it will wait
        order.append("urgent")
        raise OSError
    other.join(30)
    assert order == ["urgent", "other"]


def test_other_work_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that takes very long does not stop the door: all judgements of one block wait no longer than one."""
    monkeypatch.setattr(module, "LONGEST_SECONDS", 0.5)
    precedence = Precedence()
    with precedence.taken():
        precedence.give_way()
        monkeypatch.setattr(module, "LONGEST_SECONDS", 60.0)
        began = time.monotonic()
        precedence.give_way()  # the longest time of this block has passed
    assert time.monotonic() - began < 30
