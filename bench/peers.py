"""The peers, each pinned to the measured core: nginx, HAProxy, and nginx with a long CRL or with `auth_request`.

All of them ask for a client certificate of the same authority, resume no session, write an access log on the disk, and
pass requests on to the same application over kept connections, as our door does. The application answers at once; it
and the generator of load have the other core.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.load import Target
from bench.machine import MEASURED, REST, begun_on, version
from doorward.demo.ports import free_port
from tests.support.certificates.issuing import toy_ca

START_SECONDS = 120.0
"""nginx reads a CRL of a million entries for some seconds."""

HOST = "pay.test"
_TLS = """
  listen 127.0.0.1:{port} ssl;
  server_name {host};
  ssl_protocols TLSv1.3;
  ssl_certificate {folder}/server.pem;
  ssl_certificate_key {folder}/server.key;
  ssl_client_certificate {folder}/root.pem;
  ssl_verify_client on;
  ssl_verify_depth 3;
  ssl_session_tickets off;
  ssl_session_cache off;
  keepalive_requests 100000000;
"""
_LOG = """
  log_format lines escape=json '{"time":"$time_iso8601","connection":$connection,"remote":"$remote_addr:$remote_port",'
    '"duration_ms":"$request_time","bytes_received":$request_length,"bytes_sent":$bytes_sent,"method":"$request_method",'
    '"protocol":"$server_protocol","status":$status,"request":"$request_id","certificate":"$ssl_client_fingerprint",'
    '"principal":"$ssl_client_s_dn","path":"$uri","kind":"request","application":"app_pay"}';
"""
_PASS = "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_set_header X-Client $ssl_client_s_dn;"
_ASK = """
  location = /auth {
    internal;
    proxy_pass http://judge/auth;
    proxy_pass_request_body off;
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_set_header Content-Length '';
    proxy_set_header X-Original-Method $request_method;
    proxy_set_header X-Original-URI $request_uri;
    proxy_set_header X-Client $ssl_client_fingerprint;
  }
"""


class PeerSite:
    """An authority of two levels with a server and a client, as files, for the peers of one run.

    Args:
        folder: where the files are.
        application_port: where the application listens.
    """

    def __init__(self, folder: Path, application_port: int) -> None:
        self.folder = folder
        self.application_port = application_port
        self.now = datetime.now(UTC)
        dates: dict[str, Any] = {
            "not_before": self.now - timedelta(days=1),
            "not_after": self.now + timedelta(days=30),
        }
        self.root = toy_ca("Peers Root", **dates)
        self.issuing = self.root.issuing("Peers Issuing", **dates)
        (folder / "root.pem").write_bytes(self.root.pem)
        self.issuing.server(HOST, **dates).write(folder, "server", self.issuing)
        self.issuing.leaf("alice", **dates).write(folder, "client", self.issuing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A running peer: its name with its version, its main processes, and where it listens."""

    name: str
    pids: tuple[int, ...]
    target: Target


def nginx_name() -> str:
    """Return `nginx` with its version; empty if it is not installed."""
    found = version("nginx", "-v")
    return f"nginx {found}" if found else ""


def haproxy_name() -> str:
    """Return `HAProxy` with its version; empty if it is not installed."""
    found = version("haproxy", "-v")
    return f"HAProxy {found}" if found else ""


@contextmanager
def application(folder: Path) -> Iterator[int]:
    """Run the application behind the door on the other core; gives its port."""
    port = free_port()
    server = f"listen 127.0.0.1:{port}; keepalive_requests 100000000; location / {{ return 200 'ok'; }}"
    with begun_on(REST, _nginx(folder, "application", f"access_log off; server {{ {server} }}", port)):
        yield port


@contextmanager
def nginx(folder: Path, site: PeerSite, requests: Path, *, crl: Path | None = None) -> Iterator[Peer]:
    """Run nginx with `ssl_verify_client on`, and with a CRL if one is named."""
    port, name = free_port(), "nginx-crl" if crl else "nginx"
    more = f"ssl_crl {crl};" if crl else ""
    text = _server(folder, name, site, port, locations=f"location / {{ {_PASS} }}", more=more)
    with begun_on(MEASURED, _nginx(folder, name, text, port)) as pid:
        yield Peer(name=nginx_name(), pids=(pid,), target=_target(site, port, requests))


