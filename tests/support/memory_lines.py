"""The fake of the store of suspected clones."""

from __future__ import annotations

import builtins

from doorward.stores.line_protocols import SuspectedClone
from tests.support.memory_inventory import Store


class MemorySuspectedClones(Store):
    """The fake of `SuspectedCloneStore`."""

    def get(self, certificate_id: str) -> SuspectedClone | None:
        return self.state.suspected_clones.get(certificate_id)

    def save(self, suspicion: SuspectedClone) -> None:
        self.writable(suspicion.tenant).suspected_clones[suspicion.certificate_id] = suspicion

    def remove(self, certificate_id: str) -> bool:
        return self.writable().suspected_clones.pop(certificate_id, None) is not None

    def list(self, limit: int = 100) -> builtins.list[SuspectedClone]:
        found = self.state.suspected_clones.values()
        return sorted(found, key=lambda one: (-one.last_at.timestamp(), one.certificate_id))[:limit]

    def count(self) -> int:
        return len(self.state.suspected_clones)
