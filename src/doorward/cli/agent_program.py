"""The command line of the package `doorward-agent`."""

from __future__ import annotations

import click

from doorward import __version__
from doorward.cli.agent_table import AGENT_COMMANDS
from doorward.cli.program import Program


@click.group(
    cls=Program,
    entries=AGENT_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Every command takes --json. First step: doorward enroll LINK",
)
@click.version_option(__version__, prog_name="doorward-agent")
def main() -> None:
    """Doorward's agent: client certificates of this machine, got and kept valid."""


if __name__ == "__main__":
    main()
