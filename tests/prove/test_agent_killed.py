"""The agent is killed again and again while it renews: the pair always matches, and no renewal is made twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doorward.agent.client import enroll
from doorward.authority.issuing import claims
from doorward.core.certificate import CertificateState
from doorward.stores.records import CertificateFilter
from tests.support.enrol_door import enrolment_door
from tests.support.ports import FakeClock, FakeRandom, PlainKeys
from tests.support.renewal_server import RenewalServer, die_and_go_on, pair_of

ROUNDS = 60


@pytest.mark.parametrize("renewed_before", [False, True])
def test_at_every_change_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, renewed_before: bool
) -> None:
    """Each change is the last one once; the next run goes on."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    server = RenewalServer(FakeClock())
    origin = server.enrolled(tmp_path / "origin")
    if renewed_before:
        die_and_go_on(server, origin, tmp_path / "id", at=10_000)
    steps = 0
    while die_and_go_on(server, origin, tmp_path / "id", at=steps + 1):
        steps += 1
    print(f"{steps} changes")
    assert steps > 30


def test_by_kill_9_at_a_random_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a real enrolment host: after each kill a matching pair; each certificate of the line renews the one before."""
    monkeypatch.setattr(claims, "require_due", lambda *_: None)  # the rounds would take years otherwise
    drawn = random.Random(11)
    with enrolment_door() as door:
        folder = enroll(
            door.link(),
            out=tmp_path / "id",
            clock=door.world.clock,
            random=FakeRandom(),
            factory=PlainKeys(),
        ).directory
        command = [sys.executable, "-m", "doorward.cli.agent_program", "agent", "renew", "--dir", str(folder)]
        seen = [pair_of(folder)[1]]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        usual = time.monotonic() - began  # in most of it Python starts
        seen.append(pair_of(folder)[1])
        killed = 0
        for _ in range(ROUNDS):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(usual * (0.6 + 0.6 * drawn.random()))
            if process.poll() is None:
                process.kill()
                killed += 1
            process.wait()
            serial = pair_of(folder)[1]
            if serial != seen[-1]:
                seen.append(serial)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        seen.append(pair_of(folder)[1])
        with door.world.work.read() as stores:
            principal = stores.directory.by_name("alice")
            assert principal is not None
            issued = stores.certificates.list(CertificateFilter(principal_id=principal.id))
        serials = [one.serial for one in issued if one.state is CertificateState.VALID]
        print(f"killed {killed} of {ROUNDS}; {len(serials)} certificates")
        assert killed > ROUNDS / 4
        # Every certificate that was issued was in use: none was issued twice or lost.
        assert sorted(serials) == sorted(seen)
