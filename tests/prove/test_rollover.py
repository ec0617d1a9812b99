"""A rollover under load: 100 clients reconnect and 1,000 leaves are issued again; and kill -9 at any moment of any phase."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from doorward.authority.issuing import OperatorClaim, issue
from doorward.authority.rollover import leaving, moving, preparing
from doorward.authority.rollover.progress import measure_progress
from doorward.authority.rollover.schedule import must_renew
from doorward.authority.rollover.table import FACTS, Side
from doorward.core.entities import PrincipalKind
from doorward.core.ports import KeyKind
from doorward.directory.principals import add_member, add_principal, create_group
from doorward.pki.csr import build_csr
from doorward.runtime.world import SoftwareKeys
from doorward.stores.authority_protocols import RolloverState
from doorward.stores.records import AuthorityKind
from tests.support.certificates.issuing import key_pem_of
from tests.support.doorway import ACTOR, Doorway, Identity, open_doorway
from tests.support.rollover import done, reconnecting, renew

LEAVES = 1000
CLIENTS = 100
KILLS = 50
LONG_SECONDS = 300.0
STEPS = {
    None: "prepare",
    RolloverState.PREPARED: "activate",
    RolloverState.ACTIVE: "drain",
    RolloverState.DRAINING: "retire",
    RolloverState.RETIRING: "retire",
}
LONGEST_STEP_SECONDS = {"prepare": 0.5, "activate": 0.25, "drain": 0.25, "retire": 1.5}
"""From the moment at which the process begins with the step; some kills come too late on purpose."""

CHILD = """
import os, sys
from doorward.authority.rollover import leaving, moving, preparing
from doorward.core.errors import DoorwardError
from doorward.runtime.compose import Installation
from doorward.runtime.settings import load_settings
installation = Installation(load_settings(environ=os.environ, data=None))
installation.unlock()
services = installation.services
with services.work.read() as stores:
    stores.rollovers.open()
def retire():
    leaving.retire(services, actor="os:0")
    leaving.finish_leaving(services, actor="os:0")
step = {
    "prepare": lambda: preparing.prepare(services, actor="os:0"),
    "activate": lambda: moving.activate(services, actor="os:0"),
    "drain": lambda: moving.drain(services, actor="os:0"),
    "retire": retire,
}[sys.argv[1]]
print("ready", flush=True)
try:
    step()
except DoorwardError as error:
    print(error.code, flush=True)
else:
    print("done", flush=True)
