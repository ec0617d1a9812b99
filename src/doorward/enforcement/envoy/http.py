"""The HTTP connection managers: of an application's door, of the portal, and of an open door.

Not here: routes (`routes`), rules (`rules`), headers (`headers`), refusals in words (`replies`).
Standard: RFC 9110, RFC 9112, RFC 9113.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from doorward.enforcement.envoy.app_limits import limit_requests
from doorward.enforcement.envoy.cookies import build_cookie_filters
from doorward.enforcement.envoy.cross_origin import build_cors_filter
from doorward.enforcement.envoy.extension import AWAITED, build_extension, render_duration
from doorward.enforcement.envoy.forwarding import build_path_filter
from doorward.enforcement.envoy.headers import build_early_mutations, build_trailer_removal
from doorward.enforcement.envoy.logs import build_open_log, build_portal_log, build_request_log
from doorward.enforcement.envoy.owners import build_owner_filter
from doorward.enforcement.envoy.rate_limit import build_rate_filter
from doorward.enforcement.envoy.replies import build_local_replies
from doorward.enforcement.envoy.rules import build_filters
from doorward.enforcement.envoy.sessions import build_session_filters
from doorward.enforcement.envoy.step_up import build_challenges, build_step_up_filter
from doorward.enforcement.plan import (
    GatewayLimits,
    GatewayPaths,
    HttpDoor,
    OpenDoor,
    PortalDoor,
    ReplyPages,
    SessionPlan,
)

DRAIN = timedelta(seconds=1)
"""How long a client may ignore `Connection: close`; Envoy ends the connection one second later."""

HTTP_ALPN = ("h2", "http/1.1")
"""The protocols of an HTTP door, best first (RFC 7301)."""

EST_ALPN = ("http/1.1",)
"""EST clients speak HTTP/1.1 (RFC 7030 section 3.1); one connection has one client."""

EST_REQUESTS = 16
"""Of one connection to the EST host: a stranger's certificate costs some milliseconds with each request, so each batch of
requests costs the stranger a handshake. An enrolment needs five (cacerts, csrattrs, simpleenroll, and repeats)."""

PORTAL_TIMEOUT = timedelta(seconds=30)
"""How long a request to the portal may take to arrive, and how long a stream may be idle."""

WEBSOCKET = "websocket"
"""The only protocol that a connection may be upgraded to (RFC 6455)."""

# RE2 has no negation. This matches every text that differs from `websocket` at some letter, or continues after it.
_PARTING = "|".join(f"{WEBSOCKET[:at]}(?:[^{letter}].*)?" for at, letter in enumerate(WEBSOCKET))
_OTHER_UPGRADES = f"(?i)(?:{_PARTING}|{WEBSOCKET}.+)"

_SMALL_WINDOW_BYTES = 65_536
_SMALL_CONNECTION_BYTES = 1 << 20
STREAM_WINDOW_BYTES = 2 << 20
"""A client sends one window per round trip. At 40 ms, 30 MB took 20 s with 64 KiB, and take 0.9 s with this
(docs/design/0040).

