"""What the agent reports about its machine: host name, system, version. No address, no user, no serial number."""

from __future__ import annotations

import platform
import socket
from pathlib import Path

from doorward import __version__


def collect_facts() -> dict[str, str]:
    """Return the facts that do not change while the agent runs."""
    return {"host_name": socket.gethostname(), "system": _system(), "agent_version": __version__}


def _system(release: Path = Path("/etc/os-release")) -> str:
    """Return the name and version of the system, such as `Debian GNU/Linux 12 (bookworm)`."""
    try:
        lines = release.read_text(encoding="utf-8").splitlines()[:100]
    except (OSError, ValueError):
        lines = []
    names = [line.partition("=")[2].strip("\"'") for line in lines if line.startswith("PRETTY_NAME=")]
    return names[0] if names else f"{platform.system()} {platform.release()}".strip()
