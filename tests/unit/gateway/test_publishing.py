"""Publishing over a founded world: the order of a transition, what waits for it, and what a failure leaves."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from doorward.audit.events import EventType
from doorward.authority import directory, policies
from doorward.authority.gateways import open_orders
from doorward.authority.issuing import issue_server
from doorward.core.entities import TENANT, PrincipalKind
from doorward.core.errors import DoorwardError, Unavailable
from doorward.enforcement.plan import OpenRoute, SocketAddress
from doorward.gateway import publishing as module
from doorward.gateway.connections import Connections
from doorward.gateway.ending import Ending
from doorward.gateway.gate import PolicyGate
from doorward.gateway.publishing import (
    CARRIED_LIFETIME,
    CHECK_SECONDS,
    ENROL_PURPOSE,
    RETRY_SECONDS,
    DoorSettings,
    Publishing,
)
from doorward.gateway.server_certificates import ServerCertificates
from doorward.policy.decision import authority_of
from tests.support.cutting import FakeCutter
from tests.support.fake_envoy import FakeEnvoy, FakeValidator
from tests.support.world import DOCUMENT, OPERATOR, World, found_world
from tests.unit.gateway.standing import enter

READ = "      - name: tellers read accounts\n        allow: {groups: [tellers]}\n"


@dataclass
class Site:
    """A publishing side with everything around it in reach."""

    world: World
    folder: Path
    connections: Connections
    cutter: FakeCutter
    validator: FakeValidator
    gate: PolicyGate
    certificates: ServerCertificates
    envoy: FakeEnvoy | None = None
    story: list[str] = field(default_factory=list)
    publishing: Publishing = None  # type: ignore[assignment]
    followed: int | None = None

    def apply(self, text: str) -> int:
        return policies.apply_document(self.world.services, text, file="test.yaml", actor=OPERATOR).seq

    def wanted(self) -> dict[str, tuple[str, ...]]:
        with self.world.work.read() as books:
            document, _ = policies.current_document(books)
            ids = {one.name: one.id for one in books.applications.list()}
        return {ENROL_PURPOSE: ("enroll.corp.example",)} | {ids[one.name]: one.hosts for one in document.apps}

    def stock(self, *leaving_out: str) -> None:
        """Have every certificate that the policy needs, except for some applications."""
        left = {self.world.application_id(one) for one in leaving_out}
        wanted = {purpose: hosts for purpose, hosts in self.wanted().items() if purpose not in left}
        self.certificates.ensure(wanted)
        self.fill()

    def fill(self) -> None:
        for order in open_orders(self.world.services):
            issue_server(self.world.services, order.id, actor=OPERATOR)

    def prepare(self) -> Path:
        run = self.folder / "run"
        run.mkdir(exist_ok=True)
        bootstrap = self.publishing.prepare(run, threading.Event())
        self.envoy = FakeEnvoy(run / "xds")
        self.story.clear()
        self.validator.checked.clear()
        return bootstrap

    def enter(self, name: str, cookie: int, app: str = "payments") -> None:
        enter(self.world, self.connections, self.world.issue(name), cookie, app=app)

    def judge_again(self, cookie: int) -> None:
        """What the follower does with a connection when something changed: its authority is as of now."""
        one = self.connections.get(cookie)
        assert one is not None
        with self.world.work.read() as books:
            document, _ = policies.current_document(books)
            names = {found.id: found.name for found in books.applications.list()}
        assert one.principal is not None
        principal = self.world.principal(one.principal.name)
        app = document.app(names[one.application_id])
        assert app is not None
        authority = authority_of(app, TENANT, one.application_id, principal)
        self.connections.replace(replace(one, principal=principal, authority=authority))

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
        return {one.stem for one in (self.envoy.xds / "rds").iterdir()} - {"doorward_enrol"}

    def files(self) -> dict[str, bytes]:
        assert self.envoy is not None
        return {
            str(one.relative_to(self.envoy.xds)): one.read_bytes() for one in self.envoy.xds.rglob("*.json")
        }

    def events(self, kind: EventType) -> list[dict[str, object]]:
        return [dict(event.data) for event in self.world.events(kind)]


def make_site(world: World, folder: Path) -> Site:
    """A publishing side over a world, with nothing published."""
    gateway = world.gateway()
    connections, cutter, validator, gate = (
        Connections(sequence=world.head()),
        FakeCutter(),
        FakeValidator(),
        PolicyGate(),
    )
    certificates = ServerCertificates(world.services, gateway.id, folder / "keys")
    site = Site(world, folder, connections, cutter, validator, gate, certificates)
    site.publishing = Publishing(
        world.services,
        gateway.id,
        DoorSettings(
            listen=(SocketAddress(host="127.0.0.1", port=8443),),
            authorizer_socket="/run/authz.sock",
            enrol_socket="/run/enrol.sock",
            enrol_routes=(OpenRoute(method="GET", path="/"),),
            log_file=str(folder / "access.log"),
        ),
        connections=connections,
        ending=Ending(world.services, gateway.id, connections, cutter),  # type: ignore[arg-type]
        certificates=certificates,
        gate=gate,
        validator=validator,  # type: ignore[arg-type]
        admin=lambda: site.envoy,
        published=lambda: site.story.append(f"published {gate.revision}"),
        followed=lambda: site.world.head() if site.followed is None else site.followed,
    )
    cutter.before = lambda: site.story.append("cut")
    validator.before = lambda: site.story.append("checked")
    return site


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for certificates in these tests."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The founded world's policy in force, every certificate there."""
    made = make_site(found_world(), tmp_path)
    made.stock()
    made.prepare()
    return made


