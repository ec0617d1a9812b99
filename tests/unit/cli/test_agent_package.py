"""The small package: what it holds, and that its commands work with nothing else of ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support.commands import run_program
from tools.agent_wheel import find_modules, outside_imports

ROOMS = {"agent", "cli", "core", "files", "pki", "runtime", "stop_signals", "wire"}

SCRIPT = """
import importlib, json, sys
allowed = set(json.loads(sys.argv[1]))

class OnlyThese:
    def find_spec(self, name, path=None, target=None):
        first = name.partition(".")[0]
        if first == "doorward" and name not in allowed:
            raise ModuleNotFoundError(f"{name} is not in the package")
        if first in {"sqlalchemy", "starlette", "pydantic", "structlog", "h2", "rich", "jinja2"}:
            raise ModuleNotFoundError(f"{name} is not there")
        return None

sys.meta_path.insert(0, OnlyThese())
for name in sorted(allowed):
    importlib.import_module(name)
from doorward.cli.agent_program import main
codes = []
for line in json.loads(sys.argv[2]):
    try:
        main(line, prog_name="doorward")
    except SystemExit as end:
        codes.append(end.code)
print(json.dumps(codes), file=sys.stderr)
"""


def test_it_holds_no_server_room() -> None:
    """The agent's rooms, and of the runtime the real clock only."""
    modules = find_modules()
    assert {name.split(".")[1] for name in modules if "." in name} == ROOMS
    assert [name for name in modules if name.startswith("doorward.runtime")] == [
        "doorward.runtime.world",
        "doorward.runtime",
    ]
    assert "doorward.pki.minting" not in modules


def test_it_needs_two_packages_only() -> None:
    """What a machine must install for it."""
    assert outside_imports() == {"click", "cryptography"}


def test_its_commands_work_with_nothing_else_of_ours(tmp_path: Path) -> None:
    """Every module loads, and the commands get as far as they can without a server."""
    lines = [
        ["--help"],
        ["agent", "--help"],
        ["enroll", "https://nonsense", "--json"],
        ["agent", "renew", "--dir", str(tmp_path), "--json"],
        ["agent", "status", "--dir", str(tmp_path)],
    ]
    done = run_program([sys.executable, "-c", SCRIPT, json.dumps(sorted(find_modules())), json.dumps(lines)])
    assert json.loads(done.stderr.splitlines()[-1]) == [0, 0, 2, 1, 1], done.stderr
    assert "identity-missing" in done.stdout
    assert "link-malformed" in done.stdout
