"""TCP applications in a document: reading and rendering the key `alpn`, and refusing keys about requests.

Not here: how a connection is judged (`decision`), how the door refuses protocols (enforcement.envoy.tcp_door).

A TLS client offers protocols by name (ALPN). Browsers offer `h2` and `http/1.1` with every request, and send the
person's certificate too, so a web page could write bytes to a database. So a client that offers a protocol which is not
listed is refused, and protocols of HTTP cannot be listed. A client that offers no protocol is accepted.
Standard: RFC 7301 section 3.1; IANA, TLS ALPN Protocol IDs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType

from doorward.policy.model import AppPolicy, TcpUpstream, Upstream
from doorward.policy.node_reader import NodeReader
from doorward.policy.scalars import render_list
from doorward.policy.yaml_tree import Mapping, Node, Scalar, Sequence

TCP_KEYS = ("alpn",)
"""The keys that only TCP applications have."""

MOST_ALPN = 16
"""The door compares each offered name with all of them."""

WEB_PROTOCOLS = re.compile(
    r"(?:http/.*|h2c?(?:-.*)?|h3(?:-.*)?|hq(?:-.*)?|spdy/.*|(?:c-)?webrtc|acme-tls/.*)"
)
"""The protocols of browsers, and `acme-tls/1`: a server that answers it can get public certificates for the host (RFC 8737)."""

SERVER_FIRST = MappingProxyType(
    {
        21: "FTP",
        22: "SSH",
        25: "SMTP",
        110: "POP3",
        143: "IMAP",
        587: "SMTP",
        3306: "MySQL",
        5900: "VNC",
    }
)
"""Usual ports of protocols in which the server speaks first."""

POSTGRESQL, POSTGRESQL_PORT, POSTGRESQL_SOCKET = "postgresql", 5432, ".s.PGSQL."

_ALPN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,63}")
_OF_REQUESTS = ("public", "cors", "headers", "paths", "limits")


def read_alpn(reader: NodeReader, found: dict[str, Node], key: str) -> tuple[str, ...]:
    """Return the protocols that clients may offer, sorted; note faults.

    Args:
        reader: reads nodes, and notes faults.
        found: the entries of the application.
        key: its path in the document.
    """
    if "alpn" not in found:
        return ()
    names = set()
    texts = reader.texts(found["alpn"], f"{key}.alpn")
    if len(texts) > MOST_ALPN:
        message = f"the list has {len(texts)} protocols, at most {MOST_ALPN} are allowed"
        reader.add_fault(
            found["alpn"], "alpn-malformed", message, key=f"{key}.alpn", hint="make two applications"
        )
    for text in texts:
        if WEB_PROTOCOLS.fullmatch(text.value.lower()):
            message = f"{text.value!r} is a protocol of browsers: a web page could send bytes with a person's certificate"
            hint = "remove it; for a web application write http:// as the upstream"
            reader.add_fault(text, "alpn-of-browsers", message, key=f"{key}.alpn", hint=hint)
        elif not _ALPN.fullmatch(text.value):
            message = f"{text.value[:80]!r} is not the name of an ALPN protocol"
            hint = "write a name from IANA's list of ALPN protocol ids, such as postgresql or mqtt"
            reader.add_fault(text, "alpn-malformed", message, key=f"{key}.alpn", hint=hint)
        else:
            names.add(text.value)
    return tuple(sorted(names))


def check_kind(reader: NodeReader, found: dict[str, Node], key: str, upstream: Upstream | None) -> None:
    """Note a fault at each key that this kind of application (HTTP or TCP) does not have."""
    if not isinstance(upstream, TcpUpstream):
        if upstream is not None and "alpn" in found:
            message = f"`alpn` is only for TCP applications, and {upstream.url} is HTTP"
            hint = "remove it, or write tcp://host:port"
            reader.add_fault(found["alpn"], "tcp-only", message, key=f"{key}.alpn", hint=hint)
        return
    for word in _OF_REQUESTS:
        if word in found:
            message = f"`{word}` is about HTTP requests, and {upstream.url} is TCP"
            hint = "remove it, or write http://host:port"
            reader.add_fault(found[word], "http-only", message, key=f"{key}.{word}", hint=hint)
    page = found.get("on_refusal")
    if isinstance(page, Scalar) and page.value == "page":
        message = f"a page is an answer to an HTTP request, and {upstream.url} is TCP"
        reader.add_fault(
            page, "http-only", message, key=f"{key}.on_refusal", hint="write alert, or remove it"
        )
    rules = found.get("rules")
    for at, rule in enumerate(rules.items if isinstance(rules, Sequence) else ()):
        for name, node in rule.entries if isinstance(rule, Mapping) else ():
            if name.value in ("to", "require"):
                word = name.value
                message = (
                    f"`{word}` is about HTTP requests; a rule of a TCP application is about whole connections"
                )
                hint = f"remove `{word}`: the rule says who may connect"
                reader.add_fault(node, "http-only", message, key=f"{key}.rules[{at}].{word}", hint=hint)


def render_alpn(app: AppPolicy) -> list[str]:
    """Return the line of the key in the canonical document."""
    return [f"    alpn: {render_list(app.alpn)}"] if app.alpn else []


def alpn_facts(app: AppPolicy) -> dict[str, str]:
    """Return the facts that `diff` compares."""
    return {"alpn": ", ".join(app.alpn)} if app.alpn else {}


def lint_tcp(app: AppPolicy) -> Iterator[tuple[str, str, str]]:
    """Yield code, message and hint of settings with which a TCP application will probably not work."""
    upstream = app.upstream
    if not isinstance(upstream, TcpUpstream):
        return
    protocol = SERVER_FIRST.get(upstream.port, "")
    if protocol:
        yield (
            "server-speaks-first",
            f"port {upstream.port} is usually {protocol}, where the server sends first: client and door wait forever",
            "reach this application without the door",
        )
    for name in app.alpn:
        if name != name.lower() and name.lower() not in app.alpn:
            yield (
                "alpn-capitals",
                f"names of protocols are case-sensitive, and clients usually offer {name.lower()}, not {name}",
                f"write {name.lower()}, unless the clients really offer {name}",
            )
    is_postgresql = upstream.port == POSTGRESQL_PORT or POSTGRESQL_SOCKET in upstream.path
    if is_postgresql and POSTGRESQL not in app.alpn:
        yield (
            "postgresql-alpn",
            "clients of PostgreSQL require the protocol `postgresql` when they begin with TLS",
            "write `alpn: [postgresql]`; clients need libpq 17 or newer with sslnegotiation=direct",
        )
