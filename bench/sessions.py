"""Requests with a bound session against a bare Envoy: CPU for each request, and the ratio, in one run.

The route has 20 rules of 100, the last one matches and asks for a passkey. Bare is an Envoy with the same TLS, client
certificate asked, one route, and the same access log; it gets the same requests, cookie included. Both pass requests on to
an application that answers at once (one more Envoy, not counted). One worker each; what is counted is the CPU of the
process, so that the speed of the client does not matter and a busy machine matters little. *With evidence*: a whole
installation in this process (gateway and serve), which takes every request into the record; its CPU is added until the
record has caught up.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from doorward.core.factor_kinds import FactorKind
from doorward.demo.ports import free_port
from doorward.directory.session_keys import current_session_key
from doorward.enforcement.envoy.names import SESSION_COOKIE
from doorward.policy.model import HttpUpstream
from doorward.policy.requirements import Requirement
from tests.support.attacks import CHAINS, altered, changed
from tests.support.compiled_door import open_door
from tests.support.door_site import DoorSite, allow, id_of
from tests.support.doorway import DOMAIN, Doorway, Identity, eventually, open_doorway, short_folder
from tests.support.envoy_process import ENVOY, ToyAuthorizer, facts_of
from tests.support.resources import Resources
from tests.support.session_tokens import Mint, fingerprint

ROUNDS = 5
REQUESTS = 4_000
CONNECTIONS = 16
RULES = 100
PATH = "/app0/s19/x"
FRESH = Requirement(factor=FactorKind.WEBAUTHN, within=timedelta(minutes=30))
_TYPES = "type.googleapis.com/envoy.extensions.filters"
_MINT = Mint()


def main() -> None:
    """Measure, and print what was found beside what is wanted."""
    with short_folder() as folder, _application(folder) as port, ExitStack() as stack:
        asked = _rules([FRESH])
        sides: dict[str, Callable[[int], float]] = {
            "bare Envoy": stack.enter_context(
                _door(folder / "bare", port, _rules([]), strip=True, asks=True)
            ),
            "door, no factor asked": stack.enter_context(_door(folder / "free", port, _rules([]))),
            "door, bound session": stack.enter_context(_door(folder / "asks", port, asked, asks=True)),
            "door, bound session, with evidence": stack.enter_context(_whole_door(port)),
        }
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(ROUNDS):
            for name, measure in sides.items():
                found[name].append(measure(REQUESTS))
    bare = statistics.median(found["bare Envoy"])
    wanted = {"door, bound session": "0.45", "door, bound session, with evidence": "0.35"}
    print(f"\nrequests on kept connections, {RULES} rules, 20 on the route; microseconds of CPU for each")
    for name, rounds in found.items():
        one = statistics.median(rounds)
        goal = f"   wanted >= {wanted[name]}" if name in wanted else ""
        print(f"{name:38} {one:7.1f}   {bare / one:5.2f} of bare{goal}")


def _rules(require: list[Requirement]) -> tuple[Any, ...]:
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
def _door(
    folder: Path, port: int, rules: tuple[Any, ...], *, strip: bool = False, asks: bool = False
) -> Iterator[Callable[[int], float]]:
    """A compiled door with an authorizer that grants every rule, or the same Envoy with nothing of ours."""
    folder.mkdir()
    site = DoorSite(folder, port)
    site.upstream = HttpUpstream(host="127.0.0.1", port=port)
    resources = site.resources({"pay": rules}, sessions=_MINT.plan(folder))
    resources = _stripped(resources) if strip else resources
    authorizer = ToyAuthorizer(facts_of(*(id_of("pay", one) for one in rules)))
    token = (
        _MINT.token(fingerprint(folder, "p256"), webauthn=10, claims={"assertion": "a" * 700}) if asks else ""
    )
    with open_door(site, resources=resources, authorizer=authorizer, whole=False) as door:

        def measure(count: int) -> float:
            connections = [site.connect("pay.test") for _ in range(CONNECTIONS)]
            request = _request("pay.test", token)
            _ask(connections, request, CONNECTIONS * 3)
            before = _cpu(door.envoy.process.pid)
            _ask(connections, request, count)
            taken = _cpu(door.envoy.process.pid) - before
            for one in connections:
                one.close()
            return taken / count

        yield measure


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


@contextmanager
def _whole_door(port: int) -> Iterator[Callable[[int], float]]:
    """A whole installation; requests are sent by another process, so that only the product is counted here."""

    with open_doorway(settings={"max_requests_per_certificate": 100_000}) as door:
        mint = Mint([current_session_key(door.services)[1]])
        rules = "".join(
            f"      - {{name: rule {number}, allow: {{persons: [alice], groups: [staff]}}, to: {{methods: [GET, HEAD], "
            f'paths: ["/app{number // 20}/s{number}/**"]}}'
            + (", require: {factor: webauthn, within: 30m}" if number == 19 else "")
            + "}\n"
            for number in range(RULES)
        )
        identity = door.person("alice", "staff")
        door.apply_document(
            f"trust_domain: {DOMAIN}\napps:\n  app:\n    hosts: [{door.host('app')}]\n"
            f"    upstream: http://127.0.0.1:{port}\n    rules:\n{rules}"
        )
        token = _token(door, mint, identity)
        pid = _pid_of_envoy(door)

        def measure(count: int) -> float:
            _catch_up(door)
            envoy, own = _cpu(pid), time.process_time()
            sender = multiprocessing.get_context("spawn").Process(
                target=send,
                args=((str(door.root), str(identity.chain), str(identity.key)), door.port, token, count),
            )
            sender.start()
            sender.join()
            assert sender.exitcode == 0
            _catch_up(door)
            return (_cpu(pid) - envoy + (time.process_time() - own) * 1e6) / count

        yield measure


def _token(door: Doorway, mint: Mint, identity: Identity) -> str:
    with door.services.work.read() as stores:
        principal = stores.directory.by_name("alice")
        application = stores.applications.list()[0].id
        assert principal is not None
        epoch = stores.epochs.of(principal.id, application)
    claims = {"iss": f"https://{DOMAIN}/portal", "aud": application, "epoch": epoch, "assertion": "a" * 700}
    return mint.token(fingerprint(identity.chain.parent, identity.chain.stem), webauthn=10, claims=claims)


def _pid_of_envoy(door: Doorway) -> int:
    """The Envoy of this installation: its command line names the folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(door.folder).encode() in line and re.search(rb"envoy", line.partition(b"\0")[0]):
                return int(entry.name)
    raise LookupError("no Envoy runs")


