"""What an application of TCP may say: the key `alpn`, read and rendered; and everything about requests refused.

Not here: how a connection is judged (`decision`), how the door refuses protocols (enforcement.envoy.tcp_door).

A client of TLS offers protocols by name (ALPN). Browsers offer `h2` and `http/1.1` with every request, and send
the person's certificate too: a web page could write bytes to a database. So a client that offers a protocol which is
not listed here is refused, and those of HTTP cannot be listed. A client that offers none passes.
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
"""The keys of an application that only TCP has."""

MOST_ALPN = 16
"""The door compares each offered name with all of them."""

WEB_PROTOCOLS = re.compile(
    r"(?:http/.*|h2c?(?:-.*)?|h3(?:-.*)?|hq(?:-.*)?|spdy/.*|(?:c-)?webrtc|acme-tls/.*)"
)
"""What browsers speak, and `acme-tls/1`: who answers that one is given public certificates for the host (RFC 8737)."""

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
        message = f"{len(texts)} protocols are too many, at most {MOST_ALPN}"
        reader.add_fault(
            found["alpn"], "alpn-malformed", message, key=f"{key}.alpn", hint="make two applications"
        )
    for text in texts:
        if WEB_PROTOCOLS.fullmatch(text.value.lower()):
            message = f"{text.value!r} cannot be offered here: any web page could then send bytes with a person's certificate"
            hint = "leave it out; for a web application write http:// as the upstream"
            reader.add_fault(text, "alpn-of-browsers", message, key=f"{key}.alpn", hint=hint)
        elif not _ALPN.fullmatch(text.value):
            message = f"{text.value[:80]!r} is not the name of a protocol"
            hint = "write a name as IANA lists it, such as postgresql or mqtt"
            reader.add_fault(text, "alpn-malformed", message, key=f"{key}.alpn", hint=hint)
        else:
            names.add(text.value)
    return tuple(sorted(names))


def check_kind(reader: NodeReader, found: dict[str, Node], key: str, upstream: Upstream | None) -> None:
    """Note a fault at each key and rule that the upstream's kind of application does not have."""
    if not isinstance(upstream, TcpUpstream):
        if upstream is not None and "alpn" in found:
            message = f"`alpn` is about TCP, and {upstream.url} is HTTP"
            hint = "leave it out, or write tcp://host:port"
            reader.add_fault(found["alpn"], "tcp-only", message, key=f"{key}.alpn", hint=hint)
        return
    for word in _OF_REQUESTS:
        if word in found:
            message = f"`{word}` is about HTTP requests, and {upstream.url} is TCP"
            hint = "leave it out, or write http://host:port"
            reader.add_fault(found[word], "http-only", message, key=f"{key}.{word}", hint=hint)
    page = found.get("on_refusal")
    if isinstance(page, Scalar) and page.value == "page":
        message = f"a page is an answer to an HTTP request, and {upstream.url} is TCP"
        reader.add_fault(
            page, "http-only", message, key=f"{key}.on_refusal", hint="write alert, or leave it out"
        )
    rules = found.get("rules")
    for at, rule in enumerate(rules.items if isinstance(rules, Sequence) else ()):
        for name, node in rule.entries if isinstance(rule, Mapping) else ():
            if name.value in ("to", "require"):
                word = name.value
                message = (
                    f"`{word}` is about HTTP requests; at a TCP application a rule is about whole connections"
                )
                hint = f"leave `{word}` out: the rule says who may connect"
                reader.add_fault(node, "http-only", message, key=f"{key}.rules[{at}].{word}", hint=hint)


def render_alpn(app: AppPolicy) -> list[str]:
    """Return the line of the key as the canonical document has it."""
    return [f"    alpn: {render_list(app.alpn)}"] if app.alpn else []


def alpn_facts(app: AppPolicy) -> dict[str, str]:
    """Return what `diff` compares."""
    return {"alpn": ", ".join(app.alpn)} if app.alpn else {}


def find_unsuitable(app: AppPolicy) -> Iterator[tuple[str, str, str]]:
    """Yield code, message and mend of what will probably not work with an application of TCP."""
    upstream = app.upstream
    if not isinstance(upstream, TcpUpstream):
        return
    protocol = SERVER_FIRST.get(upstream.port, "")
    if protocol:
        yield (
            "server-speaks-first",
            f"port {upstream.port} is usually {protocol}, where the server speaks first: here both would wait for ever",
            "put another way in front of it",
        )
    for name in app.alpn:
        if name != name.lower() and name.lower() not in app.alpn:
            yield (
                "alpn-capitals",
                f"names of protocols are compared with case, and clients usually offer {name.lower()}, not {name}",
                f"write {name.lower()}, unless the clients really offer {name}",
            )
    is_postgresql = upstream.port == POSTGRESQL_PORT or POSTGRESQL_SOCKET in upstream.path
    if is_postgresql and POSTGRESQL not in app.alpn:
        yield (
            "postgresql-alpn",
            "clients of PostgreSQL demand the protocol `postgresql` of a door",
            "write `alpn: [postgresql]`; clients need libpq 17 or newer with sslnegotiation=direct",
        )
