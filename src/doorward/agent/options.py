"""What the agent does for one identity, and the machine it runs on.

Not here: reading them from the command line (`cli.commands.agent`) or from `agent.toml` (`configuration`).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from doorward.agent.link import Server
from doorward.agent.renewal import Send, send_over_tls
from doorward.core.ports import Clock, KeyFactory, RandomSource

MAX_OUTPUT_BYTES = 256 * 1024
NOT_STARTED, TOO_LONG = 127, 124
"""The statuses that a shell and timeout(1) have for these two."""

_MAX_LAST_WORDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that ended: its exit status (negative: the signal that ended it), and the end of what it wrote, at most 256 KiB."""

    status: int
    output: str = ""

    @property
    def ending(self) -> str:
        """How it ended, for people."""
        if self.status == TOO_LONG:
            return "was killed because it took too long"
        if self.status >= 0:
            return f"ended with status {self.status}"
        try:
            return f"was ended by the signal {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was ended by the signal {-self.status}"

    @property
    def last_words(self) -> str:
        """The end of the output, for people: one line of at most 300 printable characters."""
        text = " ".join(self.output[-4 * _MAX_LAST_WORDS :].split())
        printable = "".join(character for character in text if character.isprintable())
        return printable[-_MAX_LAST_WORDS:] or "it wrote nothing"


class Run(Protocol):
    """How a command of this machine is run; `commands.run_command` is the real one."""

    def __call__(self, command: Sequence[str], *, environment: Mapping[str, str], seconds: float) -> Finished:
        """Run it without a shell and wait for it. A command that cannot start or takes too long has the status 127 or 124."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The world of an agent. Every time, random byte, key, request and command comes through it.

    Args:
        clock: the wall clock decides.
        random: for passwords of PKCS#12 files.
        factory: makes the new keys.
        send: requests to the enrolment host.
        run: commands of this machine.
        platform: `sys.platform`.
        facts: what is reported about this machine: `host_name`, `system`, `agent_version`.
    """

    clock: Clock
    random: RandomSource
    factory: KeyFactory
    run: Run
    send: Send = send_over_tls
    platform: str = sys.platform
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityOptions:
    """One identity and what is done for it.

    Args:
        directory: its folder.
        server: the enrolment host; None takes the one that the enrolment wrote into the folder.
        trial: an application; the new certificate must pass its TLS handshake before it is used.
        commands: run after each renewal, each as a list of arguments, without a shell.
        units: systemd units to reload after each renewal.
        nss: folders with an NSS database (Firefox, Chromium on Linux).
        keychain: put the certificate into the login keychain of macOS.
        windows_store: put the certificate into the user's store of Windows.
        p12_password_file: the password of the `.p12` file; without it no `.p12` file is kept, because the agent knows no
            password for it.
    """

    directory: Path
    server: Server | None = None
    trial: Server | None = None
    commands: tuple[tuple[str, ...], ...] = ()
    units: tuple[str, ...] = ()
    nss: tuple[Path, ...] = ()
    keychain: bool = False
    windows_store: bool = False
    p12_password_file: Path | None = None
