"""Our own agent as a process, and mosquitto's clients with a certificate that it got, at a door of MQTT."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from doorward.core.entities import PrincipalKind
from doorward.directory.inviting import invite
from doorward.directory.principals import add_principal, create_group
from tests.clients.attempts import Attempt
from tests.support.commands import run_python
from tests.support.doorway import ACTOR, Doorway, Identity, eventually, open_doorway, render_document
from tests.support.mosquitto import Subscriber, publish, running_broker

DEVICES = "- {allow: {kind: device}}"
SECONDS = 60.0


def agent_enrols_and_renews(_door: Doorway, folder: Path) -> None:
    """By a link; then, with another key, by the certificate itself; each pair opens an application."""
    with open_doorway() as door:
        door.apply(DEVICES)
        held = enrol_by_agent(door, "agent-1", folder)
        assert door.get(held, "/").status == 200
        before = held.chain.read_bytes()
        run_agent("agent", "renew", "--dir", str(folder / "agent-1"))
        assert held.chain.read_bytes() != before
        assert door.get(held, "/").status == 200


def mosquitto_publishes_and_subscribes(_door: Doorway, folder: Path) -> None:
    """What one device publishes reaches the other; a certificate that no rule allows reaches no broker."""
    with broker_door(folder) as door:
        sender = enrol_by_agent(door, "sensor-1", folder, "sensors")
        receiver = enrol_by_agent(door, "sensor-2", folder, "sensors")
        stranger = enrol_by_agent(door, "lamp", folder)
        subscriber = Subscriber(door, receiver)
        try:
            assert eventually(subscriber.is_subscribed, SECONDS), subscriber.lines
            done = publish(door, sender, "-m", "21.5")
            assert done.returncode == 0, done.stderr
            assert eventually(lambda: "21.5" in subscriber.lines, SECONDS), subscriber.lines
            assert publish(door, stranger, "-m", "99").returncode != 0
            assert "99" not in subscriber.lines
        finally:
            subscriber.close()


@contextmanager
def broker_door(folder: Path) -> Iterator[Doorway]:
    """Open a door with a broker behind it, for the group of sensors."""
    with running_broker(folder) as port, open_doorway() as door:
        rules = "- {allow: {groups: [sensors]}}"
        mqtt = door.app("mqtt", rules, upstream=f"tcp://127.0.0.1:{port}", alpn="[mqtt]", hosts="localhost")
        create_group(door.services, "sensors", actor=ACTOR)
        door.apply_document(render_document(mqtt))
        yield door


def enrol_by_agent(door: Doorway, name: str, folder: Path, *groups: str) -> Identity:
    """Add a device to groups, and let our program get its certificate by a link."""
    add_principal(door.services, PrincipalKind.DEVICE, name, groups=groups, actor=ACTOR)
    token = invite(door.services, name, lifetime=timedelta(hours=1), actor=ACTOR).token
    out = folder / name
    run_agent("enroll", door.installation.enrolment_link(token), "--out", str(out))
    return Identity(chain=out / "chain.pem", key=out / "key.pem")


def run_agent(*words: str) -> None:
    """Run a command of the agent's program in a process of its own."""
    done = run_python("-m", "doorward.cli.agent_program", *words, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


AGENT = (sys.executable, "-m", "doorward.cli.agent_program", "--version")

ATTEMPTS = (
    Attempt(
        client="doorward-agent",
        programs=(sys.executable,),
        tried="enrol by a link and renew with another key",
        act=agent_enrols_and_renews,
        version=AGENT,
    ),
    Attempt(
        client="mosquitto",
        programs=("mosquitto", "mosquitto_pub", "mosquitto_sub"),
        tried="publish and subscribe through a door of MQTT",
        act=mosquitto_publishes_and_subscribes,
        version=("mosquitto_pub", "--version"),
    ),
)
