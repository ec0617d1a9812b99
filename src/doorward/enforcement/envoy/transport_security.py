"""Strict-Transport-Security on every answer of our hosts, including the door's own answers.

A browser that knows this header for a host never sends a request without TLS, and lets no person skip the warning about a
bad certificate. There is no `includeSubDomains`, because other hosts may belong to somebody else.
Standard: RFC 6797 sections 6.1, 7.2 and 8.1.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any


def with_transport_security(table: dict[str, Any], lifetime: timedelta) -> dict[str, Any]:
    """Return a route table that adds the header for all hosts, except `.localhost` names."""
    if not lifetime:
        return table
    hosts = [part for host in table["virtual_hosts"] for part in _parts(host, lifetime)]
    return {**table, "virtual_hosts": hosts}


def _parts(host: dict[str, Any], lifetime: timedelta) -> list[dict[str, Any]]:
    """Return a virtual host, divided in two if only some of its names get the header."""
    named = [name for name in host["domains"] if name != "*" and not _is_local(name)]
    rest = [name for name in host["domains"] if name not in named]
    header = {"key": "strict-transport-security", "value": f"max-age={lifetime // timedelta(seconds=1)}"}
    added = [*host.get("response_headers_to_add", ()), {"header": header, "append_action": "ADD_IF_ABSENT"}]
    parts = []
    if named:
        parts.append({**host, "domains": named, "response_headers_to_add": added})
    if rest:
        parts.append({**host, "domains": rest, **({"name": f"{host['name']}-local"} if named else {})})
    return parts


def _is_local(name: str) -> bool:
    """RFC 6761 section 6.3: names of this machine, where a developer may also use plain HTTP."""
    return name == "localhost" or name.endswith(".localhost")