# what is in force


def test_a_fresh_envoy_gets_the_newest_policy(site: Site) -> None:
    """Preparing writes every file, opens the gate for the newest revision, and knows the names."""
    payments, sensors = (site.world.application_id(name) for name in ("payments", "sensors"))
    assert site.doors() == {payments, sensors}
    assert site.gate.revision == 1
    assert site.publishing.application_name(payments) == "payments"
    assert site.publishing.trouble() == ""


def test_a_new_policy_comes_into_force(site: Site) -> None:
    """A step brings the newest revision into force, records it, and then opens the gate."""
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.story == ["checked", "published 2"]
    (event,) = site.events(EventType.GATEWAY_PUBLISHED)
    assert event["revision"] == 2


def test_the_gate_opens_only_when_envoy_has_confirmed(site: Site) -> None:
    """While the configuration is checked and written the gate stands at the old revision."""
    seen: list[int] = []
    site.validator.before = lambda: seen.append(site.gate.revision)
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    site.publishing.step()
    assert seen == [1]
    assert site.gate.revision == 2


def test_nothing_new_is_not_published(site: Site) -> None:
    """A look without news touches no file and records nothing."""
    before = site.files()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.validator.checked == []
    assert site.files() == before
    assert site.events(EventType.GATEWAY_PUBLISHED) == []


def test_before_an_envoy_was_prepared_nothing_is_published(tmp_path: Path) -> None:
    """A request that comes before the first Envoy waits for it."""
    site = make_site(found_world(), tmp_path)
    site.publishing.request(5)
    assert site.publishing.step() == RETRY_SECONDS
    assert site.publishing.pending() == 5


def test_an_altered_file_is_put_back(site: Site) -> None:
    """Whoever alters a published file does not change what Envoy enforces for long."""
    assert site.envoy is not None
    before = site.files()
    (site.envoy.xds / "lds.json").write_bytes(b'{"version_info": "x", "resources": []}')
    (site.envoy.xds / "cds.json").unlink()
    site.publishing.step()
    assert site.files() == before


# which numbers are in force


def test_a_number_is_pending_until_its_policy_is_in_force(site: Site) -> None:
    """What was asked for is pending, and is not any more after the publication."""
    assert site.publishing.pending() is None
    seq = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.request(seq)
    assert site.publishing.pending() == seq
    site.publishing.step()
    assert site.publishing.pending() is None


def test_the_oldest_number_is_pending(site: Site) -> None:
    """While two policies wait, the older one is what nothing beyond may be confirmed for."""
    first = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.request(first)
    second = site.apply(DOCUMENT)
    site.publishing.request(second)
    assert site.publishing.pending() == first
    site.publishing.step()
    assert site.publishing.pending() is None


def test_a_failed_publication_stays_pending(site: Site) -> None:
    """What could not be published is not confirmed by anything that is asked for later."""
    first = site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    site.publishing.request(first)
    site.validator.refusal = "no"
    site.publishing.step()
    site.publishing.request(first + 5)
    assert site.publishing.pending() == first


def test_a_request_from_the_future_stays_pending(site: Site) -> None:
    """A number beyond what the publication rested on waits for the next one."""
    ahead = site.world.head() + 1
    site.publishing.request(ahead)
    site.publishing.step()
    assert site.publishing.pending() == ahead


# the order of a transition


