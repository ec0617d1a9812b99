"""python -m bench: run the measurements, print the table, and write `bench/results.json`.

python -m bench [--quick] [NAME...]     NAME: one of the measurements below; without a name, all of them
python -m bench --keep VERSION          write the last run's rows into docs/figures/, for a release
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.envoys import envoy_name
from bench.figures import keep, parse_json, render_json, render_table
from bench.machine import (
    CACHE,
    REST,
    ROOT,
    Others,
    check_machine,
    compile_sources,
    file_system,
    on_core,
    sync_milliseconds,
)
from bench.openbao import bao_name
from bench.peers import haproxy_name, nginx_name
from bench.rows import Row
from bench.scene import Scene, mark_disturbed, open_scene
from doorward import __version__

RESULTS = ROOT / "bench" / "results.json"
FIGURES = ROOT / "docs" / "figures"
MEASUREMENTS = {
    "idle": "an idle installation, and one command",
    "handshake": "what the decision adds to a handshake on an idle machine",
    "requests": "requests on kept connections",
    "connections": "new connections, with 2 certificates and with 1,000,000",
    "status": "OCSP responses",
    "million": "memory, lists, look-ups and the CRL with 1,000,000 certificates",
    "upkeep": "the work that 1,000,000 certificates make by themselves",
    "withdrawal": "authority withdrawn, until nothing comes through",
    "reconnect": "every client reconnects at once",
    "sessions": "requests where a rule asks for a second factor",
    "judge": "judging one certificate",
    "issuing": "issuing certificates",
    "evidence": "the access log, from a line to a checkpoint",
    "seed": "only make the 1,000,000 certificates",
}
"""In this order, in which few installations have to be started."""


def main() -> int:
    """Run what was asked for; return the exit status: 1 if a measurement failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="a fifth of the work: five minutes")
    parser.add_argument("--keep", metavar="VERSION", help="write the last run into docs/figures/")
    given = parser.parse_args()
    if given.keep:
        rows, about = parse_json(RESULTS.read_text(encoding="utf-8"))
        for one in keep([Row.from_json(row) for row in rows], about, given.keep, FIGURES):
            print(one.relative_to(ROOT))
        return 0
    unknown = set(given.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(
            f"no such measurement: {', '.join(sorted(unknown))}; there are: {', '.join(MEASUREMENTS)}"
        )
    check_machine()
    compile_sources()
    names = given.names or [one for one in MEASUREMENTS if one != "seed"]
    return _run(names, quick=given.quick)


def _run(names: list[str], *, quick: bool) -> int:
    rows: list[Row] = []
    failed = False
    began = time.monotonic()
    with on_core(REST), open_scene(quick=quick) as scene:  # the bench itself is part of the load
        for name in names:
            since, others, found = time.monotonic(), Others(), list[Row]()
            try:
                found += _measured(name, scene)
            except Exception:  # noqa: BLE001  one measurement that fails must not hide the others
                traceback.print_exc()
                found.append(Row(name=name, missing="the measurement failed: see what it printed"))
                failed = True
            rows += [mark_disturbed(one, others.share()) for one in found]
            print(f"bench: {name} took {time.monotonic() - since:.0f} s", flush=True)
    about = _about(quick=quick, seconds=time.monotonic() - began)
    RESULTS.write_text(render_json(rows, about), encoding="utf-8")
    print()
    print(render_table(rows))
    print(f"written to {RESULTS.relative_to(ROOT)}")
    return int(failed)


def _measured(name: str, scene: Scene) -> Iterator[Row]:
    module = importlib.import_module(f"bench.{name if name != 'seed' else 'seeding'}")
    for row in module.measure(scene):
        print(_said(row), flush=True)
        yield row


def _said(row: Row) -> str:
    return render_table([row]).splitlines()[2]


def _about(*, quick: bool, seconds: float) -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = models[0] if models else platform.machine()
    return {
        "Doorward": __version__,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}Z, {'a quick run' if quick else 'a whole run'} of {seconds / 60:.0f} minutes",
        "machine": f"{processor}, {os.cpu_count()} cores; everything measured on one of them, the load and the application on another",
        "disk": f"{file_system(CACHE)}; an fdatasync of 4 KiB takes {sync_milliseconds(CACHE):.2f} ms",
        "Python": platform.python_version(),
        "peers": ", ".join(one for one in (envoy_name(), nginx_name(), haproxy_name(), bao_name()) if one),
        "load of the machine at the end": " ".join(f"{one:.1f}" for one in os.getloadavg()),
    }


if __name__ == "__main__":
    sys.exit(main())
