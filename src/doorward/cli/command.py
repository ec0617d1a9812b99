"""What every command has: `--json`, `--data`, and errors rendered once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from doorward.cli.output import Output
from doorward.cli.state import State
from doorward.core.errors import DoorwardError, Unavailable


class Command(click.Command):
    """A command with `--json` and `--data`, which gets a `State`, and the errors of which `Output` renders."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document."))
        self.params.append(
            click.Option(
                ["--data"],
                # If root started Doorward, only root may list the directory; the ordinary user can still open files in it.
                type=click.Path(path_type=Path, readable=False),
                metavar="DIR",
                help="Data directory (also DOORWARD_DATA).",
            )
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; if an option lacks its value, the error shows how to write it."""
        try:
            return super().parse_args(ctx, args)
        except click.BadOptionUsage as error:
            name, told = error.option_name, error.message
            for one in self.params:
                if isinstance(one, click.Option) and name in one.opts and not one.is_flag:
                    told += f" Write {name} {one.make_metavar(ctx)}: {one.help}"
            raise click.BadOptionUsage(name, told, ctx) from None  # click's parser names no command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn every error into words and an exit code."""
        state = ctx.obj = read_state(ctx)
        try:
            return super().invoke(ctx)
        except DoorwardError as error:
            sys.exit(state.output.error(error))
        except KeyboardInterrupt as interrupt:
            raise click.Abort from interrupt  # click would print an empty line first
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except OSError as error:  # a file of the user, or the disk: no defect of Doorward
            sys.exit(state.output.error(_file_error(error)))
        except Exception as error:  # noqa: BLE001  the last line of defence: never a stack trace to the user
            sys.exit(state.output.internal(error))


def read_state(ctx: click.Context) -> State:
    """Return the values of the options that every command has, and remove them from the parameters of this one."""
    as_json, data = ctx.params.pop("as_json", False), ctx.params.pop("data", None)
    return State(output=Output(as_json=as_json, data="" if data is None else str(data)), data=data)


def _file_error(error: OSError) -> Unavailable:
    place = f"{error.filename}: " if error.filename else ""
    return Unavailable(
        "file-unusable",
        f"{place}{error.strerror or type(error).__name__}",
        hint="check the path, its permissions and the free space on the disk",
    )
