"""Publishing over a founded world: the order of a transition, what waits for it, and what a failure leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from doorward.access import policies
from doorward.audit.events import EventType
from doorward.authority.orders import fill_order, open_orders
from doorward.core.entities import TENANT
from doorward.core.errors import ConfigurationError, Fault
from doorward.enforcement.plan import SocketAddress
from doorward.gateway.authorizer.gate import PolicyGate
from doorward.gateway.connections.ending import ConnectionEnder
from doorward.gateway.connections.journal import Journal
from doorward.gateway.connections.registry import ConnectionRegistry
from doorward.gateway.door_settings import DoorSettings
from doorward.gateway.forbidden_upstreams import ForbiddenUpstreams
from doorward.gateway.publishing import transition as module
from doorward.gateway.publishing.application_files import ApplicationFiles
from doorward.gateway.publishing.configuration import wanted_hosts
from doorward.gateway.publishing.discovery.api import load_api
from doorward.gateway.publishing.discovery.messages import LISTENER, ROUTES
from doorward.gateway.publishing.discovery.subscriptions import Key
from doorward.gateway.publishing.last_published import LastPublished
from doorward.gateway.publishing.portal_certificate import PortalCertificate
from doorward.gateway.publishing.server_certificates import ServerCertificates
from doorward.gateway.publishing.transition import PolicyPublisher
from doorward.policy.decision import permissions_of
from doorward.policy.subject import Subject
from doorward.stores.policy_snapshot import PolicySnapshots
from tests.support.altering import AlteringApi
from tests.support.cutting import FakeCutter
from tests.support.fake_envoy import FakeEnvoy
from tests.support.world import OPERATOR, World, found_world
from tests.unit.gateway.standing import enter

READ = "      - name: tellers read accounts\n        allow: {groups: [tellers]}\n"


@dataclass
class Site:
    """A publishing side with everything around it in reach."""

    world: World
    folder: Path
    connections: ConnectionRegistry
    cutter: FakeCutter
    gate: PolicyGate
    certificates: ServerCertificates
    envoy: FakeEnvoy | None = None
    story: list[str] = field(default_factory=list)
    publishing: PolicyPublisher = None  # type: ignore[assignment]
    followed: int | None = None
    ordered_portal: str = ""  # the portal's host, if our own authority certifies it
    est_host: str = ""
    unfit: Callable[[str], str] = lambda _: ""  # why a resource or a chain, as text, cannot be packed

    def lets_in(self, name: str) -> bool:
        """Whether a judgement of now about an application may go on."""
        newest = self.world.snapshot()
        one = newest.ids[name]
        return self.gate.wait(newest.revision, one, newest.policies[one], 0.0)

    def apply(self, text: str) -> int:
        return policies.apply_document(self.world.services, text, file="test.yaml", actor=OPERATOR).seq

    def wanted(self) -> dict[str, tuple[str, ...]]:
        return wanted_hosts(self.world.snapshot(), self.ordered_portal, self.est_host)

    def stock(self, *leaving_out: str) -> None:
        """Have every certificate that the policy needs, except for some applications."""
        left = {self.world.application_id(one) for one in leaving_out}
        wanted = {purpose: hosts for purpose, hosts in self.wanted().items() if purpose not in left}
        self.certificates.ensure(wanted)
        self.fill()

    def fill(self) -> None:
        for order in open_orders(self.world.services):
            fill_order(self.world.services, order.id, actor=OPERATOR)

    def prepare(self) -> Path:
        """Start an Envoy, which connects and answers."""
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        bootstrap = self.publishing.prepare(run, threading.Event())
        self.start()
        return bootstrap

    def start(self) -> FakeEnvoy:
        """Have a new Envoy connect, and wait until it is verified."""
        envoy, stream = FakeEnvoy(), self.publishing.open_stream()
        assert stream is not None
        if self.envoy is not None:
            envoy.refuse, envoy.judge = self.envoy.refuse, self.envoy.judge
        envoy.connect(stream)
        self.publishing.verify(envoy)
        envoy.before = self._note_sent
        self.envoy = envoy
        self.story.clear()
        return envoy

    def connect_again(self) -> None:
        """Have the running Envoy lose its connection and connect again; it answers from now on."""
        assert self.envoy is not None
        stream = self.publishing.open_stream()
        assert stream is not None
        self.envoy.is_silent = False
        self.envoy.connect(stream)

    def refuse_table(self, name: str, words: str) -> None:
        """Have Envoy refuse every table of an application, except the one that closes it; without words, none."""
        assert self.envoy is not None
        refused = ROUTES, self.world.application_id(name)

        def judge(key: Key, body: bytes) -> str:
            return words if key == refused and b"application-closed" not in body else ""

        self.envoy.judge = judge

    def _note_sent(self, _: Key) -> None:
        if self.story[-1:] != ["sent"]:
            self.story.append("sent")

    def check(self, resource: dict[str, Any]) -> dict[str, Any]:
        """Let a resource be packed, or say why not."""
        if words := self.unfit(str(resource)):
            raise ConfigurationError([Fault(code="envoy-refused-configuration", message=words)])
        return resource

    def enter(self, name: str, cookie: int, app: str = "payments") -> None:
        enter(self.world, self.connections, self.world.issue(name), cookie, app=app)

    def judge_again(self, cookie: int) -> None:
        """Do as the follower: give a connection its present permissions."""
        one = self.connections.get(cookie)
        assert one is not None
        assert one.subject is not None
        subject = Subject(principal=self.world.principal(one.subject.principal.name))
        app = self.world.snapshot().policies[one.application_id]
        permissions = permissions_of(app, TENANT, one.application_id, subject)
        self.connections.replace(replace(one, subject=subject, permissions=permissions))

    def publish(self, text: str) -> float:
        """Apply a document, judge every connection again, and publish."""
        self.apply(text)
        self.stock()
        for one in self.connections.all():
            self.judge_again(one.cookie)
        return self.publishing.step()

    def doors(self) -> set[str]:
        """The applications that Envoy has a door for."""
        assert self.envoy is not None
        return self.envoy.names(ROUTES) - {"doorward_enrol", "doorward_est"}

    def table(self, application_id: str = "") -> str:
        """An application's table in force, as text; without an id, that of payments."""
        body = self.in_force()[ROUTES, application_id or self.world.application_id("payments")]
        return body.decode("latin-1")

    def listener(self) -> str:
        """The listener in force, as text."""
        return self.in_force()[LISTENER, "door"].decode("latin-1")

    def in_force(self) -> dict[Key, bytes]:
        """What Envoy has in force."""
        assert self.envoy is not None
        return self.envoy.in_force()

    def events(self, kind: EventType) -> list[dict[str, object]]:
        return [dict(event.data) for event in self.world.events(kind)]


