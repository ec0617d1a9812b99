"""A real Envoy on the stream: it is configured, connects again after a restart of ours, and says what it has.

The resources are written by hand: a cluster, a certificate, a listener and its route table. What Envoy does with
answers that it refuses, or that are missing, is written down here too, because the publisher relies on it.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from doorward.demo.ports import free_port
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.messages import (
    CLUSTER,
    EXTENSION,
    LISTENER,
    ROUTES,
    SECRET,
    TYPE_PREFIX,
    DiscoveryRequest,
)
from doorward.gateway.publishing.discovery.server import DiscoveryServer
from doorward.runtime.world import SystemClock
from tests.support.certificates.issuing import toy_ca
from tests.support.discovery_peers import PlainStream
from tests.support.doorway import eventually
from tests.support.envoy_process import ENVOY, ToyAuthorizer

ADS = {"ads": {}, "resource_api_version": "V3"}
HCM = f"{TYPE_PREFIX}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{TYPE_PREFIX}envoy.extensions.filters.http.router.v3.Router"
TLS = f"{TYPE_PREFIX}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
HTTP_RBAC = f"{TYPE_PREFIX}envoy.extensions.filters.http.rbac.v3.RBAC"
NETWORK_RBAC = f"{TYPE_PREFIX}envoy.extensions.filters.network.rbac.v3.RBAC"
AUTHORIZER = f"{TYPE_PREFIX}envoy.extensions.filters.network.ext_authz.v3.ExtAuthz"
PROTOCOL = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Resource = dict[str, Any]


def http2_cluster(name: str, path: Path) -> Resource:
    """Return a cluster of one unix socket that speaks HTTP/2."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(path)}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            PROTOCOL: {
                "@type": f"{TYPE_PREFIX}{PROTOCOL}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


def routes(status: int = 200, name: str = "table") -> Resource:
    """Return a route table that answers by itself."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": status}}
    return {
        "@type": ROUTES,
        "name": name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}],
    }


def listener(
    port: int,
    *,
    table: str = "table",
    http_filters: Sequence[Resource] = (),
    filters: Sequence[Resource] = (),
) -> Resource:
    """Return a listener of one chain with TLS."""
    router = {"name": "router", "typed_config": {"@type": ROUTER}}
    connection_manager = {
        "@type": HCM,
        "stat_prefix": "door",
        "rds": {"route_config_name": table, "config_source": {**ADS, "initial_fetch_timeout": "2s"}},
        "http_filters": [*http_filters, router],
    }
    certificate = {"name": "certificate", "sds_config": {**ADS, "initial_fetch_timeout": "2s"}}
    context = {"@type": TLS, "common_tls_context": {"tls_certificate_sds_secret_configs": [certificate]}}
    chain = {
        "name": "chain",
        "filters": [*filters, {"name": "http", "typed_config": connection_manager}],
        "transport_socket": {"name": "tls", "typed_config": context},
    }
    return {
        "@type": LISTENER,
        "name": "door",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [chain],
    }


def secret() -> Resource:
    """Return a server certificate with its key."""
    leaf = toy_ca().leaf("door.test")
    return {
        "@type": SECRET,
        "name": "certificate",
        "tls_certificate": {
            "certificate_chain": {"inline_string": leaf.pem.decode()},
            "private_key": {"inline_string": leaf.key_pem.decode()},
        },
    }


def rule(kind: str, action: str, **more: str) -> Resource:
    """Return a filter's configuration that allows or denies everything."""
    everything = {"permissions": [{"any": True}], "principals": [{"any": True}]}
    return {"@type": kind, "rules": {"action": action, "policies": {"all": everything}}, **more}


def extension(name: str, config: Resource) -> Resource:
    """Return a filter's configuration as a resource of its own."""
    return {"@type": EXTENSION, "name": name, "typed_config": config}


def by_extension(name: str, kind: str) -> Resource:
    """Return a filter with that resource as its configuration; without it, the listener waits two seconds."""
    source = {**ADS, "initial_fetch_timeout": "2s"}
    return {"name": name, "config_discovery": {"config_source": source, "type_urls": [kind]}}


def listener_by(port: int, kind: str) -> Resource:
    """Return a listener with such a filter, of HTTP or of the network."""
    used = [by_extension("rule", kind)]
    return listener(port, http_filters=used) if kind == HTTP_RBAC else listener(port, filters=used)


