"""A screen that no one sees: an X server, a window manager, and a hand on the keyboard.

with screen() as one, chromium(door, alice, also=[bob], on=one) as browser:
    browser.begin("https://app.test.localhost:8443/page")
    one.answer("Return")

A browser without a screen shows no dialog of its own; here it does, and the page behind is shaded.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

SECONDS = 60.0
STEP_SECONDS = 0.1
AGAIN_SECONDS = 2.0
"""After which keys that a dialog did not take are pressed again."""

CORNER, SHADED = (20, 880), 128
"""A place on the page that no dialog covers; below this grey level, of 255, a dialog shades it."""


def screenshot_folder() -> Path | None:
    """Return where screenshots go, or None if none are wanted."""
    named = os.environ.get("DOORWARD_SCREENSHOTS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Screen:
    """One display.

    Args:
        display: as X names it, `:7`.
    """

    def __init__(self, display: str) -> None:
        self.display = display

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a program that is to appear here."""
        return {**os.environ, "DISPLAY": self.display}

    def asks(self) -> bool:
        """Return whether the browser shows a dialog: it shades the page below it, which is light otherwise."""
        wanted = (
            "import",
            "-window",
            "root",
            "-crop",
            f"1x1+{CORNER[0]}+{CORNER[1]}",
            "-depth",
            "8",
            "gray:-",
        )
        found = self._run(*wanted)
        return bool(found) and found[0] < SHADED

    def wait(self, what: str, happened: Callable[[], bool]) -> None:
        """Wait until something happened; keep a picture of the screen if it does not."""
        limit = time.monotonic() + SECONDS
        while not happened():
            if time.monotonic() > limit:
                raise AssertionError(f"{what}: not within {SECONDS:g} s; the screen is in {self.shoot(what)}")
            time.sleep(STEP_SECONDS)

    def answer(self, *keys: str) -> None:
        """Wait for a dialog and press keys in it until it has gone: in its first half second Chromium takes none."""
        self.wait("dialog shown", self.asks)
        pressed = 0.0

        def gone() -> bool:
            nonlocal pressed
            if not self.asks():
                return True
            if time.monotonic() - pressed > AGAIN_SECONDS:
                self._run("xdotool", "key", *keys)
                pressed = time.monotonic()
            return False

        self.wait("dialog gone", gone)

    def shoot(self, name: str) -> Path:
        """Keep a picture of the whole screen."""
        folder = screenshot_folder() or Path(tempfile.gettempdir())
        file = folder / f"screen-{name.replace(' ', '-')}.png"
        self._run("import", "-window", "root", str(file))
        return file

    def _run(self, *command: str) -> bytes:
        environment = self.environment
        return subprocess.run(
            command, check=True, capture_output=True, env=environment, timeout=SECONDS
        ).stdout


@contextmanager
def screen() -> Iterator[Screen]:
    """Start an X server that finds a free number itself, and a window manager; both end with the block."""
    with ExitStack() as stack:
        reading, writing = os.pipe()
        server = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        stack.enter_context(_running(server, keeping=writing))
        os.close(writing)
        with os.fdopen(reading) as told:
            one = Screen(f":{told.readline().strip()}")
        stack.enter_context(_running(["openbox"], environment=one.environment))
        yield one


@contextmanager
def _running(
    command: list[str], *, environment: dict[str, str] | None = None, keeping: int | None = None
) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env=environment,
        pass_fds=() if keeping is None else (keeping,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)
