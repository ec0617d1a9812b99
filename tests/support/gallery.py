"""Pages in Chromium without a network: each request is answered by a function, so that every page can be looked at.

with gallery(answer) as browser:
    browser.open("https://portal.corp.example:8443/factors")
    assert browser.barriers() == []
    browser.shoot("factors")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, Request, Route, sync_playwright

from tests.support.browser import DESKTOP, FLAGS, MILLISECONDS, Chromium

Shown = tuple[int, dict[str, str], bytes]
Answer = Callable[[str, str, Request], Shown]
"""From method, path with query, and the request to status, header fields and body."""


@contextmanager
def gallery(answer: Answer) -> Iterator[Chromium]:
    """Start Chromium; what it asks for is answered by `answer`, whatever the host."""

    def handle(route: Route) -> None:
        parts = urlsplit(route.request.url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        status, headers, body = answer(route.request.method, path, route.request)
        route.fulfill(status=status, headers=headers, body=body)

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", headless=True, args=FLAGS, timeout=MILLISECONDS
        )

        def launch() -> BrowserContext:
            viewport = {"width": DESKTOP[0], "height": DESKTOP[1]}
            context = running.new_context(viewport=viewport, locale="en-GB")  # type: ignore[arg-type]
            context.route("**/*", handle)
            context.new_page()
            return context

        nothing = cast("Any", None)  # no certificates: nothing is asked for one
        browser = Chromium(launch=launch, store=nothing, selection=nothing)
        browser.start()
        try:
            yield browser
        finally:
            browser.stop()
            running.close()
