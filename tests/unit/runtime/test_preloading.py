"""What a role may need later is there before root is given up."""

from __future__ import annotations

import sys

import pytest

from doorward.core.errors import ConfigurationError
from doorward.runtime.preloading import LATER, preload, preload_all


def test_everything_is_loaded() -> None:
    """Our own modules are imported, and those that libraries would import when they need them."""
    preload_all()
    assert {
        "doorward.gateway.door",
        "doorward.web.app",
        "doorward.runtime.serve",
        *LATER,
    } <= sys.modules.keys()


def test_a_module_that_is_missing_is_said_at_once() -> None:
    """What could not be had later is a fault of the installation, named before root is given up."""
    with pytest.raises(ConfigurationError) as caught:
        preload(["json", "doorward.absent"])
    assert caught.value.code == "module-missing"
    assert "doorward.absent" in caught.value.detail
    assert caught.value.hint == "reinstall doorward"
