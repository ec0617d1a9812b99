"""docs/reference/pages.md: what people and programs read if they do not get through, from the table of states."""

from __future__ import annotations

from doorward.enforcement.envoy.reply_cases import PAGE_STATES
from doorward.web.pages.message import PROBLEMS_PATH
from doorward.web.pages.states import BY_REASON, STATES, UNKNOWN_CERTIFICATE
from tools.reference.markdown import render_table

HEAD = """\
# Pages of the door

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

If the door does not let somebody through, a browser gets a page with one message and one thing to do, in English or
German. A program (no `text/html` in `Accept`, or a `Sec-Fetch-Dest` other than `document`) gets a problem document
(RFC 9457) with the same words:

| member | meaning |
| --- | --- |
| `type` | `{path}` and the name of the state; the address on the application's own host explains it |
| `title`, `detail` | the words of the page, in English |
| `status` | the status of the answer |
| `incident` | the incident id, such as `3f2a-9c1b`: `doorward explain 3f2a-9c1b` tells what happened, and it tells nothing to anybody else |
| `request` | the id of the request in the record, where Envoy answers |

Names of states are stable. Name, logo, colour and help address of the pages are [settings](settings.md).

"""

REASONS = """
## Which reason leads to which page

A reason that is not listed leads to `{elsewhere}`: the certificate is none that this door knows.

"""


def render_states() -> str:
    """Return the page."""
    rows = [
        (
            f"`{name}`",
            str(state.status),
            state.title.replace("%(application)s", "APPLICATION"),
            "Envoy" if name in PAGE_STATES else "pages",
        )
        for name, state in STATES.items()
    ]
    reasons = [(f"`{reason.value}`", f"`{state}`") for reason, state in BY_REASON.items()]
    return (
        HEAD.format(path=PROBLEMS_PATH)
        + render_table(("state", "status", "title", "answered by"), rows)
        + REASONS.format(elsewhere=UNKNOWN_CERTIFICATE)
        + render_table(("reason", "state"), reasons)
    )
