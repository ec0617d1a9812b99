"""Publishing into a real Envoy: in force without a drop; what Envoy refuses costs one application."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from doorward.core.errors import ConfigurationError
from doorward.enforcement.envoy.bootstrap import build_base, build_bootstrap
from doorward.enforcement.plan import GatewayPlan, ServerCertificate
from doorward.enforcement.trust import DoorTrust
from doorward.gateway.publishing.discovery.cache import ResourceCache
from doorward.gateway.publishing.discovery.messages import CLUSTER, LISTENER, ROUTES, SECRET
from doorward.gateway.publishing.discovery.server import DiscoveryServer
from doorward.gateway.publishing.door_packing import DoorPacker
from doorward.gateway.publishing.publication import PublisherPorts
from doorward.gateway.publishing.publisher import Published, StreamPublisher
from doorward.policy.model import HttpUpstream, Rule
from doorward.runtime.world import SystemClock
from tests.support.altering import AlteringApi
from tests.support.door_site import APPS, CLEARED, IDS, TELLER, DoorSite, allow, deny, echo_upstream, id_of
from tests.support.doorway import short_folder
from tests.support.envoy_process import RunningEnvoy, ToyAuthorizer, facts_of, launched_envoy
from tests.support.offering import whole_api
from tests.support.refusals import refused

Resource = dict[str, Any]
ALL = {name: (allow("all", "tellers"),) for name in ("pay", "other", "new", "tls", "grpc")}


@dataclass
class Gate:
    """A publisher and the Envoy that it feeds."""

    site: DoorSite
    alter: Callable[[Resource], object] = lambda _one: None
    certificates: dict[str, ServerCertificate] = field(default_factory=dict)  # by application
    publisher: StreamPublisher = None  # type: ignore[assignment]
    cache: ResourceCache = None  # type: ignore[assignment]
    packer: DoorPacker = None  # type: ignore[assignment]
    authorizer: ToyAuthorizer = None  # type: ignore[assignment]
    envoy: RunningEnvoy = None  # type: ignore[assignment]

    def altered(self, resource: Resource) -> Resource:
        """Change a resource as the test wants it at the moment."""
        self.alter(resource)
        return resource

    def plan(self, apps: Mapping[str, Sequence[Rule]], **options: Any) -> GatewayPlan:
        """Plan these applications, some of them with certificates of their own."""
        plan = self.site.plan(apps, **options)
        own = {IDS[name]: one for name, one in self.certificates.items()}
        doors = [replace(one, certificate=own.get(one.id, one.certificate)) for one in plan.doors]
        return replace(plan, doors=tuple(doors))

    def publish(self, apps: Mapping[str, Sequence[Rule]], **options: Any) -> Published:
        """Publish these applications."""
        return self.publisher.publish(self.packer.pack(self.plan(apps, **options)), self.envoy.admin)

    def status(self, app: str, path: str = "/x") -> int:
        """Ask for a path of an application on a new connection."""
        return self.site.ask("GET", path, host=f"{app}.test").status

    def served(self, app: str = "pay") -> bytes | None:
        """Return the server certificate that a new connection gets."""
        with self.site.connect(f"{app}.test") as connection:
            return connection.getpeercert(binary_form=True)

    @contextmanager
    def web_socket(self, app: str = "pay") -> Iterator[Callable[[], bool]]:
        """Hold a WebSocket open; gives what says whether it still lives."""
        with self.site.connect(f"{app}.test") as connection:
            fields = f"Host: {app}.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            connection.sendall(f"GET /accounts/7 HTTP/1.1\r\n{fields}\r\n".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 101")

            def lives() -> bool:
                try:
                    connection.sendall(b"ping")
                    return connection.recv(4) == b"ping"
                except OSError:
                    return False

            assert lives()
            yield lives


@contextmanager
def standing_gate(folder: Path, apps: Mapping[str, Sequence[Rule]] = APPS) -> Iterator[Gate]:
    """Start an Envoy the way the gateway does: prepared by the publisher, and fed over the socket."""
    folder.chmod(0o700)
    clock = SystemClock()
    with echo_upstream() as port:
        gate = Gate(DoorSite(folder, port))
        api = AlteringApi(whole_api(), gate.altered)
        gate.cache, gate.packer = ResourceCache(api, clock), DoorPacker(api)
        gate.publisher = StreamPublisher(PublisherPorts(cache=gate.cache, packer=gate.packer, clock=clock))
        configuration = gate.packer.pack(gate.plan(apps))
        gate.publisher.prepare(configuration)
        admin = str(folder / "admin.sock")
        bootstrap = folder / "bootstrap.json"
        bootstrap.write_text(
            json.dumps(
                build_bootstrap(
                    build_base(configuration.plan.paths, configuration.plan.limits),
                    node="test",
                    admin_socket=admin,
                )
            )
        )
        place = Path(gate.site.paths.discovery_socket)
        server = DiscoveryServer(place, api, lambda _pid: gate.publisher.open_stream(), clock=clock)
        server.start()
        try:
            facts = ToyAuthorizer(facts_of(TELLER, CLEARED))
            facts.answers = {
                IDS[name]: facts_of(id_of(name, rules[0]), TELLER, CLEARED) for name, rules in ALL.items()
            }
            with (
                facts.serving(folder / "authz.sock") as gate.authorizer,
                launched_envoy(bootstrap, folder) as gate.envoy,
            ):
                gate.publisher.await_start(gate.envoy.admin)
                yield gate
        finally:
            server.stop()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate of the test's own, before `pay` and `other`."""
    with short_folder() as folder, standing_gate(folder) as one:
        yield one


