"""Nothing half-understood is in force."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from doorward.gateway.publishing.validation import Validator

from doorward.core.errors import ConfigurationError
from doorward.enforcement.envoy.bootstrap import build_bootstrap
from doorward.enforcement.plan import GatewayLimits
from doorward.gateway.publishing.publisher import XdsPublisher
from doorward.runtime.world import SystemClock
from tests.support.attacks import HTTP, TLS, Edit, H2Client, added, altered, changed, command_of, without
from tests.support.compiled_door import CompiledDoor, CompiledDoors, launched
from tests.support.door_site import APPS, DoorSite
from tests.support.envoy_process import ENVOY, write_resources
from tests.support.resources import DiscoveryService, Resources, render_file, static_rendering

pytestmark = pytest.mark.xdist_group("posture-unknown-fields")


FLAG = "--reject-unknown-dynamic-fields"


def misspelt(*steps: str | int, right: str, wrong: str, value: object) -> tuple[Edit, Edit]:
    """Write a field under another name."""
    return without(*steps, right), added(*steps, wrong, value=value)


TYPING_ERRORS = {
    "client certificate": misspelt(
        *TLS, right="require_client_certificate", wrong="require_client_certificat", value=True
    ),
    "streams": misspelt(
        *(*HTTP, "http2_protocol_options"),
        right="max_concurrent_streams",
        wrong="max_concurrent_stream",
        value=1,
    ),
}
ROUTE_ERROR = misspelt(
    *("routes", "app_pay"), right="request_headers_to_remove", wrong="request_headers_to_strip", value=["x"]
)


class TestTypingErrors:
    """Item 10: Envoy ignores fields that it does not know, and with them the control."""

    @pytest.mark.parametrize("error", TYPING_ERRORS)
    def test_a_listener_with_one_is_not_opened(self, doors: CompiledDoors, error: str) -> None:
        """At the start no listener comes up rather than one without its control."""
        with doors.open(*TYPING_ERRORS[error], whole=False) as door:
            assert door.rejected()
            with pytest.raises(OSError, match="refused"):
                door.connect()

    @pytest.mark.parametrize("error", TYPING_ERRORS)
    def test_without_the_flag_the_control_is_gone(self, doors: CompiledDoors, error: str) -> None:
        """Without `--reject-unknown-dynamic-fields` the door opens and lacks the misspelt protection."""
        with doors.open(*TYPING_ERRORS[error], drop_flags=[FLAG]) as door:
            if error == "client certificate":
                assert door.site.alert("pay.test", None) == ""
            else:
                with door.connect(h2=True) as connection:
                    client = H2Client(connection)
                    assert client.ask("/accounts/7").status == 200
                    assert client.most_streams() > GatewayLimits().streams_per_connection

    def test_an_update_with_one_leaves_the_old_in_force(self, doors: CompiledDoors) -> None:
        """A route table with a typing error is refused while the door runs; the old one goes on."""
        for flags, refused in (((), True), ((FLAG,), False)):
            with doors.open(drop_flags=flags) as door:
                wrong = altered(door.resources, *ROUTE_ERROR).routes["app_pay"]
                _replace(door, "rds/app_pay.json", wrong)
                before = time.monotonic()
                name = "http.app_pay.rds.app_pay.update_"
                counted = "rejected" if refused else "success"
                wanted = 1 if refused else 2
                while door.envoy.admin.statistics(name)[name + counted] < wanted:
                    assert time.monotonic() - before < 5
                    time.sleep(0.01)
                assert door.site.ask("GET", "/accounts/7").status == 200

    def test_the_check_before_publishing_refuses_it_too(self, doors: CompiledDoors, tmp_path: Path) -> None:
        """Nothing with an unknown field gets as far as Envoy's folder."""
        validator = Validator(Path(ENVOY), tmp_path)
        resources = doors.site.resources(APPS)
        validator.check(static_rendering(resources))
        for edits in (*TYPING_ERRORS.values(), ROUTE_ERROR):
            with pytest.raises(ConfigurationError):
                validator.check(static_rendering(altered(resources, *edits)))

    def test_the_flag_is_on_the_command_line(self, door: CompiledDoor) -> None:
        """The running Envoy was started with it."""
        assert FLAG in command_of(door.envoy.process.pid)


