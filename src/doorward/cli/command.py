"""What every command has: `--json` and `--data`, settings, an actor, and errors rendered once.

Commands are loaded when they are called: `doorward enroll` on a user's machine does not pay for
importing the server.
"""

from __future__ import annotations

import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from doorward.cli.output import DONE, INTERRUPTED, REFUSED, Output
from doorward.core.errors import DoorwardError, Unavailable
from doorward.core.foreign_text import show


class Command(click.Command):
    """A command with `--json` and `--data`, whose errors are rendered by `Output`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--json", "as_json"],
                is_flag=True,
                help="Print one JSON document.",
                expose_value=False,
                callback=_remember,
                is_eager=True,
            )
        )
        self.params.append(
            click.Option(
                ["--data"],
                # Started by root, nobody else may list it, and the ordinary user still works in it.
                type=click.Path(path_type=Path, readable=False),
                expose_value=False,
                callback=_remember,
                metavar="DIR",
                help="Data directory (also DOORWARD_DATA).",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn every error into words and an exit code."""
        state = ctx.ensure_object(State)
        try:
            return super().invoke(ctx)
        except DoorwardError as error:
            sys.exit(state.output.error(error))
        except KeyboardInterrupt as interrupt:
            raise click.Abort from interrupt  # click would print an empty line first
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:  # a file that was named, or the disk: no defect of ours
            sys.exit(state.output.error(_file_error(error)))
        except Exception as error:  # noqa: BLE001  the last line of defence: never a stack trace to the user
            sys.exit(state.output.internal(error))


class State:
    """What the options say, shared by all commands of one invocation."""

    def __init__(self) -> None:
        self.output = Output(as_json=False)
        self.data: Path | None = None

    def settings(self, **explicit: Any) -> Any:
        """Return the settings (`runtime.settings.Settings`)."""
        from doorward.runtime.settings import load_settings  # noqa: PLC0415  only server commands pay for pydantic

        return load_settings(environ=os.environ, data=self.data, **explicit)

    def installation(self, *, keys: bool = False, one_shot: bool = True) -> Any:
        """Open the installation (`runtime.compose.Installation`); `keys` unlocks the key store.

        A role, which runs on and has threads, takes `one_shot=False`. It is closed when the command ends.
        """
        from doorward.runtime.compose import Installation  # noqa: PLC0415  only server commands pay for the database

        installation = Installation(self.settings(), passphrase_prompt=ask_passphrase, one_shot=one_shot)
        click.get_current_context().call_on_close(installation.close)
        if keys:
            installation.unlock()
        return installation

    def withdrawal(self) -> tuple[Any, tuple[str, ...]]:
        """Open the installation for a withdrawal, which goes on without the keys; return it and what to note."""
        installation = self.installation()
        hindered = installation.unlock_if_possible()
        if not hindered:
            return installation, ()
        note = (
            f"the key store was not opened ({hindered}): the OCSP answers of what is changed are dropped, "
            "and `doorward serve` signs new ones"
        )
        return installation, (note,)


def ask_passphrase(prompt: str) -> str | None:
    """Ask on the terminal; None where there is none."""
    if not sys.stdin.isatty():
        return None
    answer: str = click.prompt(prompt, hide_input=True, err=True)
    return answer


def actor() -> str:
    """Return who acts, for the record: the operating system's user."""
    return f"os:{os.getuid()}"


def _show_usage(error: click.ClickException) -> None:
    """Show what click says about a command line, which may hold words that came from elsewhere."""
    said = io.StringIO()
    error.show(file=said)
    # Click lists what an argument may be with tabs of its own.
    Output(as_json=False).err.write(show(said.getvalue().replace("\t", "  "), keep_lines=True))


def _usage_value(error: click.ClickException) -> dict[str, Any]:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "doorward"
    missing = isinstance(error, click.exceptions.NoArgsIsHelpError)  # its message is the whole help
    return {
        "code": "usage-error",
        "detail": "a command is missing" if missing else error.format_message(),
        "hint": f"see {path} --help",
    }


def _file_error(error: OSError) -> Unavailable:
    place = f"{error.filename}: " if error.filename else ""
    return Unavailable(
        "file-unusable",
        f"{place}{error.strerror or type(error).__name__}",
        hint="look at the path, at who may use it, and at the room on the disk",
    )


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    state = ctx.ensure_object(State)
    if param.name == "as_json" and value:
        data = state.output.data
        state.output = Output(as_json=True)
        state.output.data = data
    elif param.name == "data" and value is not None:
        state.data = value
        state.output.data = str(value)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for: name -> `module:attribute`."""

    def __init__(self, *args: Any, lazy: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  the signature is click's
        """Return the names in the order they were declared: from first steps to daily work."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """Import and return the command."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"doorward.cli.{module}"), attribute)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT002  click's signature
        **extra: Any,
    ) -> Any:
        """Run the command line; with `--json` a usage error is one JSON document as well."""
        given = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        whole = args is None and threading.current_thread() is threading.main_thread()  # not within a test
        if whole:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        as_json = "--json" in (given[: given.index("--")] if "--" in given else given)
        try:
            status = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as raised:
            error = raised
            if isinstance(raised, click.NoSuchOption) and raised.option_name in {"--json", "--data"}:
                error = click.UsageError(f"{raised.option_name} stands behind the command.", raised.ctx)
            if as_json:
                Output(as_json=True).document({"error": _usage_value(error)})
            else:
                _show_usage(error)
            sys.exit(error.exit_code)
        except click.Abort as abort:
            interrupted = isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt)
            if as_json:
                Output(as_json=True).document(
                    {"error": {"code": "aborted", "detail": "it was interrupted", "hint": ""}}
                )
            else:
                Output(as_json=False).err.print("interrupted: what was under way was not done")
            status = INTERRUPTED if interrupted else REFUSED
        finally:
            if whole:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C, while the program ends
        sys.exit(status if isinstance(status, int) else DONE)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Resolve a name; say what was probably meant when it is unknown."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib  # noqa: PLC0415  only on the way to an error

            near = difflib.get_close_matches(args[0], self._lazy, n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise
