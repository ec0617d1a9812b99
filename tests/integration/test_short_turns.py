"""The threads of the running door take short turns in the interpreter (docs/design/0117)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from doorward.runtime.roles import SWITCH_SECONDS
from tests.support.commands import SOURCE
from tests.support.doorway import founded
from tests.support.serve_process import serve_process

_DOOR = """
import sys, threading
from pathlib import Path
from doorward.runtime.compose import Installation
from doorward.runtime.gateway import run_gateway
from doorward.runtime.settings import load_settings

def say(_gateway):
    print("interval", sys.getswitchinterval(), flush=True)
    stop.set()

stop = threading.Event()
run_gateway(Installation(load_settings(environ={}, data=Path(sys.argv[1]))), stop, started=say)
"""
START_SECONDS = 300


def test_the_running_door_takes_short_turns(tmp_path: Path) -> None:
    """A process that has just opened its door says which interval is in force; by default it is ten times as long."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DOORWARD_")}
    told = tmp_path / "door.log"
    with founded() as installation, serve_process(installation, {}), told.open("wb") as log:
        subprocess.run(
            [sys.executable, "-c", _DOOR, str(installation.layout.data)],
            env={**kept, "PYTHONPATH": SOURCE},
            stdout=log,
            stderr=log,
            check=True,
            timeout=START_SECONDS,
        )
    (interval,) = re.findall(r"^interval (.+)$", told.read_text(), re.MULTILINE)
    assert float(interval) == pytest.approx(SWITCH_SECONDS)
