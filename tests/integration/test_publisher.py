"""Publishing into a real Envoy: in force without a drop, or rolled back with everything as before."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from doorward.gateway.publishing.validation import Validator

from doorward.core.errors import ConfigurationError, Unavailable
from doorward.enforcement.envoy.names import TRUST_SECRET
from doorward.gateway.publishing.publisher import XdsPublisher
from doorward.policy.model import HttpUpstream, Rule
from doorward.runtime.world import SystemClock
from tests.support.door_site import APPS, CLEARED, TELLER, DoorSite, allow, deny, echo_upstream, id_of
from tests.support.envoy_process import ENVOY, RunningEnvoy, ToyAuthorizer, facts_of, launched_envoy
from tests.support.refusals import refused
from tests.support.resources import DiscoveryService, Resources


@dataclass
class Gate:
    """A publisher and the Envoy that it feeds."""

    site: DoorSite
    publisher: XdsPublisher
    authorizer: ToyAuthorizer
    envoy: RunningEnvoy

    def publish(self, apps: Mapping[str, Sequence[Rule]], **options: object) -> float:
        """Publish these applications; return the seconds it took."""
        return self.publisher.publish(self.site.resources(apps, **options), self.envoy.admin).seconds

    def files(self) -> dict[str, bytes]:
        """Every file that Envoy watches."""
        xds = self.site.xds
        return {str(one.relative_to(xds)): one.read_bytes() for one in xds.rglob("*.json")}


@contextmanager
def standing_gate(folder: Path) -> Iterator[Gate]:
    """Start an Envoy the way the gateway does: prepared by the publisher."""
    with echo_upstream() as port:
        site = DoorSite(folder, port)
        validator = Validator(Path(ENVOY), folder / "check")
        publisher = XdsPublisher(site.xds, validator=validator, clock=SystemClock())
        bootstrap = publisher.prepare(site.resources(APPS), node="test", folder=folder)
        with (
            ToyAuthorizer(facts_of(TELLER, CLEARED)).serving(folder / "authz.sock") as authorizer,
            launched_envoy(bootstrap, folder) as envoy,
        ):
            yield Gate(site, publisher, authorizer, envoy)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A gate of the test's own."""
    with standing_gate(tmp_path) as one:
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
    assert (
        gate.envoy.admin.statistics("filter_chains_draining")["listener_manager.total_filter_chains_draining"]
        == 0
    )


def test_only_what_changed_is_written(gate: Gate) -> None:
    """An edit of one application's rules touches its route table alone."""
    resources = gate.site.resources({**APPS, "other": (allow("some", "some"),)})
    published = gate.publisher.publish(resources, gate.envoy.admin)
    assert published.changed == ("rds/app_other.json",)
    assert published.version == resources.version
    assert gate.publisher.publish(resources, gate.envoy.admin).changed == ()


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
    gate.authorizer.facts = facts_of(TELLER, CLEARED, "tclass")
    with gate.site.connect("pay.test") as connection:
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
        gate.publish({"pay": (edited,)}, aliases={id_of("pay", edited): frozenset({"tclass"})})
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200


def test_an_application_comes_and_goes(gate: Gate) -> None:
    """A new application answers when publish returns; a removed one is gone, its files too."""
    with gate.site.connect("pay.test") as connection:
        for _ in range(3):
            gate.publish({**APPS, "new": (allow("all", "tellers"),)})
            gate.authorizer.answers["app_new"] = facts_of(id_of("new", allow("all", "tellers")))
            assert gate.site.ask("GET", "/x", host="new.test").status == 200
            assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200
            gate.publish(APPS)
            assert gate.site.alert("new.test") != ""
            assert "rds/app_new.json" not in gate.files()
            assert "app_new" not in gate.files()["cds.json"].decode()
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200


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
        for number in range(6):
            gate.site.upstream = first if number % 2 else HttpUpstream(host="127.0.0.1", port=other_port)
            gate.publish({**APPS, **({} if number % 2 else {"new": (allow("all", f"group{number}"),)})})
    assert len(statuses) > 10
    assert set(statuses) == {200}


def test_a_new_server_certificate_is_served_without_a_drop(gate: Gate) -> None:
    """Renewal of the server's certificate touches secrets only; open connections go on."""

    def served() -> bytes | None:
        with gate.site.connect("pay.test") as connection:
            return connection.getpeercert(binary_form=True)

    with gate.site.connect("pay.test") as connection:
        before = served()
        renewed = replace(gate.site.server_certificate("server-2"), name="server-1")
        published = gate.publisher.publish(gate.site.resources(APPS, certificate=renewed), gate.envoy.admin)
        assert published.changed == ("sds/server-1.json",)
        assert served() != before
        assert gate.site.ask("GET", "/accounts/7", over=connection).status == 200


def test_what_envoy_would_refuse_is_never_written(gate: Gate) -> None:
    """A configuration that fails the check changes no file, and the error has Envoy's own words."""
    before = gate.files()
    broken = gate.site.resources({**APPS, "new": (allow("all", "x"),)})
    broken.routes["app_new"]["virtual_hosts"][0]["domains"] = []
    with refused(ConfigurationError, "envoy-refused-configuration") as caught:
        gate.publisher.publish(broken, gate.envoy.admin)
    assert "Domains" in caught.value.detail
    assert gate.files() == before
    assert gate.site.ask("GET", "/accounts/7").status == 200