def _catch_up(door: Doorway) -> None:
    def done() -> bool:
        with door.services.work.read() as stores:
            waiting = stores.outbox.waiting()
        return not waiting and not door.gateway.ingest.backlog()

    time.sleep(0.3)  # the log is flushed, and looked at
    assert eventually(done, 60)


def send(files: tuple[str, str, str], port: int, token: str, count: int) -> None:
    """Send requests over kept connections, as a process of its own; the files are root, chain and key."""
    root, *own = files
    context = ssl.create_default_context(cafile=root)
    context.load_cert_chain(*own)
    host = f"app.{DOMAIN}"
    connections = [
        context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname=host)
        for _ in range(CONNECTIONS)
    ]
    _ask(connections, _request(host, token), count)


def _ask(connections: list[ssl.SSLSocket], request: bytes, count: int) -> None:
    for one in connections:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count // len(connections)):
        for one in connections:
            one.sendall(request)
        for one in connections:
            answer = one.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:400]


def _request(host: str, token: str) -> bytes:
    cookie = f"Cookie: a=1; {SESSION_COOKIE}={token}\r\n" if token else ""
    return f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\nAccept: text/html\r\n{cookie}\r\n".encode()


def _cpu(pid: int) -> float:
    """Microseconds that a process has used, by the kernel's own count of nanoseconds."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((one / "schedstat").read_text().split()[0]) for one in tasks.iterdir()) / 1e3


@contextmanager
def _application(folder: Path) -> Iterator[int]:
    """An application that answers at once: one more Envoy, in plain HTTP."""
    port = free_port()
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "application",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]},
    }
    listener = {
        "name": "application",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}],
    }
    path = folder / "application.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    command = [ENVOY, "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        assert eventually(listens, 30)
        yield port
    finally:
        process.terminate()
        process.wait(10)
