"""The commands of a machine that has certificates: all that `doorward-agent`, the small package, has.

The whole product has them as well (`table`).
"""

from __future__ import annotations

from doorward.cli.groups import Branch, Entry

AGENT_COMMANDS: dict[str, Entry | Branch] = {
    "enroll": Entry(
        where="enroll:enroll", summary="Make a key here, and get its certificate with a one-time link."
    ),
    "agent": Branch(
        summary="Keep certificates on this machine valid.",
        entries={
            "run": Entry(where="agent:run", summary="Renew certificates before they end, until Ctrl-C."),
            "install": Entry(
                where="agent:install", summary="Print the unit or task that starts `agent run`."
            ),
            "renew": Entry(where="agent:renew", summary="Renew certificates now."),
            "status": Entry(where="agent:status", summary="Show the certificates and what needs attention."),
        },
    ),
}
