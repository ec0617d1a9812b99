"""The fake event store keeps the contract that the real ones keep."""

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
