"""The program `doorward` of the package `doorward-agent`: `enroll` and `agent`, without the server."""

from __future__ import annotations

import signal


def run() -> None:
    """Load the command line and run it; Ctrl-C while it loads ends the process at once, without a trace."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from doorward.cli.agent_program import main  # noqa: PLC0415  see above

    main()