class Believer(Validator):
    """A check that finds everything good, so that Envoy itself must refuse."""

    def check(self, rendering: Mapping[str, object]) -> None:
        """Believe."""


@pytest.mark.parametrize(
    "service", [DiscoveryService.RDS, DiscoveryService.LDS, DiscoveryService.SDS, DiscoveryService.CDS]
)
def test_what_envoy_refuses_is_rolled_back(gate: Gate, service: DiscoveryService) -> None:
    """If a file of any discovery service is refused, the former files are back and in force, and the error says so."""
    before = gate.files()
    gate.publisher._validator = Believer(Path(ENVOY), gate.site.folder / "check")
    broken = _break(gate.site.resources({**APPS, "pay": (APPS["pay"][0],), "new": ()}), service)
    with refused(Unavailable, "publication-rolled-back") as caught:
        gate.publisher.publish(broken, gate.envoy.admin)
    assert "in force" in caught.value.detail
    assert gate.files() == before
    assert gate.site.ask("POST", "/transfers").status == 200
    gate.publish({**APPS, "pay": (APPS["pay"][0],)})
    assert gate.site.ask("POST", "/transfers").status == 403


def _break(resources: Resources, service: DiscoveryService) -> Resources:
    listener, *_ = resources.listeners
    clusters = list(resources.clusters)
    match service:
        case DiscoveryService.RDS:
            resources.routes["app_pay"]["virtual_hosts"][0]["domains"] = []
        case DiscoveryService.LDS:
            listener["filter_chains"][0]["filters"][0]["typed_config"]["max_connections"] = 0
        case DiscoveryService.SDS:
            resources.secrets[TRUST_SECRET]["validation_context"]["trusted_ca"] = {"inline_string": "rubbish"}
        case DiscoveryService.CDS:
            clusters[0] = {**clusters[0], "connect_timeout": "-1s"}
    return replace(resources, clusters=tuple(clusters))


def test_an_unknown_field_is_refused_at_run_time_too(gate: Gate) -> None:
    """A typing error never silently drops a control."""
    gate.publisher._validator = Believer(Path(ENVOY), gate.site.folder / "check")
    misspelt = gate.site.resources({**APPS, "pay": (APPS["pay"][0],)})
    misspelt.routes["app_pay"]["reqest_headers_to_remove"] = ["client-cert"]
    with pytest.raises(Unavailable, match=r"app_pay"):
        gate.publisher.publish(misspelt, gate.envoy.admin)


def test_garbage_from_elsewhere_is_put_right(gate: Gate) -> None:
    """A file that another program altered is found and replaced; Envoy goes back to it."""
    table = gate.site.xds / "rds" / "app_pay.json"
    assert gate.publisher.repair(gate.envoy.admin) == ()
    table.write_bytes(b"garbage")  # in place: Envoy does not even look
    assert gate.publisher.repair(gate.envoy.admin) == ("rds/app_pay.json",)
    other = gate.site.xds / "rds" / ".garbage"
    other.write_bytes(b"{")
    other.rename(table)  # Envoy refuses it and keeps the old one
    assert gate.publisher.repair(gate.envoy.admin) == ("rds/app_pay.json",)
    open_to_all = json.loads((gate.site.xds / "rds" / "app_pay.json").read_bytes())
    open_to_all["resources"][0]["virtual_hosts"][0]["routes"] = [
        {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    ]
    other.write_text(json.dumps(open_to_all))
    other.rename(table)  # Envoy takes it
    (gate.site.xds / "lds.json").unlink()
    assert gate.publisher.repair(gate.envoy.admin) == ("rds/app_pay.json", "lds.json")
    assert gate.site.ask("GET", "/accounts/7").seen["path"] == "/accounts/7"
    assert gate.publisher.repair(gate.envoy.admin) == ()


def test_when_envoy_dies_meanwhile_the_former_files_are_back(gate: Gate) -> None:
    """A publication without confirmation leaves the former files for the next start."""
    before = gate.files()
    gate.envoy.process.terminate()
    gate.envoy.process.wait(5)
    with refused(Unavailable, "publication-rolled-back"):
        gate.publish({**APPS, "pay": ()})
    assert gate.files() == before


def test_without_envoy_files_wait_for_its_start(gate: Gate) -> None:
    """If no Envoy runs, there is nothing to confirm: the next start reads the newest files."""
    shutil.copytree(gate.site.xds, gate.site.folder / "copy")
    gate.publisher.publish(gate.site.resources({**APPS, "pay": ()}), None)
    assert gate.files()["rds/app_pay.json"] != (gate.site.folder / "copy/rds/app_pay.json").read_bytes()


def test_files_are_closed_to_others(gate: Gate) -> None:
    """Only the gateway's user reads or writes the files that Envoy reads."""
    for one in (gate.site.xds, *gate.site.xds.rglob("*"), gate.site.folder / "bootstrap.json"):
        assert one.stat().st_mode & 0o077 == 0, one


def test_publishing_is_quick(gate: Gate) -> None:
    """New connections wait for a publication, so it takes 0.1 s; far less than Envoy's patience even on a busy machine."""
    rules = [(*APPS["pay"], allow(f"rule {number}", f"group{number}")) for number in range(10)]
    assert min(gate.publish({**APPS, "pay": one}) for one in rules) < 2