@dataclass
class Rig:
    """Our server, what it offers, and an Envoy."""

    folder: Path
    port: int = field(default_factory=free_port)
    offered: dict[tuple[str, str], Resource] = field(default_factory=dict)
    streams: list[PlainStream] = field(default_factory=list)
    pid: int = 0

    def listen(self) -> None:
        """Serve, as at the start of a gateway."""
        self.server = DiscoveryServer(
            self.folder / "discovery" / "ads.sock", load_api(), self._admit, clock=SystemClock()
        )
        self.server.start()

    def _admit(self, pid: int) -> PlainStream | None:
        self.streams.append(PlainStream(load_api(), [load_api().pack(one) for one in self.offered.values()]))
        return self.streams[-1] if pid == self.pid else None

    @property
    def stream(self) -> PlainStream:
        """The newest stream."""
        assert eventually(lambda: bool(self.streams))
        return self.streams[-1]

    def offer(self, *resources: Resource) -> list[DiscoveryRequest]:
        """Offer resources from now on; once Envoy runs, wait for its answer to each and return these answers."""
        self.offered |= {(one["@type"], one["name"]): one for one in resources}
        if not self.pid:
            return []
        before, names = len(self.stream.heard(0, nonce=True)), {one["name"] for one in resources}

        def answers() -> list[DiscoveryRequest]:
            """Not those that are still to come to earlier responses."""
            return [
                one
                for one in self.stream.heard(0, nonce=True)[before:]
                if one.nonce.partition(":")[2] in names
            ]

        self.stream.put(*(load_api().pack(one) for one in resources))
        assert eventually(lambda: len(answers()) >= len(resources))
        return answers()

    @contextmanager
    def envoy(self, **environment: str) -> Iterator[None]:
        """Run an Envoy that gets every resource over the stream."""
        service = {
            "cluster_name": "doorward_discovery",
            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
        }
        dynamic = {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": service}],
        }
        bootstrap = {
            "node": {"id": "door", "cluster": "doorward"},
            "static_resources": {
                "clusters": [http2_cluster("doorward_discovery", self.folder / "discovery" / "ads.sock")]
            },
            "dynamic_resources": {"ads_config": dynamic, "cds_config": ADS, "lds_config": ADS},
        }
        path = self.folder / "bootstrap.json"
        path.write_text(json.dumps(bootstrap))
        command = [ENVOY, "-c", str(path), "--concurrency", "1", "--use-dynamic-base-id"]
        command += ["--reject-unknown-dynamic-fields", "--log-path", str(self.folder / "envoy.log")]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = process.pid
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that is kept."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)

    def ask(self, connection: http.client.HTTPSConnection | None = None) -> int:
        """Return the status of one request, 0 if there is none."""
        used = connection or self.connect()
        try:
            used.request("GET", "/")
            answer = used.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            if connection is None:
                used.close()
        return answer.status

    def answers(self, status: int, seconds: float = 30) -> bool:
        """Wait until a request is answered so."""
        return eventually(lambda: self.ask() == status, seconds)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A server that offers a door which answers 200."""
    one = Rig(tmp_path)
    one.offer(secret(), listener(one.port), routes())
    one.listen()
    yield one
    one.server.stop()


def test_a_door_opens_by_the_stream_alone(rig: Rig) -> None:
    """Clusters and listeners are asked for as a whole, secrets and tables by name; each answer is for one resource."""
    with rig.envoy():
        assert rig.answers(200)
        answers, asked = rig.stream.heard(4, nonce=True), rig.stream.heard(4, nonce=False)
    names = [(one.type_url, one.subscribe) for one in asked]
    assert names[:2] == [(CLUSTER, ()), (LISTENER, ())]
    assert sorted(names[2:]) == sorted([(ROUTES, ("table",)), (SECRET, ("certificate",))])
    assert [one.refusal for one in answers] == [None] * 4


def test_envoy_connects_again_and_says_what_it_has(rig: Rig) -> None:
    """After a stop of ours it serves on; the new server hears the versions, sends nothing twice, and goes on."""
    with rig.envoy():
        assert rig.answers(200)
        first = rig.stream
        kept = rig.connect()
        assert rig.ask(kept) == 200
        rig.server.stop()
        assert first.closed
        assert rig.ask(kept) == 200
        rig.listen()
        assert eventually(lambda: rig.stream is not first)
        heard = {one.type_url: dict(one.versions) for one in rig.stream.heard(4, nonce=False)}
        expected = {(kind, name): load_api().pack(one).version for (kind, name), one in rig.offered.items()}
        assert {
            (kind, name): version for kind, found in heard.items() for name, version in found.items()
        } == expected
        [answer] = rig.offer(routes(204))
        assert answer.refusal is None
        assert eventually(lambda: rig.ask(kept) == 204)  # the workers have it a moment after the answer


def test_a_refused_resource_leaves_the_one_in_force(rig: Rig) -> None:
    """The refusal is told of in Envoy's words, and the next one is taken."""
    broken = routes()
    broken["virtual_hosts"] = broken["virtual_hosts"] * 2
    with rig.envoy():
        assert rig.answers(200)
        [answer] = rig.offer(broken)
        assert "Only a single wildcard domain is permitted" in (answer.refusal or "")
        assert rig.ask() == 200
        [answer] = rig.offer(routes(204))
        assert answer.refusal is None
        assert rig.answers(204)