def test_the_overreaching_are_ended_before_anything_is_published(site: Site) -> None:
    """Who holds an id that it does not deserve is gone before a policy gives that id more."""
    text = DOCUMENT.replace(
        READ,
        '      - name: also\n        allow: {groups: [clerks]}\n        to: {methods: [GET], paths: ["/accounts/**"]}\n'
        + READ,
    )
    site.publish(text)
    directory.create_group(site.world.services, "clerks", actor=OPERATOR)
    directory.add_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.enter("alice", 1)
    site.enter("bob", 2)
    directory.remove_member(site.world.services, "clerks", "alice", actor=OPERATOR)
    site.judge_again(1)
    site.story.clear()
    site.publish(text.replace('methods: [GET], paths: ["/accounts/**"]', 'paths: ["/vault/**"]'))
    assert site.cutter.cut == [1]
    assert site.story == ["cut", "checked", "published 3"]
    reasons = [one["reason"] for one in site.events(EventType.CONNECTION_CUT)]
    assert reasons == ["authority-withdrawn"]


def test_who_lost_nothing_goes_on_by_an_alias(site: Site) -> None:
    """Where only an id changed, Envoy accepts the connection's class in its place; nobody is cut."""
    site.enter("alice", 1)
    one = site.connections.get(1)
    assert one is not None
    site.publish(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    assert site.cutter.cut == []
    routes = site.files()[f"rds/{one.application_id}.json"].decode()
    assert one.class_token in routes


def test_an_alias_is_for_a_while(site: Site) -> None:
    """A connection that lives by an alias is ended gently when its time is over, not before."""
    site.enter("alice", 1)
    site.publish(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    site.world.clock.turn(seconds=CARRIED_LIFETIME.total_seconds())
    site.publishing.step()
    assert site.cutter.cut == []
    site.world.clock.turn(seconds=1)
    site.publishing.step()
    assert site.cutter.cut == [1]
    assert [one["reason"] for one in site.events(EventType.CONNECTION_CUT)] == ["authority-changed"]
    site.publishing.step()
    assert "t" not in {found[0] for found in _accepted(site)}


def _accepted(site: Site) -> set[str]:
    """The ids that the payments door asks for."""
    text = site.files()[f"rds/{site.world.application_id('payments')}.json"].decode()
    return set(re.findall(r",([gct][a-z2-7]{20}),", text))


def test_who_deserves_more_than_it_shows_is_ended_after(site: Site) -> None:
    """One of a class that deserves more comes back for it; the others of its class go on."""
    directory.add_principal(
        site.world.services, PrincipalKind.PERSON, "dave", groups=("tellers",), actor=OPERATOR
    )
    site.enter("alice", 1)
    site.enter("dave", 2)
    site.story.clear()
    site.publish(
        DOCUMENT.replace(
            READ, "      - name: own\n        allow: {persons: [alice]}\n        to: {paths: [/own]}\n" + READ
        )
    )
    assert site.cutter.cut == [1]
    assert site.story == ["checked", "published 2", "cut"]


def test_connections_of_an_application_that_is_gone_are_ended_first(site: Site) -> None:
    """Nobody stays connected to an application that the policy does not name any more."""
    site.enter("sensor-1", 3, "sensors")
    sensors = site.world.application_id("sensors")
    site.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    site.publishing.step()
    assert site.cutter.cut == [3]
    assert site.story[0] == "cut"
    assert sensors not in site.doors()


def test_who_could_not_be_cut_counts_until_it_is_gone(site: Site) -> None:
    """A condemned connection that resists is still there: no alias may be made that it would pass by."""
    site.enter("alice", 1)
    directory.add_principal(
        site.world.services, PrincipalKind.PERSON, "dave", groups=("tellers",), actor=OPERATOR
    )
    site.enter("dave", 2)
    site.connections.condemn(2)
    directory.remove_member(site.world.services, "tellers", "dave", actor=OPERATOR)
    one = site.connections.get(1)
    assert one is not None
    condemned = site.connections.condemned()
    assert [found.class_token for found in condemned] == [one.class_token]
    site.apply(DOCUMENT.replace("allow: {groups: [tellers]}", "allow: {groups: [tellers, clerks]}"))
    site.judge_again(1)
    site.publishing.step()
    assert one.class_token not in site.files()[f"rds/{one.application_id}.json"].decode()


def test_what_is_deserved_is_judged_by_the_policy_that_is_published(site: Site) -> None:
    """Where policies follow closely the registry may know another one: nobody is cut or left without for that."""
    site.enter("alice", 1)
    one = site.connections.get(1)
    assert one is not None
    site.apply(DOCUMENT.replace("deny: {groups: [contractors]}", "deny: {groups: [contractors, guests]}"))
    site.publishing.step()
    assert site.cutter.cut == []
    assert one.class_token in _accepted(site)


def test_nothing_is_published_before_the_follower_has_acted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aliases are counted over connections that were all compared with this policy, or not at all."""
    monkeypatch.setattr(module, "FOLLOWER_SECONDS", -1.0)
    site.followed = site.world.head()
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]"))
    before = site.files()
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert "compared" in site.publishing.trouble()
    site.followed = site.world.head()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.publishing.trouble() == ""


# failures


def test_a_refused_configuration_changes_nothing(site: Site) -> None:
    """What Envoy would refuse leaves every file, the gate and the connections as they were, and is said."""
    site.enter("alice", 1)
    before = site.files()
    site.validator.refusal = "an odd thing"
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert site.gate.revision == 1
    assert "an odd thing" in site.publishing.trouble()
    assert site.story == ["checked"]
    assert site.events(EventType.GATEWAY_PUBLISHED) == []


def test_a_failure_is_recorded_once(site: Site) -> None:
    """Trying again and failing the same way is no news; another failure is."""
    site.validator.refusal = "an odd thing\nin two lines"
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    site.publishing.step()
    site.publishing.step()
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert (event["revision"], event["reason"]) == (1, "envoy-refused-configuration")
    site.validator.refusal = "another thing"
    site.publishing.step()
    assert len(site.events(EventType.GATEWAY_ROLLED_BACK)) == 2
    site.validator.refusal = ""
    site.publishing.step()
    assert site.publishing.trouble() == ""
    assert site.gate.revision == 2


def test_what_envoy_rejects_is_rolled_back(site: Site) -> None:
    """Where the running Envoy does not take what it would have taken, the former files are put back."""
    assert site.envoy is not None
    site.envoy.statistics()
    before = site.files()
    site.envoy.rejecting = True
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert site.gate.revision == 1
    (event,) = site.events(EventType.GATEWAY_ROLLED_BACK)
    assert event["reason"] == "gateway:rolled-back"
    site.envoy.rejecting = False
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2


def test_a_store_that_is_away_changes_nothing(site: Site) -> None:
    """Without the store nothing is published, and the thread goes on."""
    site.world.work.broken = Unavailable("database-unavailable", "the disk is gone")
    assert site.publishing.step() == RETRY_SECONDS
    assert site.publishing.trouble() == "the disk is gone"
    site.world.work.broken = None
    assert site.publishing.step() == CHECK_SECONDS
    assert site.publishing.trouble() == ""


def test_a_defect_is_borne_and_said(site: Site) -> None:
    """An exception that nobody expected leaves the old configuration in force, and status says so."""

    def defect() -> None:
        raise RuntimeError("a defect")

    before = site.files()
    site.validator.before = defect
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert site.gate.revision == 1
    assert site.publishing.trouble()


def test_a_listener_that_fails_does_not_end_the_thread(site: Site) -> None:
    """Whoever is told of a publication and fails at it takes nothing else down."""

    def fail() -> None:
        raise Unavailable("database-unavailable", "locked")

    site.publishing._published = fail
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == RETRY_SECONDS
    assert site.gate.revision == 2


def test_a_record_that_fails_holds_up_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication comes into force also where its event cannot be recorded."""

    def full(_events: object) -> None:
        raise Unavailable("database-unavailable", "the disk is full")

    monkeypatch.setattr(site.world.work, "record", full)
    site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    assert site.publishing.step() == CHECK_SECONDS
    assert site.gate.revision == 2


# certificates


def test_a_door_without_a_certificate_is_left_out_until_it_comes(tmp_path: Path) -> None:
    """Doors that have a certificate open at once; the others follow, and status names them meanwhile."""
    site = make_site(found_world(), tmp_path)
    site.stock("sensors")
    site.prepare()
    payments, sensors = (site.world.application_id(name) for name in ("payments", "sensors"))
    assert site.doors() == {payments}
    assert "sensors" in site.publishing.trouble()
    assert site.publishing.step() == RETRY_SECONDS
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS
    assert site.doors() == {payments, sensors}
    assert site.publishing.trouble() == ""


def test_the_enrolment_door_may_come_later_too(tmp_path: Path) -> None:
    """Applications do not wait for the enrolment host's certificate."""
    site = make_site(found_world(), tmp_path)
    payments = site.world.application_id("payments")
    site.certificates.ensure({payments: ("payments.corp.example",)})
    site.fill()
    site.prepare()
    assert site.envoy is not None
    assert not (site.envoy.xds / "rds" / "doorward_enrol.json").exists()
    assert ENROL_PURPOSE in site.publishing.trouble()
    site.fill()
    site.publishing.step()
    assert (site.envoy.xds / "rds" / "doorward_enrol.json").exists()


def test_without_any_certificate_no_envoy_starts(tmp_path: Path) -> None:
    """Where nobody issues, preparing waits, and gives up when it is told to stop."""
    site = make_site(found_world(), tmp_path)
    stop = threading.Event()
    stop.set()
    with pytest.raises(DoorwardError) as caught:
        site.publishing.prepare(tmp_path / "run", stop)
    assert caught.value.code == "no-server-certificate"
    assert "doorward serve" in caught.value.hint


def test_the_first_certificate_is_waited_for(tmp_path: Path) -> None:
    """Preparing goes on as soon as the first certificate is there."""
    site = make_site(found_world(), tmp_path)

    class Issuing(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            site.fill()
            return False

    (tmp_path / "run").mkdir()
    assert site.publishing.prepare(tmp_path / "run", Issuing()).exists()


def test_ordered_certificates_are_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publication waits a moment for the certificates that it ordered, and has them in it."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    ensure = site.certificates.ensure

    def issuing(wanted: dict[str, tuple[str, ...]]) -> object:
        ready = ensure(wanted)
        site.fill()
        site.publishing.order_changed()
        return ready

    monkeypatch.setattr(site.certificates, "ensure", issuing)
    more = "  more:\n    hosts: [more.corp.example]\n    upstream: http://127.0.0.1:9002\n    rules:\n"
    site.apply(f"{DOCUMENT}{more}      - allow: {{groups: [tellers]}}\n")
    assert site.publishing.step() == CHECK_SECONDS
    assert site.world.application_id("more") in site.doors()


def test_losing_every_certificate_is_said(site: Site) -> None:
    """Where no certificate is left the old configuration stays, and status says what is missing."""
    before = site.files()
    for folder in (site.folder / "keys").iterdir():
        for order in folder.iterdir():
            (order / "chain.pem").write_text("garbage")
    assert site.publishing.step() == RETRY_SECONDS
    assert site.files() == before
    assert "certificate" in site.publishing.trouble()
    site.fill()
    assert site.publishing.step() == CHECK_SECONDS


def test_keys_are_deleted_only_when_nothing_names_them(site: Site) -> None:
    """The key of an application that is removed stays until the policy without it is in force."""
    sensors = site.world.application_id("sensors")
    site.apply(DOCUMENT.split("  sensors:\n    hosts")[0])
    site.validator.refusal = "no"
    site.publishing.step()
    assert (site.folder / "keys" / sensors).exists()
    site.validator.refusal = ""
    site.publishing.step()
    assert not (site.folder / "keys" / sensors).exists()


# the thread


def test_the_thread_publishes_what_is_asked_for_and_stops(site: Site) -> None:
    """A request wakes the thread; being told to stop ends it."""
    stop = threading.Event()
    published = threading.Event()
    site.publishing._published = published.set
    worker = threading.Thread(target=site.publishing.run, args=(stop,))
    worker.start()
    site.publishing.request(
        site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET, HEAD, POST]"))
    )
    assert published.wait(10)
    published.clear()
    site.publishing.order_changed()
    assert published.wait(10)
    stop.set()
    site.publishing.wake()
    worker.join(10)
    assert not worker.is_alive()
    assert site.gate.revision == 2


def test_what_failed_waits_for_its_time(site: Site) -> None:
    """A policy that Envoy refuses is not tried again at once, but something newer is."""
    site.validator.refusal = "no"
    site.publishing.request(site.apply(DOCUMENT.replace("methods: [GET, HEAD]", "methods: [GET]")))
    stop = threading.Event()
    site.validator.before = stop.set
    site.publishing.run(stop)
    assert site.publishing.pending() is not None
    assert not site.publishing._is_due()
    site.publishing.request(site.world.head() + 1)
    assert site.publishing._is_due()


def test_the_bootstrap_names_the_run(site: Site) -> None:
    """Every run of Envoy has its own folder for what it reads."""
    bootstrap = json.loads(site.prepare().read_text())
    assert str(site.folder / "run" / "xds") in json.dumps(bootstrap)
