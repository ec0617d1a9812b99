"""One run of Envoy, and its phase.

Not here: what is done with it (supervisor), and what of it is kept on disk (epochs).
"""

from __future__ import annotations

import math
import signal
from datetime import datetime
from enum import Enum
from pathlib import Path

from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.process import Child, Process, await_end


class Phase(Enum):
    """The phase of a run of Envoy. `FOUND`: an earlier gateway started it, and it is not decided yet whether it goes on."""

    FOUND = "found"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


class EnvoyRun:
    """One run of Envoy.

    Attributes:
        answered: when it was last known to work, in monotonic seconds; minus infinity if an earlier gateway knew.
        busy_until: until when it may be silent, because something was published; the same.
        ends_at: when it will be ended, if it drains.
        is_hung: whether it is killed because it does not answer.
        ended_unasked: whether it had ended when it was to be asked to end.
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
        self.answered = -math.inf if phase is Phase.FOUND else started
        self.ends_at: datetime | None = None
        self.busy_until = 0.0
        self.is_hung = False
        self.ended_unasked = False

    def ask_to_end(self) -> None:
        """Send SIGTERM. Only once: while Envoy ends it handles no signal, and a second one would cut its log short."""
        self.ended_unasked = self.process.has_ended()
        self.process.send(signal.SIGTERM)

    def await_end(self, seconds: float) -> int | None:
        """Wait for the end, and kill the process after so many seconds; return its status, minus the signal if one ended it.

        The kernel tells the status to the gateway alone that started this Envoy. To another one it counts as 0 if the process ended
        after it was asked, and as unknown (None) if it ended before.
        """
        in_time = await_end(self.process, seconds)
        if isinstance(self.process, Child):
            status = self.process.status
        elif in_time:
            status = None if self.ended_unasked else 0
        else:
            status = -signal.SIGKILL
        self.process.close()
        return status
