"""Envoy alone, on the measured core: bare (TLS, the log and the way to the application, nothing of ours), or as compiled.

As compiled it asks an authorizer that grants every rule; with `asks` a rule on the route asks for a second factor, and the request has
a bound session. Only the CPU of Envoy is of interest there: the authorizer is in the process of the bench.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.load import Target, write_requests
from bench.machine import MEASURED, on_core
from bench.peers import HOST, Peer
from doorward.core.factor_kinds import FactorKind
from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.policy.model import HttpUpstream
from doorward.policy.requirements import Requirement
from tests.support.attacks import CHAINS, altered, changed
from tests.support.compiled_door import open_door
from tests.support.door_site import DoorSite, allow, id_of
from tests.support.envoy_process import ENVOY, ToyAuthorizer, facts_of
from tests.support.resources import Resources
from tests.support.session_tokens import Mint, fingerprint

RULES = 100
PATH = "/app0/s19/x"
FRESH = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=30))
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


def build_rules(require: Sequence[Requirement] = ()) -> tuple[Any, ...]:
    """Return 100 rules, 20 of them on the route of the request; the one that allows it may require a factor."""
    return tuple(
        allow(
            f"rule {number}",
            f"group{number}",
            f"/app{number // 20}/s{number}/**",
            methods=("GET", "HEAD"),
            require=require if number == 19 else (),
        )
        for number in range(RULES)
    )


@contextmanager
def bare_envoy(folder: Path, port: int, *, asks: bool = False) -> Iterator[Peer]:
    """Run Envoy with nothing of ours in front of the application on `port`."""
    with _envoy(folder, port, build_rules(), strip=True, asks=asks) as peer:
        yield peer


@contextmanager
def compiled_envoy(folder: Path, port: int, *, asks: bool = False) -> Iterator[Peer]:
    """Run Envoy as our compiler configures it."""
    with _envoy(folder, port, build_rules([FRESH] if asks else ()), asks=asks) as peer:
        yield peer


@contextmanager
def _envoy(
    folder: Path, port: int, rules: tuple[Any, ...], *, strip: bool = False, asks: bool = False
) -> Iterator[Peer]:
    folder.mkdir()
    site = DoorSite(folder, port)
    site.upstream = HttpUpstream(host="127.0.0.1", port=port)
    resources = site.resources({"pay": rules}, sessions=_MINT.plan(folder))
    resources = _stripped(resources) if strip else resources
    authorizer = ToyAuthorizer(facts_of(*(id_of("pay", one) for one in rules)))
    token = (
        _MINT.token(fingerprint(folder, "p256"), webauthn=10, claims={"assertion": "a" * 700}) if asks else ""
    )
    requests = write_requests(folder / "requests", [build_request(HOST, token)])
    # The authorizer's threads begin here too: as ours do, they have the measured core.
    with (
        on_core(MEASURED),
        open_door(site, resources=resources, authorizer=authorizer, whole=False) as door,
    ):
        target = Target(
            port=site.port,
            name=HOST,
            requests=requests,
            identities=((folder / "p256.pem", folder / "p256.key"),),
        )
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
