"""Real browsers without a screen, each with a certificate store of its own: Chromium by playwright.

with chromium(door, alice) as browser:
    browser.open("https://app.test.localhost:8443/page")
    browser.page.get_by_role("link", name="Continue").click()

Firefox is in `tests.support.firefox`; both have `open`, `text` and `shoot`. Screenshots go to the folder of the
environment variable DOORWARD_SCREENSHOTS; without it none are made.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, CDPSession, Page, expect, sync_playwright

from tests.support.doorway import DOMAIN, Doorway, Identity
from tests.support.nss import NssStore, Selection, chosen_by_itself
from tests.support.screen import Screen, screenshot_folder

MILLISECONDS = 60_000
"""For each step: a machine under load is slow, and a step that waits for nothing takes no time."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    # As the Fetch standard says and Firefox does; Chromium 150 sends certificates with preflights by default.
    "--enable-features=OmitCorsClientCert",
)
RELOADS, RELOAD_MILLISECONDS = 100, 100
SERIOUS = {"serious", "critical"}
DESKTOP, PHONE = (1280, 800), (390, 844)


@dataclass(slots=True, kw_only=True)
class Authenticator:
    """A virtual authenticator of Chromium, with keys that live in it and a user whom it verifies."""

    session: CDPSession
    id: str

    def credentials(self) -> list[dict[str, Any]]:
        """Return its keys as the DevTools protocol has them."""
        found = self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        return list(found["credentials"])

    def verify_user(self, *, succeeds: bool) -> None:
        """Say whether it recognises its user from here on: a wrong finger, a forgotten PIN."""
        wanted = {"authenticatorId": self.id, "isUserVerified": succeeds}
        self.session.send("WebAuthn.setUserVerified", wanted)

    def remove(self) -> None:
        """Take it off."""
        self.session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self.id})


@dataclass(slots=True, kw_only=True)
class Chromium:
    """A running Chromium; `page` is its one open page."""

    launch: Callable[[], BrowserContext]
    store: NssStore
    selection: Selection
    context: BrowserContext = field(init=False)
    page: Page = field(init=False)
    faults: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start it; `faults` gathers what scripts of its pages complain about."""
        self.context = self.launch()
        self.context.set_default_timeout(MILLISECONDS)
        self.page = self.context.pages[0]
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "console",
            lambda said: (
                self.faults.append(said.text)
                if said.type == "error" and "Failed to load resource" not in said.text
                else None
            ),
        )

    def stop(self) -> None:
        """End it."""
        self.context.close()

    def restart(self) -> None:
        """End it and start it again with the same profile: it reads its store of certificates when it starts."""
        self.stop()
        self.start()

    def open(self, url: str) -> None:
        """Open a page and wait for its load event."""
        self.page.goto(url)

    def begin(self, url: str) -> None:
        """Begin to open a page, and wait for nothing: the browser may ask something first."""
        self.page.evaluate("url => { setTimeout(() => { location.href = url; }); }", url)

    def text(self) -> str:
        """Return what a person reads."""
        return self.page.locator("body").inner_text()

    def authenticator(
        self, *, transport: Literal["internal", "usb", "hybrid"] = "internal", resident: bool = True
    ) -> Authenticator:
        """Plug a virtual authenticator in; it confirms by itself that a person is there."""
        session = self.context.new_cdp_session(self.page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": resident,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return Authenticator(session=session, id=made["authenticatorId"])

    def shoot(self, name: str) -> None:
        """Keep four pictures of the page: light and dark, desktop and phone."""
        folder = screenshot_folder()
        if folder is None:
            return
        for size, (width, height) in (("desktop", DESKTOP), ("phone", PHONE)):
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                self.page.screenshot(path=folder / f"{name}-{size}-{scheme}.png", full_page=True)
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": DESKTOP[0], "height": DESKTOP[1]})

    def barriers(self) -> list[str]:
        """Return what axe-core finds serious or critical on this page, in both themes."""
        found: list[str] = []
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for one in Axe().run(self.page).response["violations"]:
                if one["impact"] in SERIOUS:
                    places = "; ".join(str(node["target"]) for node in one["nodes"][:5])
                    found.append(f"{self.page.url} {scheme}: {one['id']}: {one['help']} at {places}")
        self.page.emulate_media(color_scheme="light")
        return found

    def select(self, name: str) -> None:
        """Have the browser take the certificate of that name when it chooses the next time, and wait until it knows."""
        self.selection.take(name)
        page = self.context.new_page()
        page.goto("chrome://policy")
        known = page.get_by_text(re.compile(rf"CN\W+{name}\b"))
        for _ in range(RELOADS):
            page.locator("#reload-policies").click()
            if known.count():
                break
            page.wait_for_timeout(RELOAD_MILLISECONDS)
        page.close()

    def press_until(self, selector: str, *, most: int = 60) -> None:
        """Press Tab until the element of that selector has the focus, as a person without a mouse."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("wanted => document.activeElement?.matches(wanted) ?? false", selector):
                return
        raise AssertionError(f"{selector} cannot be reached with the Tab key on {self.page.url}")


@contextmanager
def chromium(
    door: Doorway, who: Identity | None = None, *, also: Sequence[Identity] = (), on: Screen | None = None
) -> Iterator[Chromium]:
    """Start Chromium; the browser and its store end with the block.

    Args:
        door: its root is trusted, and a certificate is chosen without a dialog on its hosts.
        who: the certificate in the store; None leaves the store without one.
        also: further ones.
        on: a screen to appear on; then the browser asks which certificate to show, as a person's does.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        store = NssStore(home / ".pki" / "nssdb", door.root)
        for one in (*([who] if who else []), *also):
            store.add(one)
        pattern = f"https://[*.]{DOMAIN}:{door.port}"
        selection = stack.enter_context(chosen_by_itself(pattern)) if on is None else Selection(pattern)
        playwright = stack.enter_context(sync_playwright())
        launch = partial(
            playwright.chromium.launch_persistent_context,
            home / "profile",
            executable_path="/usr/bin/chromium",
            headless=on is None,
            args=FLAGS,
            env={**(os.environ if on is None else on.environment), "HOME": str(home)},
            viewport={"width": DESKTOP[0], "height": DESKTOP[1]},
            timeout=MILLISECONDS,
            accept_downloads=True,
        )
        browser = Chromium(launch=launch, store=store, selection=selection)
        browser.start()
        stack.callback(browser.stop)
        expect.set_options(timeout=MILLISECONDS)
        yield browser
