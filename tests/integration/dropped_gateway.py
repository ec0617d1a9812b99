"""Run by test_privileges as root: drop privileges, run Envoy, cut by each mechanism, report as JSON.

Arguments: folder, port of the door, port of the echo server, what to keep ("admin" or "nothing").
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from doorward.gateway.connections import sockdiag
from doorward.gateway.connections.cutter import Cutter, Mechanism
from doorward.gateway.envoy.program import EnvoyOptions, locate_envoy
from doorward.gateway.envoy.supervisor import Supervisor
from doorward.runtime import privileges
from doorward.runtime.preloading import preload
from doorward.runtime.privileges import Capability
from doorward.runtime.world import SystemClock
from tests.support.little_door import LittleDoor, ask, echoes, ends_of, web_socket


def words_of(pid: int | str) -> dict[str, str]:
    """Return the lines of a process's status that tell of its powers."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    wanted = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
    pairs = (line.split(":", 1) for line in lines)
    return {name: " ".join(value.split()) for name, value in pairs if name in wanted}


def main() -> None:
    """Act as `doorward gateway` would, and print what came of it."""
    folder, port, upstream, keep = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    account = privileges.choose_account("doorward-absent")
    binary = privileges.open_program(locate_envoy())
    preload(["doorward.gateway.connections.reconciler", "encodings.idna"])
    little = LittleDoor(folder, port=port, upstream_port=upstream)
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.uid, account.gid)
    low = privileges.needs_bind_service([port])
    privileges.drop(
        account,
        keep=frozenset({Capability.NET_ADMIN} if keep == "admin" else ()),
        hand_down=frozenset({Capability.NET_BIND_SERVICE} if low else ()),
    )
    privileges.raise_file_limit()
    supervisor = Supervisor(
        EnvoyOptions(folder=folder / "envoy", binary=binary, concurrency=1),
        prepare=little.prepare,
        clock=SystemClock(),
        listeners=lambda: [little.listener],
    )
    supervisor.start()
    try:
        cutter = Cutter(supervisor.envoy_pids, clock=SystemClock())
        cuts = []
        for mechanism in Mechanism.SOCK_DESTROY, Mechanism.PIDFD:
            client, other = little.connect(), little.connect()
            web_socket(client)
            ask(other)
            facts = sockdiag.find(*ends_of(client))
            assert facts is not None
            one = Cutter(supervisor.envoy_pids, clock=SystemClock(), mechanism=mechanism)
            result = one.cut(facts)
            cuts.append([result.outcome.value, b"200" in ask(other)])
            assert (result.ended and client.recv(1) == b"") or echoes(client)
        supervisor.replace()
        again = b"200" in ask(little.connect())
        report = {
            "account": [account.name, account.uid],
            "own": words_of("self"),
            "envoy": words_of(supervisor.envoy_pids()[0]),
            "mechanism": cutter.mechanism.value,
            "trouble": cutter.trouble(),
            "cuts": cuts,
            "restarted": again,
            "low": low,
            "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
            "dumpable": Path("/proc/self/mem").stat().st_uid != 0,
        }
    finally:
        supervisor.stop()
        little.close_clients()
    sys.stdout.write(json.dumps(report) + "\n")


main()
