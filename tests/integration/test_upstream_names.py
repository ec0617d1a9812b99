"""Upstreams by name: `localhost` on either family, and a resolver that never answers."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from doorward.core.errors import Unavailable
from doorward.demo.ports import free_port
from doorward.gateway.envoy.admin import AdminClient
from doorward.policy.model import HttpUpstream
from tests.support.attacks import Edit, added, altered, without
from tests.support.compiled_door import CompiledDoor, open_door, write_bootstrap
from tests.support.door_site import IDS, DoorSite, allow, echo_upstream, id_of
from tests.support.doorway import eventually
from tests.support.envoy_process import ENVOY, ToyAuthorizer, command_line, facts_of
from tests.support.offering import Offering
from tests.support.resources import Resources

APPS = {name: (allow("all", "tellers"),) for name in ("pay", "other", "new")}
RESOLVER = "envoy.network.dns_resolver.cares"


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A resolver that reads nothing and answers nothing: its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener.getsockname()[1]


def asks(port: int) -> Edit:
    """Let names be looked up by a resolver of the test; `localhost` is known without any (RFC 6761 section 6.3)."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    config = {
        "@type": f"type.googleapis.com/{RESOLVER.replace('envoy.', 'envoy.extensions.')}.v3.CaresDnsResolverConfig"
    }
    value = {"name": RESOLVER, "typed_config": {**config, "resolvers": [address]}}
    return added("typed_dns_resolver_config", value=value)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, silent: int) -> Iterator[CompiledDoor]:
    """`pay` listens on 127.0.0.1, `other` on ::1, and the name of `new` is never known."""
    folder = tmp_path_factory.mktemp("door")
    with ExitStack() as stack:
        four = stack.enter_context(echo_upstream())
        six = stack.enter_context(echo_upstream("::1"))
        site = DoorSite(folder, four)
        site.upstreams = {
            "pay": HttpUpstream(host="localhost", port=four),
            "other": HttpUpstream(host="localhost", port=six),
            "new": HttpUpstream(host="app.silent.example", port=80),
        }
        authorizer = ToyAuthorizer()
        authorizer.answers = {IDS[name]: facts_of(id_of(name, rules[0])) for name, rules in APPS.items()}
        run = {"bootstrap": [asks(silent)]}
        yield stack.enter_context(open_door(site, apps=APPS, authorizer=authorizer, run=run))


def publish(door: CompiledDoor, resources: Resources) -> None:
    """Give the running Envoy other clusters; it answers at once, whatever a resolver does."""
    assert door.offering.put(*resources.clusters) == {}


@pytest.mark.parametrize("app", ["pay", "other"])
def test_localhost_is_reached_on_the_family_that_listens(door: CompiledDoor, app: str) -> None:
    """RFC 8305 section 5: an address that refuses is followed by the next; not one request of twenty fails."""
    host = f"{app}.test"
    with door.site.connect(host) as connection:
        assert {door.site.ask("GET", "/", host=host, over=connection).status for _ in range(10)} == {200}
    assert {door.site.ask("POST", "/", host=host, body=b"x").status for _ in range(10)} == {200}


def test_a_silent_resolver_holds_up_its_own_application_only(door: CompiledDoor) -> None:
    """The door opened (the fixture waited for it): the others answer, that one is 503 until its name is known."""
    assert door.site.ask("GET", "/", host="new.test").status == 503
    assert door.site.ask("GET", "/", host="pay.test").status == 200


def test_a_silent_resolver_keeps_no_edit_from_its_place(door: CompiledDoor) -> None:
    """An application that moves to an unknown name is not served by its old place meanwhile."""
    site = door.site
    before = site.upstreams["other"]
    site.upstreams["other"] = HttpUpstream(host="moved.silent.example", port=free_port())
    publish(door, site.resources(APPS))
    site.upstreams["other"] = before
    assert eventually(lambda: site.ask("GET", "/", host="other.test").status == 503)
    assert site.ask("GET", "/", host="pay.test").status == 200


def test_without_the_field_the_door_does_not_open(door: CompiledDoor, silent: int) -> None:
    """`wait_for_warm_on_init`: the twin asks for the name, and its listener waits for the answer."""
    folder = door.site.folder / "twin"
    folder.mkdir()
    site = DoorSite(folder, door.site.upstream.port)
    site.upstreams = {"new": HttpUpstream(host="app.silent.example", port=80)}
    waits = without("clusters", IDS["new"], "wait_for_warm_on_init")
    resources = altered(site.resources(APPS), waits)
    path = write_bootstrap(resources, site, asks(silent))
    admin = AdminClient(folder / "admin.sock")

    def asked() -> bool:
        with suppress(Unavailable):
            return admin.statistics("update_attempt").get(f"cluster.{IDS['new']}.update_attempt", 0) > 0
        return False

    with Offering(Path(site.paths.discovery_socket)).serving(resources):
        process = subprocess.Popen(command_line(path, folder), executable=ENVOY, stderr=subprocess.DEVNULL)
        try:
            assert eventually(asked)
            assert not admin.is_ready()
            with pytest.raises(OSError):
                site.ask("GET", "/", host="pay.test")
        finally:
            process.terminate()
            process.wait(60)


def test_one_that_does_not_answer_is_left_alone_for_a_moment(door: CompiledDoor) -> None:
    """After ten failures in a row requests are answered at once; two seconds after it is back it is served."""
    site, port = door.site, free_port()
    before = site.upstreams["pay"]
    site.upstreams["pay"] = HttpUpstream(host="localhost", port=port)
    publish(door, site.resources(APPS))
    ejected = lambda: door.envoy.admin.statistics(f"{IDS['pay']}.outlier_detection.ejections_active")  # noqa: E731
    assert eventually(lambda: site.ask("GET", "/").status == 503 and any(ejected().values()))
    with echo_upstream(port=port):
        assert eventually(lambda: site.ask("GET", "/").status == 200)
    site.upstreams["pay"] = before
