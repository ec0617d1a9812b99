"""The agent against a running door: it renews through Envoy, and the new pair opens the application."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from doorward.agent.commands import run_command
from doorward.agent.identity_condition import read_condition
from doorward.agent.keeper import Keeper
from doorward.agent.link import Server
from doorward.agent.options import IdentityOptions, Machine
from doorward.authority.revocation import revoke
from doorward.authority.rollover import moving, root_preparing
from doorward.core.certificate import CertificateState, RevocationReason
from doorward.core.entities import PrincipalKind
from doorward.core.errors import RequestRefused
from doorward.directory.principal_inventory import list_inventory
from doorward.runtime.world import SoftwareKeys, SystemRandom
from doorward.stores.authority_protocols import RolloverRecord
from doorward.stores.change_result import ChangeResult
from tests.support.doorway import ACTOR, Doorway, Identity, eventually, open_doorway
from tests.support.ports import FakeClock
from tests.support.renewal_server import pair_of

pytestmark = pytest.mark.xdist_group("agent-door")
PROGRAM = [sys.executable, "-m", "doorward.cli.agent_program", "agent"]


@pytest.fixture(scope="module")
def door() -> Iterator[Doorway]:
    """One door for all tests."""
    with open_doorway() as opened:
        opened.apply("- {allow: {kind: device}}")
        yield opened


def enrolled(door: Doorway, name: str) -> Path:
    """Add a device and enrol it; return its folder."""
    return door.person(name, kind=PrincipalKind.DEVICE).key.parent


def identity(folder: Path) -> Identity:
    """Return the pair at the stable paths."""
    return Identity(chain=folder / "chain.pem", key=folder / "key.pem")


def agent(*words: str, code: int = 0) -> dict[str, object]:
    """Run a command of the agent as its own process."""
    done = subprocess.run(
        [*PROGRAM, *words, "--json"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    value: dict[str, object] = json.loads(done.stdout)
    return value


def machine(clock: FakeClock) -> Machine:
    """This machine with a clock of our own."""
    facts = {"host_name": "cellar", "system": "test", "agent_version": "1"}
    return Machine(clock=clock, random=SystemRandom(), factory=SoftwareKeys(), run=run_command, facts=facts)


def test_a_renewed_pair_opens_the_application(door: Doorway, tmp_path: Path) -> None:
    """Tried at the application before the switch, renewed, told to a program; the old key is gone."""
    folder = enrolled(door, "pump")
    before = pair_of(folder)
    told = tmp_path / "told"
    hook = f'{sys.executable} -c \'import os, shutil; shutil.copy(os.environ["DOORWARD_DIR"] + "/chain.pem", "{told}")\''
    value = agent("renew", "--dir", str(folder), "--exec", hook, "--try", f"{door.host('app')}:{door.port}")
    assert value["renewed"][0]["tried"]  # type: ignore[index]
    assert pair_of(folder) != before
    assert told.read_bytes() == (folder / "chain.pem").read_bytes()
    assert door.get(identity(folder), "/x").status == 200
    leaf = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
    door.identities["pump"] = identity(folder)
    with door.services.work.read() as stores:
        record = stores.certificates.get(door.certificate_of("pump"))
    assert record is not None
    assert record.state is CertificateState.VALID
    assert leaf.not_valid_after_utc > datetime.now(UTC)


def test_an_application_that_refuses_the_new_pair_stops_the_switch(door: Doorway) -> None:
    """The trial is of TLS: a port where another authority is asked for ends in the old pair."""
    folder = enrolled(door, "valve")
    before = pair_of(folder)
    value = agent("renew", "--dir", str(folder), "--try", f"127.0.0.1:{door.port}", code=3)
    assert value["error"]["code"] == "trial-failed"  # type: ignore[index]
    assert pair_of(folder) == before
    agent("renew", "--dir", str(folder))  # with the key and the answer of the first try
    assert pair_of(folder) != before
    assert door.get(identity(folder), "/x").status == 200


def test_a_year_later_by_the_clock_of_the_machine(door: Doorway) -> None:
    """The agent renews when its clock says so, and tells that this clock is wrong."""
    folder = enrolled(door, "lamp")
    clock = FakeClock(datetime.now(UTC))
    keeper = Keeper(IdentityOptions(directory=folder), machine(clock))
    first = pair_of(folder)
    wake = keeper.step(clock.now())
    assert pair_of(folder) == first
    assert clock.now() < wake <= clock.now() + timedelta(days=1)
    ahead = (read_condition(folder, clock.now()).ends_at or clock.now()) - clock.now() - timedelta(days=5)
    clock.turn(days=ahead.days)
    keeper.step(clock.now())
    assert pair_of(folder) != first
    assert door.get(identity(folder), "/x").status == 200
    attention = read_condition(folder, clock.now()).attention
    assert attention == (f"the clock of this machine is {ahead.days} days ahead of the server's; set it",)


def test_a_revoked_certificate_is_not_renewed_and_the_agent_stops(door: Doorway) -> None:
    """The server's refusal is final: no request for about a day, and status shows its words."""
    folder = enrolled(door, "gate")
    clock = FakeClock(datetime.now(UTC))
    keeper = Keeper(IdentityOptions(directory=folder), machine(clock))
    revoke(door.services, door.certificate_of("gate"), RevocationReason.KEY_COMPROMISE, actor=ACTOR)
    clock.turn(days=75)
    assert keeper.step(clock.now()) > clock.now() + timedelta(hours=18)
    condition = read_condition(folder, clock.now())
    assert condition.word == "refused"
    assert "certificate-not-renewable" in " ".join(condition.attention)
    value = agent("renew", "--dir", str(folder), code=1)
    assert value["error"]["code"] == "certificate-not-renewable"  # type: ignore[index]


