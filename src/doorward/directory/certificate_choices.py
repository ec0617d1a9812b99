"""Another certificate: note that a person wants to be asked again.

The notes are bounded, in memory: the same one at most once in ten seconds, and so many of all in a minute. A page asks for it,
and strangers could ask again and again; those with a good certificate have a share of their own.

Not here: what gateways do about it (gateway.connections.one_time_refusals).
"""

from __future__ import annotations

import threading
from collections import deque

from doorward.core.errors import RequestRefused
from doorward.stores.certificate_choice import CHOICE_LIFETIME, CertificateChoice
from doorward.stores.change_result import ChangeResult
from doorward.stores.records import ChangeKind
from doorward.stores.services import Services

WINDOW_SECONDS = 60.0
MOST_OF_STRANGERS, MOST_OF_HOLDERS = 60, 300
"""Notes in a minute."""


class CertificateChoiceRecorder:
    """Notes choices for one process; safe between threads.

    Args:
        services: the ports of this process.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._noted: dict[bool, deque[tuple[float, CertificateChoice]]] = {True: deque(), False: deque()}

    def record(self, choice: CertificateChoice, *, good: bool) -> ChangeResult[None]:
        """Note a choice.

        Args:
            choice: what is to be shown no more.
            good: whether the connection was judged good.

        Returns:
            The number of the change; the newest one if the same choice was noted a moment ago.

        Raises:
            RequestRefused: `too-many-choices`.
        """
        if not self._admits(choice, good=good):
            with self._services.work.read() as stores:
                return ChangeResult(value=None, seq=stores.changes.head())
        with self._services.work.change(traffic=True) as stores:
            seq = stores.changes.note(ChangeKind.CHOICE, choice.subject, self._services.clock.now())
        return ChangeResult(value=None, seq=seq)

    def _admits(self, choice: CertificateChoice, *, good: bool) -> bool:
        now = self._services.clock.monotonic()
        with self._lock:
            noted = self._noted[good]
            while noted and now - noted[0][0] >= WINDOW_SECONDS:
                noted.popleft()
            if any(one == choice and now - at < CHOICE_LIFETIME.total_seconds() for at, one in noted):
                return False
            if len(noted) >= (MOST_OF_HOLDERS if good else MOST_OF_STRANGERS):
                raise RequestRefused(
                    "too-many-choices",
                    "too many people ask for another certificate just now",
                    hint="close all windows of the browser, then open the application again",
                    retry_after_seconds=max(1, round(noted[0][0] + WINDOW_SECONDS - now)),
                )
            noted.append((now, choice))
            return True
