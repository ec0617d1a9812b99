"""The program `doorward`: the entry point of the process, before any other module of ours is loaded."""

from __future__ import annotations

import signal


def run() -> None:
    """Load the command line and run it; Ctrl-C while it loads ends the process at once, without a trace."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from doorward.cli.__main__ import main  # noqa: PLC0415  see above

    main()
