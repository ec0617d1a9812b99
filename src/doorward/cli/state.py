"""The state of one invocation: its output, its settings and its installation."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from doorward.cli import parts
from doorward.cli.output import Output
from doorward.core.errors import ConfigurationError

if TYPE_CHECKING:
    from doorward.runtime.compose import Installation
    from doorward.runtime.settings import Settings


def _option(setting: str) -> str:
    """Return the option that gives a setting."""
    return f"--{setting.removeprefix('gateway_').replace('_', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the options of every command say.

    Args:
        output: where results go, as `--json` says.
        data: the data directory, if `--data` names one.
    """

    output: Output
    data: Path | None = None

    def settings(self, **explicit: str) -> Settings:
        """Return the settings; raises as `load_settings`, where a setting that came from an option is named by the option.

        Args:
            explicit: settings that options of the command give.
        """
        try:
            return parts.settings.load_settings(environ=os.environ, data=self.data, **explicit)
        except ConfigurationError as error:
            raise ConfigurationError(
                [
                    replace(one, file=_option(one.key)) if one.file == "arguments" else one
                    for one in error.faults
                ]
            ) from None

    def installation(self, *, keys: bool = False, one_shot: bool = True) -> Installation:
        """Open the installation; it is closed when the command ends.

        Args:
            keys: unlock the key store.
            one_shot: this process does one thing and ends; a role, which runs on and has threads, takes False.
        """
        installation = self._open(one_shot=one_shot)
        click.get_current_context().call_on_close(installation.close)
        if keys:
            installation.unlock()
        return installation

    @contextmanager
    def opened(self) -> Iterator[Installation]:
        """Open the installation for one look, and close it after the block, because a command that watches opens it many times."""
        with closing(self._open(one_shot=True)) as installation:
            yield installation

    def _open(self, *, one_shot: bool) -> Installation:
        return parts.compose.Installation(
            self.settings(), passphrase_prompt=ask_passphrase, one_shot=one_shot
        )

    def withdrawal(self) -> tuple[Installation, tuple[str, ...]]:
        """Open the installation for a withdrawal, which works without the keys; return it and the notes about it."""
        installation = self.installation()
        hindered = installation.unlock_if_possible()
        if not hindered:
            return installation, ()
        note = (
            f"the key store was not opened ({hindered}): stored OCSP answers about the changed certificates are removed, "
            "and `doorward serve` signs new ones"
        )
        return installation, (note,)


def ask_passphrase(prompt: str) -> str | None:
    """Ask on the terminal; None if there is no terminal."""
    if not sys.stdin.isatty():
        return None
    answer: str = click.prompt(prompt, hide_input=True, err=True)
    return answer


def actor() -> str:
    """Return who acts, for the record: the operating system's user."""
    return f"os:{os.getuid()}"
