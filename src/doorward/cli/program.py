"""The whole command line: interrupts, usage errors and exit codes around each command."""

from __future__ import annotations

import gc
import io
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import add_completion_class

from doorward.cli.bash_words import BashWords
from doorward.cli.groups import Group
from doorward.cli.output import DONE, INTERRUPTED, REFUSED, Output
from doorward.core.untrusted_text import escape_unprintable

OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""A command makes little garbage, but it loads tens of thousands of objects that stay. With the interpreter's own threshold of 700
it searches them again and again, which takes up to a third of its time."""

add_completion_class(BashWords, "bash")


class Program(Group):
    """The group at the root."""

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
        whole = args is None and threading.current_thread() is threading.main_thread()  # False in a test
        if whole:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
        output = Output(as_json="--json" in (given[: given.index("--")] if "--" in given else given))
        try:
            status = super().main(given, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            sys.exit(_answer_usage(output, error))
        except click.Abort as abort:
            interrupted = isinstance(abort.__cause__ or abort.__context__, KeyboardInterrupt)
            if output.as_json:
                output.document({"error": {"code": "aborted", "detail": "it was interrupted", "hint": ""}})
            else:
                output.err.print("interrupted: the command was not finished")
            status = INTERRUPTED if interrupted else REFUSED
        finally:
            if whole:
                signal.signal(signal.SIGINT, signal.SIG_DFL)  # for a second Ctrl-C while the program ends
                gc.freeze()  # the memory goes back as a whole: the interpreter need not search it for garbage at its end
        sys.exit(status if isinstance(status, int) else DONE)


def _answer_usage(output: Output, error: click.ClickException) -> int:
    """Print a usage error; return the exit code."""
    if isinstance(error, click.NoSuchOption) and error.option_name in {"--json", "--data"}:
        error = click.UsageError(f"{error.option_name} comes after the command.", error.ctx)
    if output.as_json:
        output.document({"error": _usage_value(error)})
    else:
        said = io.StringIO()  # the message may hold text from elsewhere
        error.show(file=said)
        # Click separates the choices of an argument by tabs.
        output.err.write(escape_unprintable(said.getvalue().replace("\t", "  "), keep_lines=True))
    return error.exit_code


def _usage_value(error: click.ClickException) -> dict[str, str]:
    context = error.ctx if isinstance(error, click.UsageError) else None
    missing = isinstance(error, click.exceptions.NoArgsIsHelpError)  # its message is the whole help
    return {
        "code": "usage-error",
        "detail": "a command is missing" if missing else error.format_message(),
        "hint": f"see {context.command_path if context else 'doorward'} --help",
    }
