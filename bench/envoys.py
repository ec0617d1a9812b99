"""The Envoy that we run, bare, on the measured core: TLS with the client's certificate, the same log, the way to the application.

It has the configuration that our compiler makes, without everything that is ours: no authorizer, no rules, no limits, no headers.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.load import Target, write_requests
from bench.machine import MEASURED, begun_on
from bench.peers import HOST, Peer
from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.policy.model import HttpUpstream
from tests.support.attacks import CHAINS, altered, changed
from tests.support.compiled_door import open_door
from tests.support.door_site import DoorSite
from tests.support.envoy_process import ENVOY
from tests.support.resources import Resources
from tests.support.session_tokens import Mint, fingerprint

PATH = "/app0/s19/x"
_MINT = Mint()


def envoy_name() -> str:
    """Return `Envoy` with the version of the one that we run."""
    done = subprocess.run([ENVOY, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"/(\d+\.\d+\.\d+)", done.stdout)
    return f"Envoy {found.group(1) if found else ''}"


def build_request(host: str, token: str = "") -> bytes:
    """Return the request that every side gets; with a token it has the cookie of a session, and one more cookie."""
    cookie = f"Cookie: a=1; {SESSION_COOKIE}={token}\r\n" if token else ""
    return f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: text/html\r\n{cookie}\r\n".encode()


@contextmanager
def bare_envoy(folder: Path, port: int, *, asks: bool = False) -> Iterator[Peer]:
    """Run Envoy with nothing of ours in front of the application on `port`."""
    folder.mkdir()
    site = DoorSite(folder, port)
    site.upstream = HttpUpstream(host="127.0.0.1", port=port)
    resources = _stripped(site.resources({"pay": ()}, sessions=_MINT.plan(folder)))
    token = (
        _MINT.token(fingerprint(folder, "p256"), webauthn=10, claims={"assertion": "a" * 700}) if asks else ""
    )
    requests = write_requests(folder / "requests", [build_request(HOST, token)])
    pair = (folder / "p256.pem", folder / "p256.key")
    with begun_on(MEASURED, open_door(site, resources=resources, serve=False, whole=False)) as door:
        target = Target(port=site.port, name=HOST, requests=requests, identities=(pair,))
        yield Peer(name=envoy_name(), pids=(door.envoy.process.pid,), target=target)


def _stripped(resources: Resources) -> Resources:
    """Nothing of ours but TLS, the log and the way to the application."""
    kept = ("@type", "stat_prefix", "codec_type", "rds", "access_log", "http2_protocol_options")

    def bare(filters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        (manager,) = [one for one in filters if one["name"] == "doorward.http"]
        config = {key: value for key, value in manager["typed_config"].items() if key in kept}
        router = [
            one
            for one in manager["typed_config"]["http_filters"]
            if one["name"] == "envoy.filters.http.router"
        ]
        return [{**manager, "typed_config": {**config, "http_filters": router}}]

    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app_pay"}}],
    }
    table = {**resources.routes["app_pay"], "virtual_hosts": [host]}
    for key in ("request_headers_to_remove", "request_headers_to_add", "response_headers_to_remove"):
        table.pop(key, None)
    return altered(
        resources,
        changed(*CHAINS[:-1], "app_pay", "filters", to=bare),
        changed("routes", "app_pay", to=table),
    )
