"""A mosquitto broker on loopback for tests, and its clients as people run them.

Plain MQTT, no password, nothing kept: the door is the only one who asks for anything.
"""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doorward.demo.ports import free_port
from tests.support.commands import run_program
from tests.support.doorway import Doorway, Identity, eventually

TIMEOUT_SECONDS = 20


@contextmanager
def running_broker(folder: Path) -> Iterator[int]:
    """Run a broker as long as the block runs; its port."""
    port = free_port()
    # As root it becomes a user of its own, who could not read our folder.
    user = pwd.getpwuid(os.geteuid()).pw_name
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\npersistence false\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(["mosquitto", "-c", str(file)], stdout=log, stderr=log)
    try:
        assert eventually(lambda: _answers(port)), (folder / "mosquitto.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(10)


def client(program: str, door: Doorway, identity: Identity, *more: str) -> list[str]:
    """Return the command line of `mosquitto_pub` or `mosquitto_sub`, as the how-to has it; the application's host is `localhost`."""
    return [
        *(program, "-h", "localhost", "-p", str(door.port)),
        *("--cafile", str(door.root), "--cert", str(identity.chain), "--key", str(identity.key)),
        *more,
    ]


def publish(door: Doorway, identity: Identity, *more: str) -> subprocess.CompletedProcess[str]:
    """Publish once and wait for the end."""
    command = client("mosquitto_pub", door, identity, "-q", "1", "-t", "hall/temperature", *more)
    return run_program(command, timeout=TIMEOUT_SECONDS)


class Subscriber:
    """A running `mosquitto_sub`; `lines` are the messages so far, and `-d` tells of the subscription."""

    def __init__(self, door: Doorway, identity: Identity) -> None:
        # Into a pipe the program writes in blocks.
        command = ["stdbuf", "-oL", "-eL"]
        command += client("mosquitto_sub", door, identity, "-d", "-k", "5", "-q", "1", "-t", "hall/#")
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.strip() for line in self.process.stdout)

    def is_subscribed(self) -> bool:
        """Whether the broker said so."""
        return any("Subscribed" in one for one in self.lines)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        self._thread.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
