"""Bringing a renewed certificate to the programs that use it: stores first, then commands and reloads.

"Renewed" and "deployed" are two states: if a target fails, the certificate is renewed and in use by its path, and the
target is tried again until it has it. A target that has the certificate is not tried again for it.

Not here: files (`generations`), when (`schedule`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from doorward.agent.generations import Identity
from doorward.agent.options import IdentityOptions, Machine
from doorward.agent.stores import Keychain, NssStore, WindowsStore
from doorward.core.errors import DoorwardError, MalformedInput, Unavailable

HOOK_SECONDS = 120.0
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a target gets.

    Args:
        directory: the folder of the identity.
        identity: what is in it.
        old: certificates that the target must not keep, as `stores.render_old` writes them.
        machine: how commands are run.
    """

    directory: Path
    identity: Identity
    old: tuple[str, ...]
    machine: Machine


class Target(Protocol):
    """A program or a store that must learn of a renewed certificate."""

    @property
    def name(self) -> str:
        """What people read, and what is remembered: it is the same after a restart."""
        ...

    @property
    def is_store(self) -> bool:
        """Whether it needs the certificate also if the agent starts: a store may not have it yet."""
        ...

    def deliver(self, delivery: Delivery) -> None:
        """Bring it there; raise `Unavailable` if it did not work."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is run after each renewal. `DOORWARD_DIR` in its environment is the folder of the identity."""

    arguments: tuple[str, ...]
    is_store: bool = False

    @property
    def name(self) -> str:
        """The command with its arguments."""
        return " ".join(self.arguments)

    def deliver(self, delivery: Delivery) -> None:
        """Run it; any status but 0 is a failure."""
        done = delivery.machine.run(
            self.arguments,
            environment={"DOORWARD_DIR": str(delivery.directory.absolute())},
            seconds=HOOK_SECONDS,
        )
        if done.status:
            raise Unavailable(
                "hook-failed",
                f"`{self.name}` {done.ending}: {done.last_words}",
                hint="correct the command; the agent tries it again by itself",
            )


def reload_unit(unit: str) -> Command:
    """Return the target that reloads a systemd unit.

    Raises:
        MalformedInput: `unit-malformed`.
    """
    if not _UNIT.fullmatch(unit):
        hint = "write it like nginx.service"
        raise MalformedInput("unit-malformed", f"{unit!r} is not the name of a systemd unit", hint=hint)
    return Command(("systemctl", "reload", unit))


def list_targets(options: IdentityOptions) -> list[Target]:
    """Return the targets of an identity, in the order in which they are served.

    Raises:
        MalformedInput: `unit-malformed`.
    """
    targets: list[Target] = [NssStore(folder) for folder in options.nss]
    targets += [Keychain()] if options.keychain else []
    targets += [WindowsStore()] if options.windows_store else []
    targets += [Command(arguments) for arguments in options.commands]
    targets += [reload_unit(unit) for unit in options.units]
    return targets


def deploy(
    targets: Iterable[Target], done: tuple[str, ...], delivery: Delivery
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Serve the targets that do not have the certificate yet.

    A failed store does not keep a command from running: the files are renewed, and the command's program reads them.

    Args:
        targets: of the identity.
        done: names of those that have it.
        delivery: what they get.

    Returns:
        The names of those that have it now, and what failed, by name.
    """
    names, problems = list(done), {}
    for target in targets:
        if target.name in names:
            continue
        try:
            target.deliver(delivery)
        except DoorwardError as error:
            problems[target.name] = error.detail
        else:
            names.append(target.name)
    return tuple(names), problems
