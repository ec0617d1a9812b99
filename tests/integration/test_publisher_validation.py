"""The check with the real Envoy: what it takes, what it refuses, and when it cannot be asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.enforcement.envoy.resources import Resources, static_rendering
from doorward.gateway.publishing.validation import Validator
from tests.support.door_site import APPS, DoorSite
from tests.support.envoy_process import ENVOY


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """The resources of a small site with existing certificates."""
    return DoorSite(tmp_path, 9000).resources(APPS)


def test_a_good_configuration_passes(resources: Resources, tmp_path: Path) -> None:
    """Also by a descriptor of the binary, as after privileges were dropped."""
    rendering = static_rendering(resources)
    Validator(Path(ENVOY), tmp_path / "check").check(rendering)
    descriptor = os.open(ENVOY, os.O_RDONLY)
    try:
        Validator(descriptor, tmp_path / "check").check(rendering)
    finally:
        os.close(descriptor)
    assert (tmp_path / "check" / "check.json").stat().st_mode & 0o077 == 0


def test_a_missing_key_is_noticed_before_it_matters(resources: Resources, tmp_path: Path) -> None:
    """Certificates and keys are read too."""
    (tmp_path / "server-1.key").unlink()
    with pytest.raises(ConfigurationError, match=r"server-1\.key"):
        Validator(Path(ENVOY), tmp_path / "check").check(static_rendering(resources))


def test_an_unknown_word_is_refused(resources: Resources, tmp_path: Path) -> None:
    """A typing error never drops a control."""
    rendering = static_rendering(resources)
    rendering["static_resources"]["listeners"][0]["conection_limit"] = 1
    with pytest.raises(ConfigurationError, match="conection_limit"):
        Validator(Path(ENVOY), tmp_path / "check").check(rendering)


def test_who_cannot_be_asked_is_unavailable(resources: Resources, tmp_path: Path) -> None:
    """No binary, no verdict: that is neither yes nor a fault of the configuration."""
    with pytest.raises(Unavailable) as caught:
        Validator(tmp_path / "nothing", tmp_path / "check").check(static_rendering(resources))
    assert caught.value.code == "envoy-check-failed"
