"""One run of Envoy, and its phase.

Not here: what is done with it (supervisor), and what of it is kept on disk (epochs).
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path

from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.process import Process


class Phase(Enum):
    """The phase of a run of Envoy. `FOUND`: an earlier gateway started it, and it is not decided yet whether it goes on."""

    FOUND = "found"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


class EnvoyRun:
    """One run of Envoy.

    Attributes:
        answered: when it was last known to work, in monotonic seconds.
        busy_until: until when it may be silent, because something was published; the same.
        ends_at: when it will be ended, if it drains.
        is_hung: whether it is killed because it does not answer.
    """

    def __init__(
        self, process: Process, epoch: int, folder: Path, started: float, phase: Phase = Phase.STARTING
    ) -> None:
        self.process = process
        self.pid = process.pid
        self.epoch = epoch
        self.folder = folder
        self.started = started
        self.admin = AdminClient(folder / "admin.sock")
        self.phase = phase
        self.answered = started
        self.ends_at: datetime | None = None
        self.busy_until = 0.0
        self.is_hung = False
