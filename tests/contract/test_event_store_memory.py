"""The fake event store passes the same contract as the real ones."""

from __future__ import annotations

import pytest

from tests.contract.event_store import EventStoreContract
from tests.support.events import MemoryEventStore


class TestMemoryEventStore(EventStoreContract):
    """The contract, on the fake."""

    @pytest.fixture
    def store(self) -> MemoryEventStore:
        """An empty store."""
        return MemoryEventStore()
