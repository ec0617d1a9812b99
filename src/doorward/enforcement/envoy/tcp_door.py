"""The door of a TCP application: each connection is judged once, then bytes pass in both directions.

1. A client that offers a protocol which the application does not list is refused before the handshake, with the alert of
   RFC 7301 section 3.2. Browsers offer `h2` and `http/1.1`, so no web page can reach a TCP application with a person's
   certificate. A client that offers no protocol is accepted.
2. The authorizer judges the connection at the client's first byte. Envoy does not connect to the upstream before: a server
   that sends first would show its greeting to everybody (measured without `ON_DOWNSTREAM_DATA`).
3. The rules are one RBAC filter: judged good, every clearance, one grant. It is a resource of its own (ECDS), so an edited
   rule ends no connection. New connections are judged by the new rules; the gateway compares live ones and cuts those that
   lost permissions.
4. Without metadata, filter or grant the connection is closed.

Envoy makes the filters of a connection when it accepts it. A connection that is accepted before an edit of the rules and
judged after it still has the former rules. So the authorizer also sends their ids, and judges by the newest rules
(docs/design/0052).
Standard: RFC 7301 sections 3.1, 3.2 and 4; RFC 8446 section 6 (an alert's bytes).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from doorward.enforcement.envoy.clusters import build_empty_cluster, build_tcp_upstream
from doorward.enforcement.envoy.door_compiler import (
    Resource,
    build_chain,
    build_connection_limit,
    build_judgement,
    select_chain,
)
from doorward.enforcement.envoy.extension import AWAITED, build_extension, build_typed, render_duration
from doorward.enforcement.envoy.logs import build_connection_log
from doorward.enforcement.envoy.names import FOREIGN_PROTOCOL_CHAIN, ConnectionFact
from doorward.enforcement.envoy.rules import CLEARED, build_connection_rules
from doorward.enforcement.envoy.tls import build_client_tls
from doorward.enforcement.plan import GatewayPlan, TcpDoor

FACTS = (
    ConnectionFact.JUDGED,
    ConnectionFact.GRANTS,
    ConnectionFact.PRINCIPAL_ID,
    ConnectionFact.CERTIFICATE,
    ConnectionFact.DECISION,
)
"""The facts that rules and log read; a TCP application gets no identity."""

NO_APPLICATION_PROTOCOL = bytes((21, 3, 1, 0, 2, 2, 120))
"""A TLS record with one fatal alert (RFC 8446 section 6, RFC 7301 section 3.2)."""

_RBAC = "extensions.filters.network.rbac.v3.RBAC"


@dataclass(frozen=True, slots=True)
class TcpDoorCompiler:
    """See `DoorCompiler`."""

    plan: GatewayPlan
    door: TcpDoor

    @property
    def _cluster_name(self) -> str:
        # Not the application's id: if the application was HTTP before, requests of its former chain must not come here.
        return f"{self.door.id}_tcp"

    def chain(self) -> Resource:
        """Return the filter chain; rules are not in it."""
        plan, door = self.plan, self.door
        rules = {
            "name": door.id,
            "config_discovery": {
                "config_source": AWAITED,
                "type_urls": [f"type.googleapis.com/envoy.{_RBAC}"],
            },
        }
        filters = [
            build_connection_limit(door.id, plan.limits.connections_per_door),
            *build_judgement(door.id, plan, FACTS),
            rules,
            self._proxy(),
        ]
        socket = build_client_tls(door, door.alpn)
        return build_chain(door.id, socket, filters, plan.limits.handshake)

    def _proxy(self) -> Resource:
        limits = self.plan.limits
        return build_extension(
            "doorward.tcp",
            "extensions.filters.network.tcp_proxy.v3.TcpProxy",
            stat_prefix=self.door.id,
            cluster=self._cluster_name,
            upstream_connect_mode="ON_DOWNSTREAM_DATA",
            max_early_data_bytes=limits.buffer_bytes,
            idle_timeout=render_duration(self.door.app_limits.idle),
            max_downstream_connection_duration=render_duration(limits.connection_lifetime),
            max_connect_attempts=1,
            access_log=[build_connection_log(self.plan.paths.log_file, self.door.id)],
        )

    def chain_matches(self) -> Mapping[str, Resource]:
        """Return, for each host, the chain for clients that offer listed protocols or none, and the refusal for others."""
        offered = build_extension(
            "doorward.alpn", "extensions.matching.common_inputs.network.v3.ApplicationProtocolInput"
        )

        def matches(regex: str) -> Resource:
            value = {"safe_regex": {"google_re2": {}, "regex": regex}}
            return {"single_predicate": {"input": offered, "value_match": value}}

        # Envoy writes the offered protocols as 'a','b', and has no value if none is offered.
        fits: Resource = {"not_matcher": matches("(?s).*")}
        if self.door.alpn:
            one = "|".join(re.escape(f"'{name}'") for name in self.door.alpn)
            fits = {"or_matcher": {"predicate": [fits, matches(f"(?:{one})(?:,(?:{one}))*")]}}
        matcher = {
            "matcher_list": {"matchers": [{"predicate": fits, "on_match": select_chain(self.door.id)}]},
            "on_no_match": select_chain(FOREIGN_PROTOCOL_CHAIN),
        }
        return {host: {"matcher": matcher} for host in self.door.hosts}

    def cluster(self) -> Resource:
        """Return the application's cluster; if the application is shut, it has no endpoint, and connections end."""
        build = build_empty_cluster if self.door.is_shut else build_tcp_upstream
        return build(self._cluster_name, self.door.upstream, self.plan.limits)

    def table(self) -> None:
        """Return None: it has no requests."""

    def extension(self) -> Resource:
        """Return the rules."""
        return self._rules(build_connection_rules(self.door.rules))

    def closed(self) -> Resource:
        """Return rules that allow no connection."""
        return self._rules({})

    def _rules(self, policies: Resource) -> Resource:
        rules = build_typed(_RBAC, stat_prefix=f"{CLEARED}_", rules={"action": "ALLOW", "policies": policies})
        return build_typed("config.core.v3.TypedExtensionConfig", name=self.door.id, typed_config=rules)


def build_protocol_refusal(plan: GatewayPlan) -> Resource:
    """Return the chain that answers every ClientHello with the alert `no_application_protocol`, and closes.

    It has no TLS: nothing is decrypted, and no certificate is seen.
    """
    alert = base64.b64encode(NO_APPLICATION_PROTOCOL).decode("ascii")
    refuse = build_extension(
        "doorward.protocol",
        "extensions.filters.network.direct_response.v3.Config",
        response={"inline_bytes": alert},
    )
    limit = build_connection_limit(FOREIGN_PROTOCOL_CHAIN, plan.limits.connections_per_door)
    return build_chain(FOREIGN_PROTOCOL_CHAIN, None, [limit, refuse], plan.limits.hello)
