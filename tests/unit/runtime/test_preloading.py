"""What a role may need later is there before root is given up."""

from __future__ import annotations

import gc
import json
import sys
import weakref

import pytest

from doorward.core.errors import ConfigurationError
from doorward.runtime.preloading import (
    LATER,
    OBJECTS_BETWEEN_COLLECTIONS,
    keep_what_is_loaded,
    preload,
    preload_all,
)
from tests.support.commands import run_python


def test_everything_is_loaded() -> None:
    """Our own modules are imported, and those that libraries would import when they need them."""
    preload_all()
    assert {
        "doorward.gateway.door",
        "doorward.web.app",
        "doorward.runtime.serve",
        *LATER,
    } <= sys.modules.keys()


def test_the_packages_of_another_role_are_not_loaded() -> None:
    """They would cost memory: the dictionaries of password strength alone 12 MB."""
    script = (
        "import json, sys\n"
        "from doorward.runtime.preloading import preload_all\n"
        "preload_all({'doorward.web.serving', 'doorward.runtime.serve', 'uvicorn', 'zxcvbn'})\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    loaded = set(json.loads(run_python("-c", script, check=True).stdout))
    assert "doorward.gateway.door" in loaded
    assert not {"doorward.runtime.serve", "zxcvbn.matching", "uvicorn.loops.asyncio"} & loaded


def test_a_module_that_is_missing_is_said_at_once() -> None:
    """What could not be had later is a fault of the installation, named before root is given up."""
    with pytest.raises(ConfigurationError) as caught:
        preload(["json", "doorward.absent"])
    assert caught.value.code == "module-missing"
    assert "doorward.absent" in caught.value.detail
    assert caught.value.hint == "reinstall doorward"


def test_what_is_loaded_is_not_searched_for_garbage() -> None:
    """A role collects only what it made after its start, and less often than the interpreter by default."""
    usual, before = gc.get_threshold(), gc.get_freeze_count()
    try:
        gc.set_threshold(50_000)
        keep_what_is_loaded()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects()) < gc.get_freeze_count()
        assert gc.get_threshold() == OBJECTS_BETWEEN_COLLECTIONS
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)


class Circle:
    """An object that refers to itself: only a collection removes it."""

    def __init__(self) -> None:
        self.itself = self


def test_a_publication_causes_no_collection_of_all_objects() -> None:
    """Such a collection stops every thread. It finds circles all the same: the younger generations are enough for those."""
    usual = gc.get_threshold()
    full: list[int] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start" and about["generation"] == 2:
            full.append(1)

    gc.callbacks.append(note)
    try:
        keep_what_is_loaded()
        kept = [[number] for number in range(500_000)]
        assert not full
        circles = [weakref.ref(Circle()) for _ in range(50_000)]
        assert sum(one() is None for one in circles) > 40_000
        assert len(kept) == 500_000
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
        gc.set_threshold(*usual)
