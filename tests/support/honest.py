"""What must go on while a door is attacked or its disk is full: honest requests, and withdrawals of access."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Self

from doorward.directory.principals import resume, suspend
from tests.support.doorway import ACTOR
from tests.support.house import House


class Withdrawals:
    """Suspends and resumes a person and revokes certificates, twice a second, until the block ends."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            for change in (suspend, resume):
                began = time.monotonic()
                try:
                    change(self._house.services, "mallory", actor=ACTOR)
                except Exception as error:  # noqa: BLE001  # every failure is what is looked for
                    self.failures.append(repr(error))
                self.seconds.append(time.monotonic() - began)


class Honest:
    """Sends a request each quarter of a second on connections of its own."""

    def __init__(self, house: House, identity: object) -> None:
        self._house, self._identity = house, identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = self.answered = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self.sent += 1
            with suppress(OSError):
                self.answered += self._house.get(self._identity, f"/honest/{self.sent}").status == 200  # type: ignore[arg-type]
