"""A little door for tests: a real Envoy with mutual TLS in front of an echo server, and clients for it.

with echo_server() as upstream:
    door = LittleDoor(folder, port=free_port(), upstream_port=upstream)
    supervisor = Supervisor(..., prepare=door.prepare)
    client = door.connect()             # TLS with alice's certificate
    ask(client)                         # one HTTP request on it
    web_socket(client)                  # or turn it into an open stream
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.endpoints import Endpoint, parse_endpoint
from doorward.gateway.connections.sockdiag import SocketFacts
from tests.support.certificates.issuing import toy_ca
from tests.support.servers import accepting

_TYPES = "type.googleapis.com/envoy"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: http.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class LittleDoor:
    """Configuration and credentials of one Envoy: `http.test` answers itself or upgrades, `tcp.test` relays."""

    def __init__(self, folder: Path, *, port: int, upstream_port: int, host: str = "127.0.0.1") -> None:
        self.folder = folder
        self.port = port
        self.host = host
        self.upstream_port = upstream_port
        self.clients: list[socket.socket] = []
        now = datetime.now(UTC)
        ca = toy_ca(not_before=now - timedelta(days=1))
        dates = {"not_before": now - timedelta(hours=1), "not_after": now + timedelta(days=1)}
        for name, issued in {
            "server": ca.server("http.test", "tcp.test", **dates),
            "alice": ca.leaf("alice", **dates),
        }.items():
            (folder / f"{name}.crt").write_bytes(issued.pem)
            (folder / f"{name}.key").write_bytes(issued.key_pem)
        (folder / "ca.crt").write_bytes(ca.pem)

    @property
    def listener(self) -> Endpoint:
        """Where the door listens."""
        return parse_endpoint(
            f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        )

    def prepare(self, _epoch: int, folder: Path) -> Path:
        """Write the bootstrap of one run."""
        path = folder / "bootstrap.json"
        path.write_text(json.dumps(self.bootstrap(folder / "admin.sock")))
        return path

    def bootstrap(self, admin: Path) -> dict[str, Any]:
        """Everything in one static configuration."""
        address = {"address": self.host, "port_value": self.port}
        if self.host == "::":
            address["ipv4_compat"] = True
        listener = {
            "name": "door",
            "enable_reuse_port": False,
            "address": {"socket_address": address},
            "listener_filters": [
                _extension("tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector")
            ],
            "filter_chains": [self._chain("http.test", self._http()), self._chain("tcp.test", self._tcp())],
        }
        endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self.upstream_port}}}
        cluster = {
            "name": "up",
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": "up",
                "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
            },
        }
        return {
            "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
            "static_resources": {"listeners": [listener], "clusters": [cluster]},
        }

    def connect(self, name: str = "http.test", *, address: str = "127.0.0.1") -> ssl.SSLSocket:
        """Return a TLS connection with alice's certificate."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "alice.crt", self.folder / "alice.key")
        plain = socket.create_connection((address, self.port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = context.wrap_socket(plain, server_hostname=name)
        self.clients.append(client)
        return client

    def close_clients(self) -> None:
        """Close every connection that `connect` returned."""
        while self.clients:
            self.clients.pop().close()

    def _chain(self, name: str, network_filter: dict[str, Any]) -> dict[str, Any]:
        tls = {
            "require_client_certificate": True,
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": {
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(self.folder / "server.crt")},
                        "private_key": {"filename": str(self.folder / "server.key")},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": str(self.folder / "ca.crt")}},
            },
        }
        return {
            "filter_chain_match": {"server_names": [name]},
            "transport_socket": _extension(
                "tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", tls
            ),
            "filters": [network_filter],
        }

    def _http(self) -> dict[str, Any]:
        routes = [
            {"match": {"prefix": "/ws"}, "route": {"cluster": "up", "timeout": "0s"}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}},
        ]
        return _extension(
            "http",
            "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            {
                "stat_prefix": "http",
                "upgrade_configs": [{"upgrade_type": "websocket"}],
                "http_filters": [_extension("router", "extensions.filters.http.router.v3.Router")],
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            },
        )

    def _tcp(self) -> dict[str, Any]:
        return _extension(
            "tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {"stat_prefix": "tcp", "cluster": "up"}
        )


def _extension(name: str, kind: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPES}.{kind}", **(values or {})}}


def ends_of(client: socket.socket) -> tuple[Endpoint, Endpoint]:
    """Return the two ends of a client's connection as the door sees them: local, remote."""

    def read(name: tuple[Any, ...]) -> Endpoint:
        return parse_endpoint(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}")

    return read(client.getpeername()), read(client.getsockname())


def facts_of(client: socket.socket) -> SocketFacts:
    """Return what the kernel knows of the door's side of a client's connection."""
    facts = sockdiag.find(*ends_of(client))
    assert facts is not None
    return facts


def ask(client: ssl.SSLSocket) -> bytes:
    """Send one request on a connection and return the answer's head and body."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: http.test\r\n\r\n")
    return client.recv(4096)


def web_socket(client: ssl.SSLSocket) -> None:
    """Upgrade a connection; from then on every byte is echoed."""
    client.sendall(UPGRADE)
    assert b"101" in client.recv(4096).split(b"\r\n", 1)[0]


def echoes(client: ssl.SSLSocket, text: bytes = b"ping") -> bool:
    """Send bytes on an open stream and return whether they come back."""
    client.sendall(text)
    return client.recv(len(text)) == text


@contextmanager
def echo_server() -> Iterator[int]:
    """Serve echo on a port of loopback; an HTTP upgrade is answered with 101 first."""

    def serve(peer: socket.socket) -> None:
        while data := peer.recv(65536):
            if data.startswith(b"GET /ws"):
                peer.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                )
            else:
                peer.sendall(data)

    with accepting(serve) as port:
        yield port
