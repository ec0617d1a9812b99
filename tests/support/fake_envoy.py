"""An Envoy that only looks at its files: for tests of publishing, without a process.

envoy = FakeEnvoy(folder / "xds")
envoy.rejecting = True          # what is written from now on is refused, as Envoy counts it
FakeValidator().refusal = "…"   # `--mode validate` says no
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from doorward.core.errors import ConfigurationError, Fault
from doorward.enforcement.envoy.version import version_gauge


class FakeValidator:
    """The fake of `gateway.publishing.validation.Validator`."""

    def __init__(self) -> None:
        self.refusal = ""
        self.checked: list[Mapping[str, Any]] = []
        self.before: Callable[[], object] = lambda: None

    def check(self, rendering: Mapping[str, Any]) -> None:
        self.before()
        self.checked.append(rendering)
        if self.refusal:
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message=self.refusal)])


class FakeEnvoy:
    """The fake of a running Envoy's admin interface (`gateway.publishing.publisher.Admin`)."""

    def __init__(self, xds: Path) -> None:
        self.xds = xds
        self.rejecting = False
        self._accepted: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._rejected: Counter[str] = Counter()

    def statistics(self, pattern: str = "") -> Mapping[str, int]:
        del pattern
        figures: dict[str, int] = {}
        for file in sorted(self.xds.rglob("*.json")):
            figure, version = _figure(file), json.loads(file.read_bytes())["version_info"]
            if self._seen.get(figure) != version:
                self._seen[figure] = version
                if self.rejecting and self._accepted.get(figure) != version:
                    self._rejected[figure] += 1
                else:
                    self._accepted[figure] = version
            figures[f"{figure}.version"] = version_gauge(self._accepted.get(figure, ""))
            figures[f"{figure}.update_rejected"] = self._rejected[figure]
        return figures

    def resources(self, name: str) -> list[Any]:
        """What a file holds."""
        return list(json.loads((self.xds / name).read_bytes())["resources"])


def _figure(file: Path) -> str:
    name = file.stem
    return {
        "sds": f"sds.{name}",
        "rds": f"http.{name}.rds.{name}",
        "ecds": f"extension_config_discovery.network_filter.{name}",
    }.get(file.parent.name, "cluster_manager.cds" if name == "cds" else "listener_manager.lds")
