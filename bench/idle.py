"""What an installation uses without any client, and what one command costs: CPU time of all processes.

The installation has a network of its own, if root runs this: otherwise each connection of another program on the machine
lets the gateway compare its connections with the kernel's, which takes 2 ms here.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from bench.installation import Door, fresh
from bench.machine import ROOT, cpu_by_thread
from bench.rows import Goal, Of, Row, single
from bench.scene import Scene

SECONDS = 60.0
SETTLE_SECONDS = 5.0
SOMETHING_WRONG = 3
"""The exit status of `status` if a part is not well."""

COMMANDS = (("person", "list"), ("cert", "list"), ("status",))


def measure(scene: Scene) -> Iterator[Row]:
    """Yield the rows."""
    scene.close_door()
    with fresh(scene.application_port, 2, is_apart=True) as door:
        time.sleep(SETTLE_SECONDS)
        yield _share(door, SECONDS / 5 if scene.quick else SECONDS)
        for words in COMMANDS:
            yield single(
                f"CPU of `doorward {' '.join(words)}`",
                [_cpu_of(door, words) for _ in range(scene.rounds)],
                unit="s",
                goal=Goal(number=0.35, of=Of.OURS, at_most=True),
            )


def _share(door: Door, seconds: float) -> Row:
    pids = door.processes()
    before, began = cpu_by_thread(pids), time.monotonic()
    time.sleep(seconds)
    used = cpu_by_thread(pids)
    used.subtract(before)
    passed = time.monotonic() - began
    threads = ", ".join(f"{name} {value / passed:.2%}" for name, value in used.most_common(6))
    return single(
        "CPU of an idle installation",
        [sum(used.values()) / passed * 100],
        unit="% of a core",
        goal=Goal(number=1.0, of=Of.OURS, at_most=True),
        notes=(f"Over {passed:.0f} s: {threads}.",),
    )


def _cpu_of(door: Door, words: Sequence[str]) -> float:
    before = _children()
    command = [sys.executable, "-m", "doorward.cli", *words, "--data", str(door.house.data)]
    if os.geteuid() == 0:  # `status` asks the processes, which are in that network
        (serve,) = door.processes()["serve"]
        command = ["nsenter", f"--net=/proc/{serve}/ns/net", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in {0, SOMETHING_WRONG}:  # the application is not in that network
        done.check_returncode()
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
