"""The wheel of the agent: built, installed into an environment of its own, small, and able to run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from tools.agent_wheel import build

MEGABYTE = 1_000_000
NEEDED = ("click", "cryptography", "cffi", "pycparser")


def test_the_wheel_is_small_and_runs_alone(tmp_path: Path) -> None:
    """With its dependencies it takes at most 20 MB; no server room is there; its commands answer."""
    wheel = build(tmp_path / "dist")
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    # Without an index: its dependencies are taken from this environment, as they are installed here.
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    (packages,) = environment.glob("lib/python3*/site-packages")
    for name in NEEDED:
        for file in distribution(name).files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(Path(file.locate()).read_bytes())
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    print(f"installed: {size / MEGABYTE:.1f} MB, the wheel: {wheel.stat().st_size / 1000:.0f} kB")
    assert size <= 20 * MEGABYTE

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(words, env=environ, capture_output=True, text=True, cwd=tmp_path, check=False)

    program = str(environment / "bin" / "doorward")
    assert "renew" in run(program, "agent", "--help").stdout
    assert "doorward-agent, version" in run(program, "--version").stdout
    assert run(program, "agent", "status", "--dir", str(tmp_path)).returncode == 1
    assert run(program, "enroll", "https://nonsense").returncode == 2
    for room in ("web", "storage", "gateway", "authority", "runtime.serve", "pki.minting"):
        assert run(str(python), "-c", f"import doorward.{room}").returncode == 1, room
