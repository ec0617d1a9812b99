"""docs/reference/pages.md: what people and programs read if they do not get through, from the table of states."""

from __future__ import annotations

from doorward.enforcement.envoy.reply_cases import PAGE_STATES
from doorward.web.pages.message import PROBLEMS_PATH
from doorward.web.pages.states import BY_REASON, STATES, UNKNOWN_CERTIFICATE
from tools.reference.markdown import render_table

HEAD = """\
# Pages of the door

<!-- Made by `python -m tools.reference` from the program itself. Do not edit. -->

If the door refuses a request, a browser gets a page with one message and one main action, in English or German. A program
(no `text/html` in `Accept`, or a `Sec-Fetch-Dest` other than `document`) gets a problem document (RFC 9457) with the same
text:

| member | meaning |
| --- | --- |
| `type` | `{path}` and the name of the state; at this path on the application's own host, a page explains it |
| `title`, `detail` | the text of the page, in English |
| `status` | the HTTP status |
| `incident` | the incident id, such as `3f2a-9c1b`: `doorward explain 3f2a-9c1b` shows what happened; the id itself reveals nothing |
| `request` | the id of the request in the record, if Envoy answers itself |

Names of states are stable. Name, logo, colour and help address of the pages are [settings](settings.md).

"""

REASONS = """
## Which reason leads to which page

A reason that is not listed leads to `{elsewhere}`: this door does not know the certificate.

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
