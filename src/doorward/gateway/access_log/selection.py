"""From a piece of the access log to blocks of sealed events: which lines are recorded singly, which are counted.

Not here: reading the file and storing the blocks (`ingest`), the meaning of a line (`lines`), the fast way from a line to
its leaf (`rendering`), the limits (`audit.counting`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from doorward.audit.block import BlockBuilder, SealedBlock
from doorward.audit.counting import EventLimiter
from doorward.audit.events import Event, Retention
from doorward.audit.leaf import SALT_BYTES
from doorward.core.entities import TENANT
from doorward.core.errors import DoorwardError
from doorward.gateway.access_log.counting import log_key
from doorward.gateway.access_log.lines import (
    AccessLine,
    build_access_line,
    load_access_line,
    malformed,
    sender_of,
)
from doorward.gateway.access_log.rendering import RequestRenderer
from doorward.stores.events import new_event
from doorward.stores.services import Services

BATCH_EVENTS = 1024
"""Events of one block."""
BATCH_BLOCKS = 2
"""Blocks of one transaction: some milliseconds, so a withdrawal does not wait long for it. A busy look finds a little more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedLines:
    """What becomes of the first lines of a piece.

    Args:
        blocks: the events that are recorded singly; none if there are no such events.
        end: how many bytes were read.
        limiter: with the counts of the other lines.
        refused: the lines that are logged, each with the key of its limit in the log; a line of the fast way is not
            parsed yet, because most of a flood's are not logged.
    """

    blocks: Sequence[SealedBlock]
    end: int
    limiter: EventLimiter
    refused: list[tuple[str, AccessLine | bytes]]


@dataclass(slots=True)
class _Block:
    """The block that is being made; refused requests of the fast way are kept as their lines."""

    at: datetime
    builder: BlockBuilder
    ids: list[str]
    refused: list[tuple[str, AccessLine | bytes]]


class LineSelector:
    """Selects and seals the lines of one gateway.

    Args:
        services: the use cases' ports.
        gateway_id: the gateway of the log.
    """

    def __init__(self, services: Services, gateway_id: str) -> None:
        self._services = services
        self._gateway_id = gateway_id
        self._renderer = RequestRenderer(gateway_id, TENANT)

    def select(self, data: bytes, limiter: EventLimiter, *, room: bool) -> SelectedLines:
        """Return what becomes of the first lines, as many as one transaction may have.

        Args:
            data: complete lines.
            limiter: is changed.
            room: False counts every line (the disk is nearly full).
        """
        now, left = self._services.clock.now(), data.count(b"\n") + 1
        blocks: list[SealedBlock] = []
        refused: list[tuple[str, AccessLine | bytes]] = []
        start = 0
        while start < len(data) and len(blocks) < BATCH_BLOCKS:
            most = min(BATCH_EVENTS, left)
            builder = BlockBuilder(TENANT, Retention.ACCESS, now, self._seeds())
            block = _Block(now, builder, self._services.new_ids("evt", most), refused)
            while start < len(data) and len(builder.ids) < most:
                end = data.find(b"\n", start)
                end = end if end >= 0 else len(data)
                line, start, left = data[start:end], end + 1, left - 1
                if not (room and self._take_fast(line, block)) and self._is_single(
                    line, limiter, now, room=room
                ):
                    self._take(line, block)
            if builder.ids:
                blocks.append(builder.build())
        return SelectedLines(blocks=blocks, end=min(start, len(data)), limiter=limiter, refused=refused)

    def build_event(self, line: AccessLine, at: datetime | None = None) -> Event:
        """Return the event of a line; if the catalogue refuses it, the event that the line could not be read."""
        try:
            return new_event(
                self._services, line.type, actor=line.actor, data=line.data, personal=line.personal, at=at
            )
        except DoorwardError as error:
            # The catalogue refused a value that came from a peer; one line must not stop all others.
            raw = repr((line.data, line.personal)).encode()
            spare = malformed(raw, self._gateway_id, error.code)
            return new_event(
                self._services, spare.type, actor="system", data=spare.data, personal=spare.personal, at=at
            )

    def _seeds(self) -> Iterator[bytes]:
        while True:
            yield self._services.random.token(SALT_BYTES)

    def _take_fast(self, line: bytes, block: _Block) -> bool:
        event_id = block.ids[len(block.builder.ids)]
        rendered = self._renderer.render(line, event_id, block.builder)
        if rendered is None:
            return False
        if rendered.refused:
            block.refused.append((rendered.certificate, line))
        return True

    def _is_single(self, line: bytes, limiter: EventLimiter, now: datetime, *, room: bool) -> bool:
        """Return whether the event of a line is recorded singly; otherwise it is counted, or needs no event."""
        sender = sender_of(load_access_line(line)) if line else None
        if sender is None:
            return False
        if room and not sender.limited:
            return True
        kind = sender.kind.value if room else f"{sender.kind.value}/disk-nearly-full"
        return limiter.admit(kind, sender.key, now, claimed=sender.claimed, room=room)

    def _take(self, line: bytes, block: _Block) -> None:
        """Add the event of a line on the ordinary way, if it needs one."""
        found = build_access_line(line, load_access_line(line), self._gateway_id)
        if found is None:
            return
        block.builder.seal(self.build_event(found, block.at))
        key = log_key(found)
        if key is not None:
            block.refused.append((key, found))
