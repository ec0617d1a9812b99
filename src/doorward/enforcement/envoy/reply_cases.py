"""The cases in which Envoy itself answers, each with a sentence and a state: first by an expression, then by status.

Not here: the form of the reply (`replies`), and the pages (they are in the plan, by the names of states).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from doorward.core.names import PORTAL_APPLICATION
from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import (
    FOREIGN_ORIGIN,
    JUDGED,
    PREFLIGHT_REFUSED,
    SESSIONS_CLUSTER,
    ConnectionFact,
    Refusal,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyCase:
    """One case: a CEL expression or a status, the sentence, and the name of the state (empty if it has no page).

    `{name}` in a sentence is replaced by the application's name.
    """

    sentence: str
    state: str = ""
    holds: str = ""
    status: int = 0


CONDITION_CASES = (
    # Envoy keeps the status and the header fields of such an answer, and drops its body.
    ReplyCase(
        holds="response.code_details == 'websocket_handshake_unsuccessful'",
        sentence="{name} did not open a WebSocket. Of its answer, the status and the header fields are passed on.",
    ),
    ReplyCase(
        holds=f"response.code == 403 && xds.route_name in ['{FOREIGN_ORIGIN}', '{PREFLIGHT_REFUSED}']",
        sentence="A page of another site asked for this, and {name} does not list that site.",
        state="from-another-site",
    ),
    ReplyCase(
        holds=f"response.code == 403 && filter_state['{ConnectionFact.JUDGED.state_key}'] != b'{JUDGED}'",
        sentence="This part of {name} needs a certificate, and this connection showed none that is good.",
        state="certificate-missing",
    ),
    ReplyCase(
        holds=f"response.code == 503 && xds.route_name == '{Refusal.AUTHORIZER_AWAY.word}'",
        sentence="The door of {name} is starting, or very busy. Try again in a few seconds.",
        state="door-starting",
    ),
    # Pages and the portal are our own surfaces: the application is not the one that does not answer.
    ReplyCase(
        holds=f"response.code == 503 && xds.cluster_name in ['{SESSIONS_CLUSTER}', '{PORTAL_APPLICATION}']",
        sentence="A part of the door of {name} is starting, or very busy. Try again in a few seconds.",
        state="door-starting",
    ),
)
"""Cases that depend on more than the status; they come first, and Envoy uses the first case that matches."""

STATUS_CASES = (
    ReplyCase(
        status=400,
        sentence="This request is malformed or has two meanings, so it was not passed on to {name}.",
        state="not-understood",
    ),
    ReplyCase(
        status=403,
        sentence="You are known here, but you may not do this in {name}.",
        state="not-allowed",
    ),
    ReplyCase(status=404, sentence="There is nothing here.", state="nothing-here"),
    ReplyCase(
        status=405,
        sentence="This method repeats the request in its answer; it was not passed on to {name}.",
        state="not-offered",
    ),
    ReplyCase(
        status=408,
        sentence="This request did not arrive in time, so it was not passed on to {name}.",
        state="too-slow",
    ),
    ReplyCase(status=413, sentence="This request is too large for {name}.", state="too-large"),
    ReplyCase(
        status=421,
        sentence="This connection was made for {name}; open another one for this host.",
        state="other-address",
    ),
    ReplyCase(status=426, sentence="The door of {name} speaks HTTP/1.1 and HTTP/2, and no older version."),
    ReplyCase(
        status=429,
        sentence="Too many requests came from you at once. Wait a second, then try again: {name} did not get this one.",
        state="please-wait",
    ),
    ReplyCase(
        status=431,
        sentence="The header fields of this request are too large or too many for {name}.",
        state="cookies-too-large",
    ),
    ReplyCase(
        status=502,
        sentence="The answer of {name} is malformed or its header fields are too large.",
        state="answer-malformed",
    ),
    ReplyCase(
        status=503, sentence="{name} does not answer. It may be back shortly.", state="application-silent"
    ),
    ReplyCase(status=504, sentence="{name} took too long to answer.", state="application-slow"),
)
"""One case for each status of Envoy's own replies."""

FACTOR_MISSING = ReplyCase(
    status=401, sentence="{name} asks for a second factor here.", state="one-more-step"
)
"""The case of a request for which only a second factor is missing; `step_up` has its expression."""

DEFAULT_SENTENCE = "The door of {name} could not pass this request on."

PAGE_STATES = tuple(
    dict.fromkeys(case.state for case in (*CONDITION_CASES, *STATUS_CASES, FACTOR_MISSING) if case.state)
)
"""Names of the states that need a page."""


def build_filter(expression: str) -> dict[str, Any]:
    """Return the filter of a local reply that matches if the expression is true."""
    extension = build_extension(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=expression,
    )
    return {"extension_filter": extension}
