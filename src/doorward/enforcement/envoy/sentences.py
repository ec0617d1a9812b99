"""Sentences for refusals that no rule made: a page of another site asked, or there is no good certificate.

Not here: the sentences by status (`replies`). These stand before them; Envoy takes the first that fits.
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.enforcement.envoy.names import FOREIGN_ORIGIN, JUDGED, PREFLIGHT_REFUSED, Fact

SENTENCES = (
    (
        # Envoy keeps status and header fields of such an answer and drops its body; the status is any.
        "response.code_details == 'websocket_handshake_unsuccessful'",
        "{name} did not open a WebSocket. Of its answer, the status and the header fields are passed on.",
    ),
    (
        f"response.code == 403 && xds.route_name in ['{FOREIGN_ORIGIN}', '{PREFLIGHT_REFUSED}']",
        "A page of another site asked for this, and {name} does not list that site.",
    ),
    (
        f"response.code == 403 && filter_state['{Fact.JUDGED.state_key}'] != b'{JUDGED}'",
        "This part of {name} needs a certificate, and this connection showed none that is good.",
    ),
)
"""When (CEL) and what; `{name}` is the application's name."""


def build_filter(expression: str) -> dict[str, Any]:
    """Return the filter of a local reply that holds when the expression does."""
    extension = build_extension(
        "envoy.access_loggers.extension_filters.cel",
        "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
        expression=expression,
    )
    return {"extension_filter": extension}
