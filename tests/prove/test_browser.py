"""What pages of real applications may do behind the door, asked of browsers: Fetch, CORS, WebSockets, page parts."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.browser import Chromium, chromium
from tests.support.doorway import DOMAIN, Doorway, Identity, is_root, open_doorway, render_document
from tests.support.firefox import Firefox, firefox
from tests.support.servers import serving

Browser = Callable[[Doorway, Identity], AbstractContextManager[Chromium | Firefox]]

SECONDS = 60.0
COOKIES = 110  # more than Envoy's default of 100 fields, each a field of its own in HTTP/2 (RFC 9113 8.2.3)
PARTS = {
    "/module.js": "window.module='ok'",
    "/crossed.js": "window.crossed='ok'",
    "/worker.js": "postMessage('ok')",
    "/sw.js": "addEventListener('install',()=>{})",
}
PAGE = """<!doctype html><link rel="manifest" href="/plain.json"><link rel="icon" href="data:,">
<script type="module" src="/module.js"></script><script type="module" crossorigin src="/crossed.js"></script>
<script>
const out = {}, at = name => `https://${name}.DOMAIN:${location.port}`, own = at("app");
async function note(name, act) { try { out[name] = await act() } catch (error) { out[name] = error.name } }
const status = async (url, more) => (await fetch(url, {credentials: "include", ...more})).status;
const who = async (url, more) =>
  (await (await fetch(url, {credentials: "include", ...more})).json())["doorward-principal"];
const socket = url => new Promise(done => {
  const one = new WebSocket(url.replace("https", "wss") + "/ws");
  one.onopen = () => done("open"); one.onerror = () => done("refused") });
const worker = more => new Promise(done => {
  const one = new Worker("/worker.js", more); one.onmessage = event => done(event.data); one.onerror = () => done("error") });
const form = () => new Promise(done => {
  document.body.innerHTML += '<iframe name="f"></iframe><form method="post" action="/form" target="f"></form>';
  document.querySelector("iframe").onload = event => {
    const text = event.target.contentDocument.body.innerText; if (text) done(text) };
  document.querySelector("form").submit() });
addEventListener("load", async () => {
  await note("cookies", async () => (await (await fetch("/x")).json()).cookie.split("; ").length);
  await note("own post", () => status(own + "/x", {method: "POST", body: "x"}));
  await note("listed get", () => who(at("api") + "/x"));
  await note("listed put", () => who(at("api") + "/x", {method: "PUT", headers: {"x-csrf": "1"}, body: "x"}));
  await note("listed put without credentials", () => status(at("api") + "/x", {method: "PUT", credentials: "omit"}));
  await note("other put", () => status(at("other") + "/x", {method: "PUT"}));
  await note("other simple post", async () => (await fetch(at("other") + "/simple",
    {method: "POST", mode: "no-cors", credentials: "include", body: "x"})).type);
  for (const name of ["app", "api", "other"]) await note("socket " + name, () => socket(at(name)));
  await note("worker", () => worker()); await note("module worker", () => worker({type: "module"}));
  await note("service worker", async () => (await navigator.serviceWorker.register("/sw.js")) && "ok");
  await note("form", form);
  Object.assign(out, {module: window.module, crossed: window.crossed});
  await fetch("/result", {method: "POST", body: JSON.stringify(out)});
});
</script><body></body>"""


class Site(ThreadingHTTPServer):
    """One application behind three hosts; remembers what arrived, and what the page found."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.arrived: list[tuple[str, str, str]] = []
        self.results: list[dict[str, Any]] = []
        self.told = threading.Event()


class _Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        name = self.headers["host"].partition(".")[0]
        self.server.arrived.append((name, self.command, self.path))
        if self.headers.get("upgrade"):
            self._switch()
            return
        text, kind = (
            json.dumps({key.lower(): value for key, value in self.headers.items()}),
            "application/json",
        )
        if self.path in PARTS:
            text, kind = PARTS[self.path], "text/javascript"
        elif self.path in {"/page", "/form"}:
            text, kind = PAGE.replace("DOMAIN", DOMAIN) if self.path == "/page" else "sent", "text/html"
        elif self.path == "/result":
            self.server.results.append(json.loads(body))
            self.server.told.set()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        for number in range(COOKIES if self.path == "/page" else 0):
            self.send_header("set-cookie", f"c{number}=a-value-of-some-length; Secure")
        self.send_header("referrer-policy", "no-referrer")  # a form then posts with `Origin: null`
        self.send_header("access-control-allow-origin", "https://what-the-application-says.example")
        self.end_headers()
        self.wfile.write(text.encode())

    do_POST = do_PUT = do_OPTIONS = do_GET  # noqa: N815  the names of the standard library

    def _switch(self) -> None:
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header(
            "sec-websocket-accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        )
        self.end_headers()
        self.close_connection = True
        self.rfile.read(1)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def three_applications(door: Doorway) -> Iterator[Site]:
    """Put `app`, `api` (which lists the pages of `app`) and `other` into force, all of one site."""
    site = Site()
    rules, upstream = "- {allow: {kind: person}}", f"http://127.0.0.1:{site.server_port}"
    listed = f"{{origins: ['https://{door.host('app')}:{door.port}']}}"
    apps = [door.app(name, rules, upstream=upstream) for name in ("app", "other")]
    text = render_document(*apps, door.app("api", rules, upstream=upstream, cors=listed))
    with serving(site):
        door.apply_document(text)
        yield site


CHROMIUM = pytest.param(
    chromium,
    id="chromium",
    marks=[
        pytest.mark.needs("chromium", must=False),
        pytest.mark.skipif(not is_root(), reason="only root may write Chromium's managed policy"),
    ],
)
FIREFOX = pytest.param(firefox, id="firefox", marks=pytest.mark.needs("firefox-esr", must=False))


@pytest.mark.needs("certutil", "pk12util", must=False)
@pytest.mark.parametrize("browser", [CHROMIUM, FIREFOX])
def test_a_page_calls_the_application_that_lists_it_and_no_other(browser: Browser) -> None:
    """Preflights come without a certificate and are answered; the calls come with it; other sites' are refused."""
    with open_doorway() as door, three_applications(door) as site:
        alice = door.person("alice")
        with browser(door, alice) as running:
            running.open(f"https://{door.host('app')}:{door.port}/page")
            assert site.told.wait(SECONDS), site.arrived
    assert site.results == [
        {
            "cookies": COOKIES,
            "own post": 200,
            "listed get": "person/alice",
            "listed put": "person/alice",
            "listed put without credentials": 403,
            "other put": "TypeError",
            "other simple post": "opaque",
            "socket app": "open",
            "socket api": "open",
            "socket other": "refused",
            "worker": "ok",
            "module worker": "ok",
            "service worker": "ok",
            "form": "sent",
            "module": "ok",
            "crossed": "ok",
        }
    ]
    assert not [one for one in site.arrived if one[0] == "other" or one[1] == "OPTIONS"]
    assert ("app", "GET", "/plain.json") not in site.arrived  # a manifest without use-credentials