@contextmanager
def nginx_asking(folder: Path, site: PeerSite, requests: Path, *, python: bool) -> Iterator[Peer]:
    """Run nginx with `auth_request`; the judge is a small service in Python, or nginx itself that answers at once.

    The judge runs on the same core, as ours does.
    """
    port, name = free_port(), "nginx-asking" if python else "nginx-asking-itself"
    judge = folder / f"{name}.sock"
    locations = f"location / {{ auth_request /auth; {_PASS} }} {_ASK}"
    text = _server(folder, name, site, port, locations=locations)
    text += f"upstream judge {{ server unix:{judge}; keepalive 64; keepalive_requests 100000000; }}"
    if not python:
        text += f"server {{ listen unix:{judge}; access_log off; keepalive_requests 100000000; location / {{ return 204; }} }}"
    service = _python_judge(judge) if python else nullcontext(())
    with begun_on(MEASURED, service) as pids, begun_on(MEASURED, _nginx(folder, name, text, port)) as pid:
        yield Peer(name=nginx_name(), pids=(pid, *pids), target=_target(site, port, requests))


@contextmanager
def haproxy(folder: Path, site: PeerSite, requests: Path) -> Iterator[Peer]:
    """Run HAProxy with `verify required`."""
    port = free_port()
    pair = folder / "haproxy.pem"
    pair.write_bytes((site.folder / "server.pem").read_bytes() + (site.folder / "server.key").read_bytes())
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n nbthread 1\n maxconn 4000\n tune.ssl.cachesize 0\n log stdout format raw daemon\n"
        "defaults\n mode http\n log global\n option httplog\n http-reuse always\n"
        " timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
        f"frontend door\n bind 127.0.0.1:{port} ssl crt {pair} ca-file {site.folder}/root.pem verify required"
        " ssl-min-ver TLSv1.3 no-tls-tickets alpn http/1.1\n http-request set-header X-Client %[ssl_c_s_dn]\n"
        f" default_backend app\nbackend app\n server app 127.0.0.1:{site.application_port}\n"
    )
    command = ["haproxy", "-db", "-f", str(config)]
    with begun_on(MEASURED, _process(folder, "haproxy", command, port)) as pid:
        yield Peer(name=haproxy_name(), pids=(pid,), target=_target(site, port, requests))


def _server(folder: Path, name: str, site: PeerSite, port: int, *, locations: str, more: str = "") -> str:
    tls = _TLS.format(port=port, host=HOST, folder=site.folder)
    log = f"access_log {folder}/{name}.log lines buffer=64k flush=1s;"
    app = f"upstream app {{ server 127.0.0.1:{site.application_port}; keepalive 256; keepalive_requests 100000000; }}"
    return f"{_LOG} {app} server {{ {tls} {more} {log} {locations} }}"


def _target(site: PeerSite, port: int, requests: Path) -> Target:
    pair = (site.folder / "client.pem", site.folder / "client.key")
    return Target(port=port, name=HOST, requests=requests, identities=(pair,))


@contextmanager
def _nginx(folder: Path, name: str, http: str, port: int) -> Iterator[int]:
    config = folder / f"{name}.conf"
    scratch = "".join(
        f"{one}_temp_path {folder}/{name}-{one};"
        for one in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.error;\n"
        f"worker_rlimit_nofile 65536; events {{ worker_connections 20000; }}\nhttp {{ access_log off; {scratch} {http} }}\n"
    )
    with _process(folder, name, ["nginx", "-c", str(config)], port) as pid:
        yield pid


@contextmanager
def _python_judge(path: Path) -> Iterator[tuple[int, ...]]:
    command = [sys.executable, "-m", "bench.asked", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + START_SECONDS
        while not path.exists():
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit("bench: the judge of auth_request did not start")
            time.sleep(0.02)
        yield (process.pid,)
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _process(folder: Path, name: str, command: Sequence[str], port: int) -> Iterator[int]:
    """Run a server until the end of the block; its output goes to a file of its name."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    with (folder / f"{name}.out").open("ab") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        limit = time.monotonic() + START_SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(
                    f"bench: {name} did not start: {(folder / f'{name}.out').read_text()[-2000:]}"
                )
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
