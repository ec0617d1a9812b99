"""Choosing another certificate: record in the change sequence that the browser should ask the person again.

The number of entries is limited, in memory: the same choice once in ten seconds, and a number in total each minute. The
request needs no good certificate, so anybody could repeat it; callers with a good certificate have a limit of their own.

Not here: the effect on gateways (gateway.connections.one_time_refusals).
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
"""Choices recorded in a minute."""


class CertificateChoiceRecorder:
    """Records choices for one process; safe between threads.

    Args:
        services: the ports of this process.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._noted: dict[bool, deque[tuple[float, CertificateChoice]]] = {True: deque(), False: deque()}

    def record(self, choice: CertificateChoice, *, good: bool) -> ChangeResult[None]:
        """Record a choice.

        Args:
            choice: the certificate that the person no longer wants to use.
            good: whether the connection was judged good.

        Returns:
            The number of the change; the newest number if the same choice was recorded in the last ten seconds.

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
                    "too many people asked for another certificate in the last minute",
                    hint="close all windows of the browser, then open the application again",
                    retry_after_seconds=max(1, round(noted[0][0] + WINDOW_SECONDS - now)),
                )
            noted.append((now, choice))
            return True