def test_a_policy_edit_is_in_force_when_publish_returns(gate: Gate) -> None:
    """Live connections meet the new rules at once, are not dropped, and no chain drains."""
    more = allow("tellers look elsewhere", "tellers", "/elsewhere", methods=("GET",))
    with gate.site.connect("pay.test") as connection:
        for round_ in range(5):
            assert gate.site.ask("GET", "/elsewhere", over=connection).status == 403
            gate.publish({**APPS, "pay": (*APPS["pay"], more)})
            assert gate.site.ask("GET", "/elsewhere", over=connection).status == 200, round_
            gate.publish(APPS)
        assert gate.site.ask("GET", "/elsewhere", over=connection).status == 403
    name = "listener_manager.total_filter_chains_draining"
    assert gate.envoy.admin.statistics("filter_chains_draining")[name] == 0


def test_only_what_changed_is_sent(gate: Gate) -> None:
    """An edit of one application's rules touches its route table alone."""
    rules = {**APPS, "other": (allow("some", "some"),)}
    published = gate.publish(rules)
    assert published.changed == ("app_other",)
    again = gate.publish(rules)
    assert (again.changed, again.version) == ((), published.version)


def test_an_edited_deny_rule_meets_live_connections(gate: Gate) -> None:
    """A connection that knows nothing of a new deny rule lacks its clearance and is refused there."""
    fresh = deny("nobody at all", "everyone", "/accounts/7")
    with gate.site.connect("pay.test") as connection:
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
        gate.publish({**APPS, "pay": (*APPS["pay"], fresh)})
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 403
        assert gate.site.ask("GET", "/accounts/8", over=connection).status == 200


def test_an_alias_carries_live_connections_over_an_edit(gate: Gate) -> None:
    """If a rule gets a new id, connections pass by it with the class token that it accepts."""
    edited = allow("tellers read", "clerks", "/accounts/**", methods=("GET",))
    gate.authorizer.answers["app_pay"] = facts_of(TELLER, CLEARED, "tclass")
    with gate.site.connect("pay.test") as connection:
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
        gate.publish({"pay": (edited,)}, aliases={id_of("pay", edited): frozenset({"tclass"})})
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200


def test_an_application_comes_and_goes(gate: Gate) -> None:
    """A new application answers when publish returns; a removed one is gone with all its resources, and ends no other."""
    with gate.web_socket() as lives:
        for _ in range(3):
            gate.publish({**APPS, "new": ALL["new"]})
            assert gate.status("new") == 200
            gate.publish(APPS)
            assert gate.site.alert("new.test") != ""
            assert not [name for _, name in gate.cache.resources() if "app_new" in name]
            assert (CLUSTER, "app_new") not in gate.cache.acknowledged()
        assert lives()


@contextmanager
def asking_steadily(gate: Gate) -> Iterator[list[int]]:
    """A client that asks on one connection without a pause; gives the statuses that it got."""
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with gate.site.connect("pay.test") as connection:
            while not stop.is_set():
                statuses.append(gate.site.ask("GET", "/accounts/7", over=connection).status)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield statuses
    finally:
        stop.set()
        client.join()


