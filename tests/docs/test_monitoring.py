"""The alert rules and the dashboard: promtool accepts them, and they use only metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from doorward.runtime.compose import Installation
from doorward.runtime.metrics import InstallationMetrics
from tests.support.doorway import founded, quick_keys

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
PATIENCE_SECONDS = 600
"""Three hundred times as long as promtool takes: only a checker that never ends is stopped."""
NAME = re.compile(r"doorward_[a-z_]+")
SUFFIX = re.compile(r"_(bucket|sum|count|total)$")


def promtool(*arguments: str) -> str:
    """Run Prometheus' own checker in the folder; its words if it is not content."""
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_accepts_the_files() -> None:
    """The rules, the part of a configuration, and the rules' own tests: each alert fires, and none while all is well."""
    assert promtool("check", "rules", "alerts.yml") == ""
    assert promtool("check", "config", "--syntax-only", "prometheus.yml") == ""
    assert promtool("test", "rules", "alerts_test.yml") == ""


@pytest.fixture
def names() -> set[str]:
    """The names of all metrics."""
    with quick_keys(), founded(trust_domain="corp.example") as made:
        return {one.name for one in _metrics(made).collect()}


def _metrics(installation: Installation) -> InstallationMetrics:
    return InstallationMetrics(installation.services, installation.event_log)


def test_only_metrics_that_exist_are_used(names: set[str]) -> None:
    """A metric that is renamed would silence its alert; a metric that no picture shows is forgotten."""
    rules = (FOLDER / "alerts.yml").read_text()
    pictures = json.dumps(_expressions(json.loads((FOLDER / "dashboard.json").read_text())))
    conditional = {"doorward_checkpoint_timestamp_seconds"}  # only once there is a checkpoint
    for text in (rules, pictures):
        used = {SUFFIX.sub("", one) for one in NAME.findall(text)}
        assert used - names - conditional == set()
    shown = {SUFFIX.sub("", one) for one in NAME.findall(rules + pictures)}
    hidden = {"doorward_build", "doorward_gateway_seen_timestamp_seconds"}
    assert names - shown - hidden - {"doorward_first_certificate_end_timestamp_seconds"} == set()


def _expressions(board: Any) -> list[str]:
    panels = board["panels"]
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in panels]
    assert len(set(places)) == len(panels)
    assert len({one["id"] for one in panels}) == len(panels)
    return [target["expr"] for one in panels for target in one["targets"]]