"""


def people(doorway: Doorway, number: int) -> list[str]:
    """Add so many people of the staff, each with a certificate that an operator had issued; return their names."""
    services, names = doorway.services, [f"p{one}" for one in range(number)]
    create_group(services, "staff", actor=ACTOR)
    folder = doorway.folder / "people"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        principal = add_principal(services, PrincipalKind.PERSON, name, actor=ACTOR).value
        add_member(services, "staff", name, actor=ACTOR)
        key = SoftwareKeys().generate(KeyKind.P256)
        claim = OperatorClaim(actor=ACTOR, holder=principal.id, name=name)
        issued = issue(services, build_csr(key, name), claim)
        chain, file = folder / f"{name}.pem", folder / f"{name}.key"
        chain.write_bytes(
            b"".join(
                x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in issued.chain_der
            )
        )
        file.write_bytes(key_pem_of(key))
        doorway.identities[name] = Identity(chain=chain, key=file)
    return names


def test_a_thousand_leaves_and_a_hundred_clients() -> None:
    """No handshake is refused from the first phase to the last, all leaves are issued again, then the old ones are refused."""
    with open_doorway() as doorway:
        services = doorway.services
        names = people(doorway, LEAVES)
        doorway.apply()
        first = dict(doorway.identities)
        with reconnecting(doorway, *names[:CLIENTS], threads=CLIENTS, pause_seconds=1.0) as seen:
            began = time.monotonic()
            done(doorway, lambda: preparing.prepare(services, actor=ACTOR))
            done(doorway, lambda: moving.activate(services, actor=ACTOR))
            rollover = done(doorway, lambda: moving.drain(services, actor=ACTOR, window=timedelta(0)))
            assert rollover.window >= timedelta(minutes=LEAVES / 600)
            with services.work.read() as stores:
                now = services.clock.now()
                moments = {}
                for name in names:
                    record = stores.certificates.get(doorway.certificate_of(name))
                    assert record is not None
                    moments[name] = must_renew(stores, record, now)
            per_ten_seconds = Counter(
                int((at - rollover.moved_at).total_seconds() // 10) for at in moments.values() if at
            )
            assert sum(per_ten_seconds.values()) == LEAVES
            assert max(per_ten_seconds.values()) < 2 * LEAVES / (rollover.window.total_seconds() / 10)
            for name in sorted(names, key=lambda one: moments[one] or now):
                renew(doorway, name)
            assert measure_progress(services, rollover).percent == 100
            done(doorway, lambda: leaving.retire(services, actor=ACTOR))
            finished = leaving.finish_leaving(services, actor=ACTOR)
            took = time.monotonic() - began
            time.sleep(3)
        assert finished is None or finished.state is RolloverState.RETIRED
        assert seen.failures == []
        print(f"{seen.answered} connections, none refused; {LEAVES} leaves issued again; {took:.0f} s")
        for name in random.sample(names, 20):
            assert doorway.lets_in(name)
            assert not doorway.lets_in(first[name])


def test_killed_at_any_moment() -> None:
    """A phase that is killed leaves the state before or after; repeated, it ends; no client is refused meanwhile."""
    with open_doorway(quick=False) as doorway:
        names = people(doorway, 8)
        doorway.apply()
        seed = os.urandom(4).hex()
        rng = random.Random(seed)
        print("seed", seed)
        killed: Counter[str] = Counter()
        rollovers = 0
        with reconnecting(doorway, *names, threads=4, pause_seconds=0.05) as seen:
            limit = time.monotonic() + LONG_SECONDS + KILLS * 10
            while killed.total() < KILLS or state_of(doorway) is not None:
                assert time.monotonic() < limit
                step = STEPS[state_of(doorway)]
                if state_of(doorway) is RolloverState.DRAINING:
                    renew_missing(doorway)
                kills = killed.total() < KILLS
                said = run(doorway, step, rng.uniform(0, LONGEST_STEP_SECONDS[step]) if kills else None)
                if said == "killed":
                    killed[step] += 1
                rollovers += (step, said) == ("retire", "done")
                check(doorway)
        print(f"{dict(killed)} kills, {rollovers} rollovers, {seen.answered} connections")
        assert seen.failures == []
        assert seen.answered > KILLS
        held = doorway.services.keys
        assert held is not None
        with doorway.services.work.read() as stores:
            current = stores.authorities.current(AuthorityKind.ISSUING)
            every = stores.authorities.list()
        assert current is not None
        assert current.key_name in held.names()
        retired = {one.key_name for one in every if one.retired_at is not None}
        assert not retired & set(held.names())


def state_of(doorway: Doorway) -> RolloverState | None:
    """Return the state of the rollover that goes on."""
    with doorway.services.work.read() as stores:
        found = stores.rollovers.open()
    return found.state if found else None


def renew_missing(doorway: Doorway) -> None:
    """Renew the newest certificate of each person that the old authority issued."""
    with doorway.services.work.read() as stores:
        current = stores.authorities.current(AuthorityKind.ISSUING)
        records = {name: stores.certificates.get(doorway.certificate_of(name)) for name in doorway.identities}
    assert current is not None
    for name, record in records.items():
        if record is not None and record.authority_id != current.id:
            renew(doorway, name)


def run(doorway: Doorway, step: str, kill_after: float | None) -> str:
    """Make a step in a process; kill it so many seconds after it began; return `done`, `killed`, or a refusal's code."""
    settings = doorway.installation.settings
    environ = {
        **os.environ,
        "DOORWARD_DATA": str(settings.data),
        "DOORWARD_PASSPHRASE_FILE": str(settings.passphrase_file),
    }
    words = [sys.executable, "-c", CHILD, step]
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if kill_after is None:
            said = process.stdout.readline().strip()
        else:
            time.sleep(kill_after)
            process.send_signal(signal.SIGKILL)
            said = process.stdout.readline().strip() or "killed"
    # The gateway has not followed yet, or `serve` was quicker.
    assert said in {
        "done",
        "killed",
        "rollover-unconfirmed",
        "rollover-none",
        "rollover-moved",
        "rollover-incomplete",
    }
    return said


def check(doorway: Doorway) -> None:
    """The authorities are as the table says for the state, and everybody may still connect."""
    with doorway.services.work.read() as stores:
        found = stores.rollovers.open()
        current = stores.authorities.current(AuthorityKind.ISSUING)
        trusted = {
            one.id
            for one in stores.authorities.list()
            if one.kind is AuthorityKind.ISSUING and one.retired_at is None
        }
    assert current is not None
    assert current.id in trusted
    if found is not None:
        sides = {Side.OLD: found.old_id, Side.NEW: found.new_id}
        facts = FACTS[found.state]
        assert current.id == sides[facts.issues]
        assert trusted == {sides[one] for one in facts.trusted}
    else:
        assert trusted == {current.id}
