"""What a process reads of its interpreter, packages and source after it gave up root.

    watch = LateFiles(folder)
    with open_house(environment=watch.environment) as house: ...
    watch.seen()                     # {"/…/site-packages/uvicorn/lifespan/off.py", …}

Not here: a folder that is really closed (`closed_environment`); what is looked for there is not found,
and a library that shrugs at that would go unnoticed.
Standard: PEP 578 (audit hooks).
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
_LOG_VARIABLE = "TEST_LATE_FILES"

_HOOK = f"""
import os, sys
if os.geteuid() == 0:
    descriptor = os.open(os.environ["{_LOG_VARIABLE}"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    roots = (sys.prefix, sys.base_prefix, {str(SOURCE)!r})
    def hook(event, arguments):
        if event == "open" and str(arguments[0]).startswith(roots) and os.geteuid() != 0:
            os.write(descriptor, str(arguments[0]).encode() + b"\\n")
    sys.addaudithook(hook)
"""
"""Python imports a module of this name with every start, whatever program it is to run."""


class LateFiles:
    """Watches every Python that is started with `environment`, and its children.

    Args:
        folder: where the hook and what it writes down lie.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "late-files"
        self._log.touch()
        hooks = folder / "hooks"
        hooks.mkdir()
        (hooks / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
        self.environment = {
            "PYTHONPATH": f"{hooks}{os.pathsep}{SOURCE}",
            _LOG_VARIABLE: str(self._log),
        }

    def seen(self) -> set[str]:
        """Return the files that were opened, or tried, so far."""
        return set(self._log.read_text(encoding="utf-8").splitlines())


def closed_environment(folder: Path) -> tuple[str, dict[str, str]]:
    """Make a virtual environment in a folder that only root may enter.

    Its packages and our source are links to this Python's own, which are looked up through the folder:
    a user who may not enter it reaches none of them by it.

    Returns:
        The path of its interpreter, and the variables to start it with.
    """
    venv = folder / "closed" / "venv"
    packages = venv / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    packages.parent.mkdir(parents=True)
    packages.symlink_to(sysconfig.get_path("purelib"))
    (venv / "bin").mkdir()
    (venv / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    home = Path(sys.executable).resolve().parent
    (venv / "pyvenv.cfg").write_text(f"home = {home}\n", encoding="utf-8")
    (folder / "closed" / "src").symlink_to(SOURCE)
    (folder / "closed").chmod(0o700)
    return str(venv / "bin" / "python"), {"PYTHONPATH": str(folder / "closed" / "src")}


def may_enter(interpreter: str, uid: int) -> bool:
    """Return whether a user may use that interpreter."""
    try:
        return subprocess.run([interpreter, "-c", ""], user=uid, check=False).returncode == 0
    except PermissionError:
        return False