def test_requests_go_on_while_everything_changes(gate: Gate) -> None:
    """No request of a steady client fails while upstreams, rules and applications are exchanged."""
    with echo_upstream() as other_port, asking_steadily(gate) as statuses:
        first = gate.site.upstream
        for number in range(20):
            gate.site.upstream = first if number % 2 else HttpUpstream(host="127.0.0.1", port=other_port)
            gate.publish({**APPS, **({} if number % 2 else {"new": (allow("all", f"group{number}"),)})})
    assert len(statuses) > 10
    assert set(statuses) == {200}


def test_a_new_server_certificate_is_served_without_a_drop(gate: Gate) -> None:
    """A renewal keeps the secret's name and touches nothing else; new connections get it, WebSockets live on."""
    with gate.web_socket() as lives:
        before = gate.served()
        renewed = replace(gate.site.server_certificate("server-2"), name="server-1")
        assert gate.publish(APPS, certificate=renewed).changed == ("server-1",)
        assert gate.served() != before
        assert lives()


def test_what_envoy_shows_of_its_configuration_has_no_key(gate: Gate) -> None:
    """`/config_dump` of the admin socket has every resource, and each private key is left out."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(str(gate.site.folder / "admin.sock"))
        admin.sendall(b"GET /config_dump HTTP/1.1\r\nHost: envoy\r\nConnection: close\r\n\r\n")
        shown = b"".join(iter(lambda: admin.recv(1 << 16), b""))
    for there in (b"app_pay", b"dynamic_active_secrets", b"[redacted]"):
        assert there in shown
    assert b"PRIVATE KEY" not in shown


# what Envoy refuses


def spoil_chains(*apps: str) -> Callable[[Resource], None]:
    """Have the chains of applications hold a value that violates a constraint of Envoy's API."""
    names = {IDS[one] for one in apps}

    def alter(resource: Resource) -> None:
        if "filters" in resource and resource["name"] in names:
            limit = next(one for one in resource["filters"] if one["name"] == "doorward.connections")
            limit["typed_config"]["max_connections"] = 0

    return alter


def spoil_table(resource: Resource) -> None:
    """Have the table of `pay` name a host twice."""
    if resource.get("@type") == ROUTES and "pay.test" in str(resource):
        resource["virtual_hosts"][0]["domains"] *= 2


def spoil_trust(resource: Resource) -> None:
    """Have an application's own authorities be no certificate."""
    if resource.get("@type") == SECRET and "app_pay" in resource["name"]:
        resource["validation_context"]["trusted_ca"] = {"inline_string": "no certificate"}


def test_a_refused_chain_costs_its_application_alone(gate: Gate) -> None:
    """Envoy refuses the whole listener for one chain; the others of the edit are in force, and that one is closed."""
    with gate.web_socket("other") as lives, gate.site.connect("pay.test") as connection:
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
        gate.alter = spoil_chains("pay")
        published = gate.publish(
            {**APPS, "new": ALL["new"]}, origins={"pay": ["https://a.test"]}, keeping=["pay"]
        )
        assert published.closed == {"app_pay"}
        assert "MaxConnections: value must be greater than or equal to 1" in published.refusals["app_pay"]
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 503
        assert gate.status("pay", "/accounts/7") == 503
        assert gate.status("new") == gate.status("other") == 200
        assert lives()
    gate.alter = lambda _one: None
    assert not gate.publish({**APPS, "pay": APPS["pay"][:1]}).refusals
    assert gate.status("pay", "/accounts/7") == 200


def test_two_bad_chains_among_several(gate: Gate) -> None:
    """However many chains an edit brings, each that Envoy takes is in force."""
    gate.alter = spoil_chains("new", "grpc")
    published = gate.publish(ALL)
    assert published.closed == published.refusals.keys() == {"app_new", "app_grpc"}
    assert {name: gate.status(name) for name in ("pay", "other", "tls")} == {
        "pay": 200,
        "other": 200,
        "tls": 200,
    }
    for name in ("new", "grpc"):
        assert gate.site.alert(f"{name}.test") != ""


def test_a_refused_table_closes_its_application(gate: Gate) -> None:
    """Not even a live connection is served by the superseded table; Envoy's words are told."""
    with gate.site.connect("pay.test") as connection:
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
        gate.alter = spoil_table
        published = gate.publish({**APPS, "pay": APPS["pay"][:1]})
        assert published.closed == {"app_pay"}
        assert "Only unique values for domains" in published.refusals["app_pay"]
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 503
        assert gate.status("other") == 200
        sent = gate.cache.acknowledged()
        assert gate.publish({**APPS, "pay": APPS["pay"][:1]}).changed == ()  # not sent again
        assert gate.cache.acknowledged() == sent
        gate.alter = lambda _one: None
        assert not gate.publish(APPS).refusals
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200


