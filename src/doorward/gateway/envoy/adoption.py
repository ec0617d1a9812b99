"""Whether an Envoy of an earlier gateway goes on under this one, or drains and is replaced (docs/design/0076).

It goes on only if it is exactly the Envoy that this gateway would start now:
1. it is noted as running: one that drains closes its listening sockets;
2. it runs the same program: the same file, not only the same path, so that an update of Envoy replaces it;
3. with the same command line, and with the number of its run in its environment;
4. it listens on every address of the door;
5. it answers on its admin socket.

Not here: its bootstrap (publishing compares that), whether its connections can be cut, and the adoption (supervisor).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from doorward.core.errors import DoorwardError
from doorward.enforcement.envoy.names import EPOCH_VARIABLE
from doorward.gateway.connections.endpoints import Endpoint
from doorward.gateway.envoy.admin import AdminClient
from doorward.gateway.envoy.epochs import epoch_of, noted_running
from doorward.gateway.envoy.process import listens
from doorward.gateway.envoy.program import BOOTSTRAP, EnvoyOptions

_MAX_READ = 1 << 16


def find_difference(pid: int, folder: Path, options: EnvoyOptions, listeners: Sequence[Endpoint]) -> str:
    """Return what distinguishes a running Envoy from the one that would be started now; empty if nothing does.

    Args:
        pid: its process id; the caller has a handle on the process.
        folder: of its run.
        options: how an Envoy would be run now.
        listeners: where it would listen.
    """
    try:
        if not noted_running(folder, pid):
            return "it is not noted as running"
        if not _same_program(pid, options.binary):
            return "it runs another program"
        wanted = [os.fsencode(word) for word in options.command(folder, folder / BOOTSTRAP)]
        if _words(pid, "cmdline") != wanted:
            return "it has another command line"
        if f"{EPOCH_VARIABLE}={epoch_of(folder)}".encode() not in _words(pid, "environ"):
            return "it does not know the number of its run"
        missing = next((one for one in listeners if not listens(pid, one)), None)
        if missing is not None:
            return f"it does not listen on {missing}"
        if not AdminClient(folder / "admin.sock").is_ready():
            return "it does not answer"
    except (DoorwardError, OSError) as error:
        return f"it cannot be examined: {error}"
    return ""


def _same_program(pid: int, binary: Path | int) -> bool:
    mine, its = os.stat(binary), os.stat(f"/proc/{pid}/exe")  # noqa: PTH116 - `binary` may be a descriptor
    return os.path.samestat(mine, its)


def _words(pid: int, name: str) -> list[bytes]:
    with Path(f"/proc/{pid}/{name}").open("rb") as file:
        return file.read(_MAX_READ).removesuffix(b"\0").split(b"\0")