def make_site(world: World, folder: Path, *, journal: Path | None = None, **settings: Any) -> Site:
    """A publishing side over a world, with nothing published; `settings` are further ones of the door."""
    gateway = world.gateway()
    kept = Journal(journal, boot_id="boot") if journal else None
    connections, cutter, gate = ConnectionRegistry(kept, sequence=world.head()), FakeCutter(), PolicyGate()
    certificates = ServerCertificates(world.services, gateway.id, folder / "keys")
    site = Site(world, folder, connections, cutter, gate, certificates)
    site.est_host = settings.get("est_host", "")
    site.ordered_portal = "" if settings.get("portal_files") else settings.get("portal_host", "")
    site.publishing = PolicyPublisher(
        world.services,
        gateway.id,
        DoorSettings(
            forbidden_upstreams=ForbiddenUpstreams(folder=Path("/nowhere")),
            listen=(SocketAddress(host="127.0.0.1", port=8443),),
            authorizer_socket="/run/authz.sock",
            discovery_socket="/run/envoy.sock",
            enrol_socket="/run/enrol.sock",
            log_file=str(folder / "access.log"),
            **settings,
        ),
        snapshots=PolicySnapshots(),
        connections=connections,
        ender=ConnectionEnder(world.services, gateway.id, connections, cutter),  # type: ignore[arg-type]
        certificates=certificates,
        gate=gate,
        api=AlteringApi(load_api(), site.check),
        last_published=LastPublished(folder / "published"),
        statistics=lambda: site.envoy,
        published=lambda: site.story.append(f"published {gate.revision}"),
        portal=PortalCertificate(
            settings.get("portal_files"), settings.get("portal_host", ""), folder / "portal"
        ),
        files=ApplicationFiles(folder / "applications"),
        followed=lambda: site.world.head() if site.followed is None else site.followed,
        catch_up=lambda seq: site.story.append(f"caught up with {seq}"),
    )
    cutter.before = lambda: site.story.append("cut")
    return site


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """In these tests publishing does not wait for certificates."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The founded world's policy in force, every certificate there."""
    made = make_site(found_world(), tmp_path)
    made.stock()
    made.prepare()
    return made
