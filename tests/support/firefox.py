"""Firefox without a screen, driven over Marionette, its own protocol: no outside driver is needed.

with firefox(door, alice) as browser:
    browser.open("https://app.test.localhost:8443/page")

Marionette speaks JSON in netstrings: `LENGTH:[type, number, name, parameters]`, answered by
`[1, number, error, result]`. Firefox's software authenticator wants two preferences (see PREFERENCES).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from doorward.demo.ports import free_port
from tests.support.doorway import Doorway, Identity
from tests.support.nss import NssStore
from tests.support.screen import screenshot_folder

SECONDS = 120.0
PREFERENCES: dict[str, object] = {
    "security.default_personal_cert": "Select Automatically",
    # Both, or navigator.credentials.create() hangs or is refused.
    "security.webauth.webauthn_enable_softtoken": True,
    "security.webauth.webauthn_enable_usbtoken": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}


class MarionetteError(Exception):
    """Firefox refused a command."""


class Firefox:
    """A running Firefox with one window."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._socket = self._connect(port)
        self._stream = self._socket.makefile("rb")
        self._number = 0
        self._read()  # the greeting
        self.command("WebDriver:NewSession")
        limits = {"script": SECONDS * 1000, "pageLoad": SECONDS * 1000, "implicit": 0}
        self.command("WebDriver:SetTimeouts", **limits)

    def _connect(self, port: int) -> socket.socket:
        limit = time.monotonic() + SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), SECONDS)
            except OSError:
                if self._process.poll() is not None or time.monotonic() > limit:
                    raise
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)

    def _read(self) -> Any:
        head = b""
        while not head.endswith(b":"):
            more = self._stream.read(1)
            if not more:
                raise MarionetteError("Firefox ended")
            head += more
        return json.loads(self._stream.read(int(head[:-1])))

    def command(self, command: str, /, **parameters: Any) -> Any:
        """Send a command and return its result."""
        self._number += 1
        text = json.dumps([0, self._number, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(text), text))
        answer = self._read()
        if answer[2]:
            raise MarionetteError(f"{command}: {answer[2].get('error')}: {answer[2].get('message')}")
        return answer[3]

    def open(self, url: str) -> None:
        """Open a page and wait for its load event."""
        self.command("WebDriver:Navigate", url=url)

    @property
    def url(self) -> str:
        """The address of the page."""
        return str(self.command("WebDriver:GetCurrentURL")["value"])

    def text(self) -> str:
        """Return what a person reads."""
        return str(self.script("return document.body.innerText"))

    def script(self, body: str, *arguments: Any) -> Any:
        """Run the body of a function in the page and return its value; a promise is waited for."""
        answer = self.command("WebDriver:ExecuteScript", script=body, args=list(arguments), sandbox=None)
        return answer["value"]

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true in the page that is open then, also across navigations."""
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit:
            with suppress(MarionetteError):  # the page is just being replaced
                if self.script(f"return Boolean({condition})"):
                    return
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        raise AssertionError(f"{condition} did not come true on {self.url}: {self.text()[:400]}")

    def click(self, selector: str) -> None:
        """Click on the first element of a selector."""
        found = self.command("WebDriver:FindElement", using="css selector", value=selector)["value"]
        self.command("WebDriver:ElementClick", id=next(iter(found.values())))

    def type(self, selector: str, text: str) -> None:
        """Type into the first element of a selector."""
        found = self.command("WebDriver:FindElement", using="css selector", value=selector)["value"]
        self.command("WebDriver:ElementSendKeys", id=next(iter(found.values())), text=text)

    def authenticator(self) -> str:
        """Plug a virtual authenticator in; return its id."""
        made = self.command(
            "WebAuthn:AddVirtualAuthenticator",
            protocol="ctap2",
            transport="internal",
            hasResidentKey=True,
            hasUserVerification=True,
            isUserConsenting=True,
            isUserVerified=True,
        )
        return str(made["value"] if isinstance(made, dict) else made)

    def shoot(self, name: str) -> None:
        """Keep a picture of the page."""
        folder = screenshot_folder()
        if folder is not None:
            picture = self.command("WebDriver:TakeScreenshot", full=True)["value"]
            (folder / f"{name}-firefox.png").write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        """Quit."""
        with suppress(MarionetteError, OSError):
            self.command("Marionette:Quit", flags=["eForceQuit"])
        self._stream.close()
        self._socket.close()


@contextmanager
def firefox(door: Doorway, who: Identity | None = None) -> Iterator[Firefox]:
    """Start Firefox with one certificate, or none; it ends with the block."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        profile = home / "profile"
        store = NssStore(profile, door.root)
        if who is not None:
            store.add(who)
        port = free_port()
        preferences = PREFERENCES | {"marionette.port": port}
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()
        ]
        (profile / "user.js").write_text("\n".join(lines))
        process = subprocess.Popen(
            ["firefox-esr", "-headless", "-marionette", "-no-remote", "-profile", str(profile)],
            env={**os.environ, "HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(_end, process)
        browser = Firefox(port, process)
        stack.callback(browser.close)
        yield browser


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)