class TestDynamicFiles:
    """Section 10: `--mode validate` does not open the files that a bootstrap names."""

    def test_garbage_passes_a_check_of_the_bootstrap(self, doors: CompiledDoors, tmp_path: Path) -> None:
        """The bootstrap of a folder of garbage is OK to Envoy."""
        site = doors.twin()
        resources = site.resources(APPS)
        write_resources(resources, site.xds)
        for one in site.xds.rglob("*.json"):
            one.write_text("{ garbage")
        config = build_bootstrap(
            resources.base, node="n", admin_socket=str(tmp_path / "a"), xds=str(site.xds)
        )
        path = tmp_path / "bootstrap.json"
        path.write_text(json.dumps(config))
        assert _validate(path) == 0

    @pytest.mark.parametrize("part", ["listener", "route", "cluster", "secret"])
    def test_garbage_does_not_pass_ours(self, doors: CompiledDoors, tmp_path: Path, part: str) -> None:
        """The static rendering, made from the very dicts that are published, shows it."""
        edits = {
            "listener": added("listeners", "door", "garbage", value=1),
            "route": added("routes", "app_pay", "virtual_hosts", 0, "garbage", value=1),
            "cluster": added("clusters", "app_pay", "garbage", value=1),
            "secret": added("secrets", "trust", "garbage", value=1),
        }
        wrong = altered(doors.site.resources(APPS), edits[part])
        with pytest.raises(ConfigurationError, match="garbage"):
            Validator(Path(ENVOY), tmp_path).check(static_rendering(wrong))

    def test_a_key_that_does_not_fit_does_not_pass(self, doors: CompiledDoors, tmp_path: Path) -> None:
        """Certificates and keys are read by the check, not only named."""
        other = str(doors.site.folder / "p256.key")
        edit = changed("secrets", "server-1", "tls_certificate", "private_key", "filename", to=other)
        wrong = altered(doors.site.resources(APPS), edit)
        with pytest.raises(ConfigurationError):
            Validator(Path(ENVOY), tmp_path).check(static_rendering(wrong))


class TestFilesAtTheStart:
    """Item 15: what Envoy does when a file that it watches is missing or invalid at the start."""

    def test_everything_is_written_before_envoy_starts(self, doors: CompiledDoors) -> None:
        """The publisher leaves every file that a listener refers to, and only then a bootstrap."""
        site = doors.twin()
        resources = site.resources(APPS)
        publisher = XdsPublisher(site.xds, validator=Validator(Path(ENVOY), site.folder), clock=SystemClock())
        publisher.prepare(resources, node="n", folder=site.folder)
        written = {str(one.relative_to(site.xds)) for one in site.xds.rglob("*.json")}
        assert {one.name for one in resources.files()} <= written
        stages = [one.service for one in resources.files()]
        assert stages == sorted(stages)
        assert stages[0] is DiscoveryService.SDS

    @pytest.mark.parametrize("name", ["sds/trust.json", "sds/server-1.json"])
    @pytest.mark.parametrize("content", [None, b"{ garbage", b'{"resources": []}'])
    def test_without_a_secret_the_door_stays_shut(
        self, doors: CompiledDoors, name: str, content: bytes | None
    ) -> None:
        """A missing, unreadable or empty secret admits no connection, however Envoy takes it; with it, it opens."""
        _shut_without(doors, name, content)

    @pytest.mark.parametrize("content", [None, b"{ garbage", b'{"resources": []}'])
    def test_without_a_route_table_nothing_is_served(
        self, doors: CompiledDoors, content: bytes | None
    ) -> None:
        """A chain without its routes answers 404 or not at all, never with the application."""
        _shut_without(doors, "rds/app_pay.json", content)


def _shut_without(doors: CompiledDoors, name: str, content: bytes | None) -> None:
    """Start on files with one damaged, when no client gets in; then on the same with that one repaired."""
    site = doors.twin()
    resources = site.resources(APPS)
    write_resources(resources, site.xds)
    path = site.xds / name
    good = path.read_bytes()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert not _anybody_gets_in(site, resources)
    path.write_bytes(good)
    assert _anybody_gets_in(site, resources)


def _anybody_gets_in(site: DoorSite, resources: Resources) -> bool:
    """Start Envoy on files as they are and ask as a client that would be allowed."""
    from tests.support.door_site import CLEARED, TELLER
    from tests.support.envoy_process import ToyAuthorizer, facts_of

    with ToyAuthorizer(facts_of(TELLER, CLEARED)).serving(site.folder / "authz.sock"):
        try:
            with launched(resources, site):
                return site.ask("GET", "/accounts/7").status == 200
        except (OSError, AssertionError):  # Envoy would not start, or closes
            return False


def _replace(door: CompiledDoor, name: str, resource: dict[str, object]) -> None:
    """Put a file where Envoy watches, by rename."""
    path = door.site.xds / name
    fresh = path.with_suffix(".new")
    fresh.write_bytes(render_file(name, DiscoveryService.RDS, (resource,)).content)
    fresh.rename(path)


def _validate(path: Path) -> int:
    command = ["envoy", "--mode", "validate", "-c", str(path), "--log-level", "critical"]
    return subprocess.run(
        command, executable=ENVOY, env={"PATH": os.defpath}, capture_output=True, timeout=20, check=False
    ).returncode