def test_refused_authorities_close_their_application(gate: Gate) -> None:
    """If its own trust is refused, an application is closed: its former trust is superseded."""
    trust = DoorTrust(authorities=(gate.site.issuing.pem.decode(),))
    assert not gate.publish(APPS, partners={"pay": trust}).refusals
    assert gate.status("pay", "/accounts/7") == 200
    gate.alter = spoil_trust
    wider = DoorTrust(authorities=(*trust.authorities, gate.site.stranger.pem.decode()))
    published = gate.publish(APPS, partners={"pay": wider})
    assert published.closed == {"app_pay"}
    assert "trusted CA" in published.refusals["app_pay"]
    assert gate.status("pay", "/accounts/7") == 503
    assert gate.status("other") == 200


def test_a_refused_renewal_keeps_the_former_certificate(gate: Gate) -> None:
    """A renewed server certificate with another key: the door stays open with the one that it has, and it is told."""
    gate.certificates["pay"] = gate.site.server_certificate("server-2")
    assert not gate.publish(APPS).refusals
    before, stranger = gate.served(), gate.site.server_certificate("server-3")
    gate.certificates["pay"] = replace(gate.certificates["pay"], key_path=stranger.key_path)
    published = gate.publish(APPS)
    assert published.closed == frozenset()
    assert published.refusals == {"app_pay": "the key does not fit its certificate"}
    assert gate.served() == before
    gate.certificates["pay"] = stranger
    assert gate.publish(APPS).refusals == {}
    assert gate.served() != before
    assert gate.status("pay", "/accounts/7") == gate.status("other") == 200


def test_a_door_that_cannot_be_packed_is_closed_alone(gate: Gate) -> None:
    """A misspelt field never silently drops a control: it is found before anything is sent."""

    def misspell(resource: Resource) -> None:
        if resource.get("name") == IDS["pay"] and "virtual_hosts" in resource:
            resource["reqest_headers_to_remove"] = ["client-cert"]

    gate.alter = misspell
    published = gate.publish({**APPS, "pay": APPS["pay"][:1]})
    assert published.closed == {"app_pay"}
    assert "reqest_headers_to_remove" in published.refusals["app_pay"]
    assert gate.status("pay", "/accounts/7") == 503
    assert gate.status("other") == 200


def test_a_listener_that_envoy_refuses_leaves_the_former_one(gate: Gate) -> None:
    """What all doors share cannot cost one application: the error has Envoy's words, and every door is as before."""

    def spoil(resource: Resource) -> None:
        if resource.get("@type") == LISTENER:
            resource["socket_options"] = [{"level": 1, "name": 2}]

    gate.alter = spoil
    with gate.web_socket() as lives:
        with refused(ConfigurationError, "envoy-refused-configuration") as caught:
            gate.publish({**APPS, "new": ALL["new"]})
        assert "listener" in caught.value.detail
        assert gate.status("other") == 200
        assert lives()


# an upstream with a name that no server tells


def asking(port: int, *apps: str) -> Callable[[Resource], None]:
    """Have the names of applications looked up at a name server of the test's own."""
    kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    resolver = {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {"@type": kind, "resolvers": [address]},
    }

    def alter(resource: Resource) -> None:
        if resource.get("@type") == CLUSTER and resource["name"] in {IDS[one] for one in apps}:
            resource["cluster_type"]["typed_config"]["typed_dns_resolver_config"] = resolver

    return alter


def test_a_silent_name_server_holds_up_its_own_application_only(gate: Gate) -> None:
    """The publication is acknowledged, others are open, and later edits come into force."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        gate.alter = asking(silent.getsockname()[1], "new")
        gate.site.upstreams["new"] = HttpUpstream(host="app.silent.example", port=80)
        with gate.web_socket() as lives:
            published = gate.publish({**APPS, "new": ALL["new"]})
            assert (dict(published.refusals), published.closed) == ({}, frozenset())
            assert gate.status("new") == 503
            assert gate.status("other") == 200
            gate.publish({**APPS, "new": ALL["new"], "tls": ALL["tls"]})
            assert gate.status("tls") == 200
            assert lives()


def test_publishing_is_quick(gate: Gate) -> None:
    """New connections wait for a publication, so it takes 0.1 s; far less than Envoy's patience even on a busy machine."""
    rules = [(*APPS["pay"], allow(f"rule {number}", f"group{number}")) for number in range(10)]
    assert min(gate.publish({**APPS, "pay": one}).seconds for one in rules) < 2
