"""How a route forwards a request: to which cluster, with which path, and when it is sent again.

Not here: which requests are forwarded (`routes`, `rules`), and the cluster itself (`clusters`).
Standard: RFC 9110 section 9.2.2 (what may be sent again), RFC 9112 section 9.3.1 (a connection that the
server closes while the request is on its way).
"""

from __future__ import annotations

from typing import Any

from doorward.enforcement.envoy.extension import build_extension
from doorward.policy.model import UnixUpstream, WebUpstream

PATH_LIMIT = 1024
"""Characters of a path that are logged."""

_PATH = f"PATH(NQ:PATH):{PATH_LIMIT}"
_PUBLIC_PATH = "doorward.path"
_SENT_AGAIN = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}
"""Safe methods only: PUT and DELETE are idempotent too (RFC 9110), but not in every application."""


def build_forwarding(cluster: str, upstream: WebUpstream) -> dict[str, Any]:
    """Return the action of a route that leads to an application."""
    # No time limit for the whole answer: it would end downloads, event streams and WebSockets. Idle ones end.
    action: dict[str, Any] = {"cluster": cluster, "timeout": "0s"}
    base = "" if isinstance(upstream, UnixUpstream) else upstream.base
    if base:
        # Done after the rules, which see the public path. The path is normalised, so `..` cannot leave the base path.
        action["regex_rewrite"] = {"pattern": {"regex": "^/"}, "substitution": f"{base}/"}
    return action


def build_path_filter(upstream: WebUpstream) -> list[dict[str, Any]]:
    """Return the filter that keeps the public path for the log, if the application gets another path."""
    if isinstance(upstream, UnixUpstream) or not upstream.base:
        return []
    kept = {
        "object_key": _PUBLIC_PATH,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": f"%{_PATH}%"}},
    }
    return [
        build_extension(
            "doorward.path",
            "extensions.filters.http.set_filter_state.v3.Config",
            on_request_headers=[kept],
        )
    ]


def logged_path(upstream: WebUpstream) -> str:
    """Return the formatter of the path in the request, which is also the path that the rules see."""
    kept = build_path_filter(upstream)
    return f"%FILTER_STATE({_PUBLIC_PATH}:PLAIN):{PATH_LIMIT}%" if kept else f"%{_PATH}%"


def build_retry_policy() -> dict[str, Any]:
    """Return the retry policy of a virtual host.

    A request is sent again once, and only if no answer has begun: often the application closed an idle connection at the
    moment of the request. No byte of a body is buffered, so a request with a body is never sent again.
    """
    policy = {
        "retry_on": "reset,connect-failure",
        "num_retries": 1,
        "retriable_request_headers": [_SENT_AGAIN],
    }
    return {"retry_policy": policy, "per_request_buffer_limit_bytes": 0}