def test_the_running_agent_reports_and_stops_in_order(door: Doorway) -> None:
    """`agent run` owns the folder, asks the server, keeps its state, refuses a second agent, and ends on SIGTERM."""
    folder = enrolled(door, "clock")
    running = subprocess.Popen(
        [*PROGRAM, "run", "--dir", str(folder), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline()) == {"identities": 1, "pid": running.pid}
        assert eventually((folder / "agent.json").exists, 60)
        second = agent("run", "--dir", str(folder), code=3)
        assert second["error"]["code"] == "folder-owned"  # type: ignore[index]
        assert f"(process {running.pid})" in second["error"]["detail"]  # type: ignore[index]
        agent("renew", "--dir", str(folder))
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.communicate()
    assert door.get(identity(folder), "/x").status == 200
    entries, _ = list_inventory(door.services, PrincipalKind.DEVICE)
    (clock,) = (one for one in entries if one.principal.name == "clock")
    assert clock.reported_at is not None
    assert clock.reported.host_name == platform.node()
    assert clock.reported.agent_version
    assert "clock" not in {
        one.principal.name
        for one in list_inventory(door.services, PrincipalKind.DEVICE, not_reported=True)[0]
    }


def test_a_wrong_server_is_not_trusted(door: Doorway) -> None:
    """An address that another authority serves gets no request of the agent."""
    folder = enrolled(door, "fan")
    clock = FakeClock(datetime.now(UTC))
    options = IdentityOptions(directory=folder, server=Server(host=door.host("app"), port=door.port))
    before = pair_of(folder)
    Keeper(options, machine(clock)).step(clock.now())
    condition = read_condition(folder, clock.now())
    assert condition.state.failures == 1
    assert pair_of(folder) == before


def test_an_agent_moves_to_the_next_authority_by_itself(door: Doorway) -> None:
    """While root and authority are replaced, the next report is answered with "now"; the new pair opens the application.

    The host's certificate is below the new root then: the agent verifies it with its old one, and learns the new one.
    """
    folder = enrolled(door, "boiler")
    clock = FakeClock(datetime.now(UTC))
    keeper = Keeper(IdentityOptions(directory=folder), machine(clock))
    keeper.step(clock.now())
    before, issuer = pair_of(folder), issuer_of(folder)
    for step in (root_preparing.prepare_root, moving.activate, partial(moving.drain, window=timedelta(0))):
        make_step(door, step)
    clock.turn(hours=1)
    keeper.step(clock.now())
    assert pair_of(folder) == before  # the report is not due yet
    clock.turn(hours=6)
    keeper.step(clock.now())
    assert pair_of(folder) != before
    assert issuer_of(folder) != issuer
    assert (folder / "root.pem").read_bytes().count(b"BEGIN") == 2
    assert door.get(identity(folder), "/x").status == 200
    clock.turn(hours=7)
    after = pair_of(folder)
    keeper.step(clock.now())
    assert pair_of(folder) == after


def issuer_of(folder: Path) -> str:
    """Return the name of the authority that issued the certificate in use."""
    return x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes()).issuer.rfc4514_string()


def make_step(door: Doorway, step: Callable[..., ChangeResult[RolloverRecord]]) -> None:
    """Make a step of a rollover as soon as every gateway has followed."""
    made: list[int] = []

    def tried() -> bool:
        try:
            made.append(step(door.services, actor=ACTOR).seq)
        except RequestRefused as refusal:
            if refusal.code != "rollover-unconfirmed":
                raise
        return bool(made)

    assert eventually(tried, 60)
    door.settle(made[0])
