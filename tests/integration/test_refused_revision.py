"""A revision that cannot be published, and an Envoy that dies meanwhile: the doors that were good open again."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from doorward.access.policies import apply_document
from doorward.gateway.publishing.discovery.messages import ROUTES
from tests.support.altering import Alteration
from tests.support.doorway import ACTOR, DOMAIN, Doorway, eventually, open_doorway, render_document

OTHERS = "- {allow: {groups: [other]}}"


def kill_envoy(door: Doorway) -> None:
    """End the running Envoy the hard way, and wait for its successor."""
    run = door.gateway.supervisor.running
    assert run is not None
    os.kill(run.pid, signal.SIGKILL)
    assert eventually(lambda: door.gateway.supervisor.epoch not in (0, run.epoch))
    assert eventually(lambda: door.gateway.supervisor.running is not None)


def trouble(door: Doorway) -> str:
    """The trouble for status."""
    return " ".join(door.gateway.trouble())


def spoilt(name: str) -> Alteration:
    """Have the table of one application hold something that Envoy refuses: it packs, and violates a constraint."""

    def alter(resource: dict[str, Any]) -> dict[str, Any]:
        if resource.get("@type") == ROUTES and f"{name}.{DOMAIN}" in str(resource):
            resource["virtual_hosts"][0]["domains"] *= 2
        return resource

    return alter


def test_what_envoy_refuses_costs_its_application_alone() -> None:
    """The refused application is closed, in Envoy's words; everything else of the revision is in force, also after Envoy dies."""
    refusing = [False]
    with open_doorway(alter=lambda one: spoilt("pay")(one) if refusing[0] else one) as door:
        door.apply_document(render_document(door.app(), door.app("pay")))
        alice, bob = door.person("alice", "staff"), door.person("bob", "other")
        assert door.get(alice, "/").status == door.get(alice, "/", app="pay").status == 200
        with door.session(alice, app="pay") as live:
            assert live.request("GET", "/").status == 200
            refusing[0] = True
            both = "- {allow: {groups: [staff, other]}}"
            text = render_document(door.app(), door.app("pay", both), door.app("more"))
            (door.folder / "refused.yaml").write_text(text)
            told = door.command("apply", "--file", str(door.folder / "refused.yaml"))
            assert told.exit_code == 1, told.output
            assert "Only unique values for domains" in told.stderr
            assert "is in force, except" in told.stderr
            assert "Envoy refused the configuration of pay" in trouble(door)
            assert "Only unique values for domains" in trouble(door)  # Envoy's own words
            assert live.request("GET", "/").status == 503  # not by the superseded rules
        for _ in range(2):
            assert door.get(alice, "/").status == door.get(alice, "/", app="more").status == 200
            began = time.monotonic()
            for who in (alice, bob):  # by the old revision alice might, by the new one both
                with pytest.raises(OSError):
                    door.get(who, "/", app="pay")
            assert time.monotonic() - began < 30  # no connection waits for an answer that will not come
            kill_envoy(door)
            assert eventually(lambda: "Envoy refused the configuration of pay" in trouble(door))
        refusing[0] = False
        door.apply_document(
            render_document(door.app(), door.app("pay", f"{both}\n{OTHERS}"), door.app("more"))
        )
        assert eventually(lambda: not door.gateway.trouble(), 60), trouble(door)
        assert door.get(bob, "/", app="pay").status == door.get(alice, "/").status == 200


@contextmanager
def envoy_that_aborts_at(door: Doorway, host: str) -> Iterator[None]:
    """Let every Envoy end by SIGABRT that is given a listener with this host, as a failed assertion in it would."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.003):
            for run in door.gateway.supervisor._runs:
                publisher = door.gateway.publishing._publisher
                there = {} if publisher is None else publisher._ports.cache.resources()
                if any(host.encode() in one.body for one in there.values()):
                    with suppress(OSError):
                        os.kill(run.pid, signal.SIGABRT)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_revision_that_envoy_dies_of_shuts_no_other_door() -> None:
    """Envoy aborts at load: what the revision does not change opens again, the rest stays shut, and it is said."""
    with open_doorway() as door:
        door.apply_document(render_document(door.app(), door.app("pay")))
        alice = door.person("alice", "staff")
        bob = door.person("bob", "other")
        text = render_document(door.app(), door.app("pay", OTHERS), door.app("more"))
        with envoy_that_aborts_at(door, f"more.{DOMAIN}"):
            apply_document(door.services, text, file="deadly.yaml", actor=ACTOR)
            assert eventually(lambda: "SIGABRT" in trouble(door) and "(more, pay)" in trouble(door))
            assert eventually(lambda: door.gateway.supervisor.running is not None)
            assert door.get(alice, "/").status == 200
            for who in (alice, bob):
                with pytest.raises(OSError):
                    door.get(who, "/", app="pay")
            epoch = door.gateway.supervisor.epoch
            door.gateway.publishing.step()  # asked again: Envoy is not given it again
            assert door.gateway.supervisor.epoch == epoch
            door.apply_document(render_document(door.app(), door.app("pay", OTHERS)))
            assert door.get(bob, "/", app="pay").status == door.get(alice, "/").status == 200
