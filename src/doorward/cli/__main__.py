"""The entry point: `doorward`."""

from __future__ import annotations

import click

from doorward import __version__
from doorward.cli.program import Program
from doorward.cli.table import COMMANDS


@click.group(
    cls=Program,
    entries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command takes --json. First steps: doorward demo",
)
@click.version_option(__version__, prog_name="doorward")
def main() -> None:
    """Doorward: client certificates at the door of your applications."""


if __name__ == "__main__":
    main()
