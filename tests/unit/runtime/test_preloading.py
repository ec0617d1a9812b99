"""What a role may need later is there before root is given up."""

from __future__ import annotations

import gc
import json
import sys

import pytest

from doorward.core.errors import ConfigurationError
from doorward.runtime.preloading import LATER, keep_what_is_loaded, preload, preload_all
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
    """A role collects as the interpreter does by default, but only what it made after its start."""
    usual, before = gc.get_threshold(), gc.get_freeze_count()
    try:
        gc.set_threshold(50_000)
        keep_what_is_loaded()
        assert gc.get_freeze_count() > before
        assert len(gc.get_objects()) < gc.get_freeze_count()
        assert gc.get_threshold() == (700, 10, 10)
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)