def test_a_listener_is_acknowledged_before_it_is_warm(rig: Rig) -> None:
    """The answer comes at once; until its references are there, or their time is over, the old listener serves.

    So an acknowledged listener is in force only if everything that it refers to was acknowledged before.
    """
    with rig.envoy():
        assert rig.answers(200)
        [answer] = rig.offer(listener(rig.port, table="late"))
        assert answer.refusal is None
        assert rig.ask() == 200
        rig.offer(routes(202, name="late"))
        assert rig.answers(202)


@pytest.mark.parametrize(
    ("kind", "more", "denied", "missing"),
    [(HTTP_RBAC, {}, 403, 500), (NETWORK_RBAC, {"stat_prefix": "rule"}, 0, 0)],
    ids=["http", "network"],
)
class TestExtensions:
    """Configurations of filters as resources of their own (ECDS), on the same stream."""

    def test_each_is_answered_for_itself(
        self, rig: Rig, kind: str, more: dict[str, str], denied: int, missing: int
    ) -> None:
        """Changed without the listener; one that is refused leaves the one in force."""
        rig.offer(extension("rule", rule(kind, "ALLOW", **more)), listener_by(rig.port, kind))
        with rig.envoy():
            assert rig.answers(200)
            [answer] = rig.offer(extension("rule", {"@type": ROUTER}))
            assert answer.refusal
            assert rig.ask() == 200
            [answer] = rig.offer(extension("rule", rule(kind, "DENY", **more)))
            assert answer.refusal is None
            assert rig.answers(denied)

    def test_without_it_the_listener_refuses_everything(
        self, rig: Rig, kind: str, more: dict[str, str], denied: int, missing: int
    ) -> None:
        """It waits as long as `initial_fetch_timeout` says, then it is open and fails closed."""
        rig.offer(listener_by(rig.port, kind))
        with rig.envoy():
            assert eventually(lambda: _accepts(rig.port))
            assert rig.ask() == missing
            [answer] = rig.offer(extension("rule", rule(kind, "ALLOW", **more)))
            assert answer.refusal is None
            assert rig.answers(200)


def test_an_extension_of_http_applies_to_the_next_request(rig: Rig) -> None:
    """Also on a connection that is open already; the connection is kept."""
    rig.offer(
        extension("rule", rule(HTTP_RBAC, "ALLOW")),
        listener(rig.port, http_filters=[by_extension("rule", HTTP_RBAC)]),
    )
    with rig.envoy():
        assert rig.answers(200)
        kept = rig.connect()
        assert rig.ask(kept) == 200
        before = kept.sock.getsockname()
        rig.offer(extension("rule", rule(HTTP_RBAC, "DENY")))
        assert eventually(lambda: rig.ask(kept) == 403)
        assert kept.sock.getsockname() == before


def test_the_authorizer_hears_of_envoys_environment(rig: Rig) -> None:
    """Metadata of a gRPC service can name a variable of Envoy's process; one that is not set is a dash."""
    metadata = [
        {"key": "x-run", "value": "%ENVIRONMENT(DOORWARD_EPOCH)%"},
        {"key": "x-none", "value": "%ENVIRONMENT(DOORWARD_NOT_SET)%"},
    ]
    question = {
        "@type": AUTHORIZER,
        "stat_prefix": "door",
        "transport_api_version": "V3",
        "grpc_service": {
            "envoy_grpc": {"cluster_name": "authorizer"},
            "timeout": "5s",
            "initial_metadata": metadata,
        },
    }
    cluster = {"@type": CLUSTER, **http2_cluster("authorizer", rig.folder / "authorizer.sock")}
    rig.offer(cluster, listener(rig.port, filters=[{"name": "question", "typed_config": question}]))
    with (
        ToyAuthorizer({}).serving(rig.folder / "authorizer.sock") as authorizer,
        rig.envoy(DOORWARD_EPOCH="7-2"),
    ):
        assert rig.answers(200)
        assert (authorizer.asked[-1]["x-run"], authorizer.asked[-1]["x-none"]) == ("7-2", "-")


def test_envoy_waits_for_an_answer_also_if_there_is_nothing(tmp_path: Path) -> None:
    """To a type without resources an empty response is sent: listeners are asked for after the clusters came."""
    rig = Rig(tmp_path)
    rig.listen()
    with rig.envoy():
        requests = rig.stream.heard(2, nonce=True)
    assert [one.type_url for one in requests] == [CLUSTER, LISTENER]
    rig.server.stop()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