Envoy also buffers so much of an answer that a client does not read; `envoy.overload` limits the sum.
"""
CONNECTION_WINDOW_BYTES = 6 << 20
"""Enough for three streams at full speed; a single stream is slower if both windows are equal (measured)."""


def build_http(
    door: HttpDoor,
    paths: GatewayPaths,
    limits: GatewayLimits,
    sessions: SessionPlan | None = None,
    pages: ReplyPages | None = None,
) -> dict[str, Any]:
    """Return the HTTP filter of a protected door."""
    config = _manager(door.id, limits)
    sites = [build_cors_filter()] if door.origins else []
    config["early_header_mutation_extensions"] = build_early_mutations(door.headers)
    limit_requests(config, door.app_limits)
    config["http2_protocol_options"] |= {
        "initial_stream_window_size": STREAM_WINDOW_BYTES,
        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
    }
    config["http_filters"] = [
        *build_path_filter(door.upstream),
        build_rate_filter(limits),
        *sites,
        build_owner_filter(),
        *([] if sessions is None else [*build_session_filters(), build_step_up_filter()]),
        *build_filters(destination=door.headers.destination),
        *build_cookie_filters(),
        build_trailer_removal(),
        _router(),
    ]
    config["access_log"] = [
        build_request_log(paths.log_file, door.id, door.upstream, destination=door.headers.destination)
    ]
    if door.keeps_slashes:
        config["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
    challenges = [] if sessions is None else build_challenges(door, sessions, pages)
    config["local_reply_config"] = build_local_replies(door.name, challenges, pages)
    config["upgrade_configs"] = [{"upgrade_type": WEBSOCKET}]
    # The application answers `Expect: 100-continue` and may send 103. Without this, Envoy would send 100 before it
    # evaluates any rule, and drop 103 (RFC 9110 section 10.1.1, RFC 8297).
    config["proxy_100_continue"] = True
    return _http_filter(config)


def build_portal_http(
    door: PortalDoor, paths: GatewayPaths, limits: GatewayLimits, pages: ReplyPages | None = None
) -> dict[str, Any]:
    """Return the HTTP filter of the portal: small requests, strict timeouts, and no upgrade."""
    config = _manager(door.id, limits)
    config["http_filters"] = [
        build_rate_filter(limits),
        _body_buffer(door.body_bytes),
        _router(),
    ]
    config["access_log"] = [build_portal_log(paths.log_file, door.id)]
    config["local_reply_config"] = build_local_replies(door.name, (), pages)
    config["request_timeout"] = config["stream_idle_timeout"] = render_duration(PORTAL_TIMEOUT)
    return _http_filter(config)


def build_open_http(door: OpenDoor, paths: GatewayPaths, limits: GatewayLimits) -> dict[str, Any]:
    """Return the HTTP filter of an open door: small requests, short connections."""
    config = _manager(door.id, limits)
    gentle = render_duration(door.lifetime - DRAIN - timedelta(seconds=1))
    config["http_filters"] = [_body_buffer(door.body_bytes), _router()]
    if door.asks_certificate:
        # Envoy replaces the field if a certificate was shown, and removes the client's own if none was.
        config["forward_client_cert_details"] = "SANITIZE_SET"
        config["set_current_client_cert_details"] = {"chain": True}
        # For Envoy's own answers; those of the surface keep its spelling (`clusters.build_spelling_upstream`).
        config["http_protocol_options"] |= {"header_key_format": {"proper_case_words": {}}}
    config["access_log"] = [build_open_log(paths.log_file, door.id)]
    config["local_reply_config"] = build_local_replies(door.name)
    config["request_timeout"] = gentle
    config["stream_idle_timeout"] = gentle
    common = config["common_http_protocol_options"]
    common["max_connection_duration"] = common["idle_timeout"] = gentle
    if door.asks_certificate:
        common["max_requests_per_connection"] = EST_REQUESTS
    return _http_filter(config)


def _manager(name: str, limits: GatewayLimits) -> dict[str, Any]:
    """Return the common part of all connection managers: strict parsing, one meaning per path, explicit limits."""
    return {
        "stat_prefix": name,
        "codec_type": "AUTO",
        "rds": {"route_config_name": name, "config_source": AWAITED},
        # One meaning per path: the one of policy.normalisation.
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # The peer of the socket is the client; its own claims about its address are removed.
        "use_remote_address": True,
        "xff_num_trusted_hops": 0,
        "forward_client_cert_details": "SANITIZE",
        # Without a range Envoy trusts X-Envoy-* and X-Request-Id from private addresses (measured); no peer has the
        # broadcast address.
        "internal_address_config": {
            "unix_sockets": False,
            "cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}],
        },
        "early_header_mutation_extensions": build_early_mutations(),
        # RFC 9110 section 4.2.3 has no trailing dot, but browsers send the one that a person typed.
        "strip_trailing_host_dot": True,
        "generate_request_id": True,
        "preserve_external_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        # The client used TLS, even if its request says otherwise: an HTTP/2 upstream gets `:scheme` (RFC 9113 section 8.3.1).
        "scheme_header_transformation": {"scheme_to_overwrite": "https"},
        "max_request_headers_kb": limits.header_kilobytes,
        "request_headers_timeout": render_duration(limits.request_headers),
        "request_timeout": "0s",
        "stream_idle_timeout": render_duration(limits.stream_idle),
        "drain_timeout": render_duration(DRAIN),
        "delayed_close_timeout": "1s",
        "stream_error_on_invalid_http_message": False,
        "common_http_protocol_options": {
            "idle_timeout": render_duration(limits.idle),
            "max_connection_duration": render_duration(limits.connection_lifetime),
            "max_headers_count": limits.header_count,
            # For CGI and WSGI, Doorward_Principal and Doorward-Principal are one variable.
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http_protocol_options": {
            "accept_http_10": False,
            "allow_chunked_length": False,
            # The rules decide about methods, for HTTP/2 and HTTP/1.1 alike, and not a list in the parser.
            "allow_custom_methods": True,
            # RFC 9110 section 7.8: an unknown upgrade is ignored, and not forwarded.
            "ignore_http_11_upgrade": [{"safe_regex": {"regex": _OTHER_UPGRADES}}],
        },
        "http2_protocol_options": {
            "max_concurrent_streams": limits.streams_per_connection,
            "initial_stream_window_size": _SMALL_WINDOW_BYTES,
            "initial_connection_window_size": _SMALL_CONNECTION_BYTES,
            # An invalid message ends the whole connection, not only its stream.
            "override_stream_error_on_invalid_http_message": False,
        },
    }


def _body_buffer(most: int) -> dict[str, Any]:
    return build_extension(
        "doorward.body", "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=most
    )


def _router() -> dict[str, Any]:
    return build_extension(
        "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
    )


def _http_filter(config: dict[str, Any]) -> dict[str, Any]:
    return build_extension(
        "doorward.http",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        **config,
    )
