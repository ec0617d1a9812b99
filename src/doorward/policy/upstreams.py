"""The key `upstream` of an application: parsing it from text, reading it from a document, rendering it.

Not here: the values (`model`), and whether the upstream answers (gateway).

`unix:///path`, `http://host[:port][/base]`, `h2c://…` (HTTP/2 with prior knowledge, RFC 9113 section 3.3)
and `https://…` (HTTP/1.1 over TLS, always verified, RFC 9525); `tcp://host:port` and `tcp+unix:///path` for any
other protocol. With options it is a mapping:

    upstream: {url: https://records.internal:8443/api, ca_file: /etc/records-ca.pem, server_name: records,
               client_certificate: /var/lib/doorward-door}
"""

from __future__ import annotations

import ipaddress
import json
import re

from doorward.core.errors import MalformedInput
from doorward.core.names import parse_dns_name
from doorward.core.sockets import LONGEST_SOCKET_PATH
from doorward.policy.model import HttpUpstream, Scheme, TcpUpstream, UnixUpstream, Upstream, UpstreamTls
from doorward.policy.node_reader import NodeReader
from doorward.policy.normalisation import fault_of
from doorward.policy.yaml_tree import Mapping, Node

_TCP = re.compile(r"tcp://(\[[^\[\]/]*\]|[^\[\]:/@?#]+):([0-9]{1,9})")
_URL = re.compile(r"(http|https|h2c)://(\[[^\[\]/]*\]|[^\[\]:/@?#]+)(?::([0-9]{1,9}))?(/[^?#]*)?")
_PORTS = {Scheme.HTTP: 80, Scheme.HTTPS: 443, Scheme.H2C: 80}
_LARGEST_PORT = 65535
_BASE_LIMIT = 256
_PLAIN_BASE = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,=:@-]+)*")
_FILE = re.compile(r"/[!-~]{1,1023}")
_TLS_KEYS = ("ca_file", "server_name", "client_certificate")
_FORMS = (
    "write http://host:port, h2c://host:port, https://host:port, unix:///path/to/socket or tcp://host:port"
)
_TCP_FORMS = "write tcp://host:port or tcp+unix:///path/to/socket"


def parse_upstream(text: str) -> Upstream:
    """Return the upstream that a URL names.

    Raises:
        MalformedInput: `upstream-malformed`.
    """
    scheme, separator, rest = text.partition("://")
    if scheme == "unix" and separator:
        return UnixUpstream(path=_socket(rest, "unix"))
    if scheme == "tcp+unix" and separator:
        return TcpUpstream(path=_socket(rest, scheme))
    if scheme == "tcp" and separator:
        return _tcp_upstream(text)
    match = _URL.fullmatch(text)
    kind = Scheme(match[1]) if match else Scheme.HTTP
    port = int(match[3] or _PORTS[kind]) if match else 0
    host = _host(match[2]) if match else ""
    if not match or not host:
        raise MalformedInput("upstream-malformed", f"{text[:128]!r} is not an upstream", hint=_FORMS)
    _check_port(port, _FORMS)
    tls = UpstreamTls() if kind is Scheme.HTTPS else None
    return HttpUpstream(host=host, port=port, scheme=kind, base=_base(match[4] or ""), tls=tls)


def read_upstream(reader: NodeReader, node: Node, key: str) -> Upstream | None:
    """Return the upstream of a node, which is a text or a mapping; None, with a fault, if it is malformed."""
    options: dict[str, Node] = {}
    if isinstance(node, Mapping):
        options = reader.mapping(node, key, ("url", *_TLS_KEYS))
        if "url" not in options:
            hint = "write `url: https://host:port`"
            reader.add_fault(node, "missing-key", "the upstream has no `url`", key=key, hint=hint)
            return None
        node = options.pop("url")
    text = reader.text(node, key)
    if text is None:
        return None
    try:
        upstream = parse_upstream(text.value)
    except MalformedInput as error:
        reader.add_malformed(node, error, key=key)
        return None
    return _with_tls(reader, upstream, options, key) if options else upstream


def check_base(reader: NodeReader, node: Node, key: str, upstream: Upstream | None, *, judged: bool) -> None:
    """Note a fault if the upstream has a base path and `Destination` is judged: Envoy adds the base to the path only."""
    if judged and isinstance(upstream, HttpUpstream) and upstream.base:
        message = f"the upstream has the base path {upstream.base}, and `destination` is judged"
        hint = "remove one of them: Envoy does not put the base path before the path in Destination"
        reader.add_fault(node, "base-with-destination", message, key=key, hint=hint)


def render_upstream(upstream: Upstream) -> str:
    """Return an upstream as YAML on one line, its options included."""
    options = _options(upstream)
    if not options:
        return upstream.url
    fields = {"url": upstream.url, **options}
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()) + "}"


def _options(upstream: Upstream) -> dict[str, str]:
    if not isinstance(upstream, HttpUpstream) or upstream.tls is None:
        return {}
    return {name: value for name in _TLS_KEYS if (value := getattr(upstream.tls, name))}


def _with_tls(
    reader: NodeReader, upstream: Upstream, options: dict[str, Node], key: str
) -> HttpUpstream | None:
    if not isinstance(upstream, HttpUpstream) or upstream.tls is None:
        for name, node in options.items():
            message = f"`{name}` is only for https:// upstreams, and this one is {upstream.url}"
            hint = "remove it, or write https:// if the application speaks TLS"
            reader.add_fault(node, "upstream-malformed", message, key=f"{key}.{name}", hint=hint)
        return None
    values = {}
    for name, node in options.items():
        try:
            text = reader.text(node, f"{key}.{name}")
            values[name] = _option(name, text.value) if text else ""
        except MalformedInput as error:
            reader.add_malformed(node, error, key=f"{key}.{name}")
    return HttpUpstream(
        host=upstream.host,
        port=upstream.port,
        scheme=upstream.scheme,
        base=upstream.base,
        tls=UpstreamTls(**values),
    )


def _option(name: str, text: str) -> str:
    if name == "server_name":
        found = _host(text if ":" not in text else f"[{text}]")
        if not found:
            hint = "write the DNS name or the IP address that is in the application's certificate"
            raise MalformedInput("upstream-malformed", f"{text!r} is not a server name", hint=hint)
        return found
    if not _FILE.fullmatch(text):
        hint = "write an absolute path of printable ASCII characters"
        raise MalformedInput("upstream-malformed", f"{text!r} is not the path of a file or folder", hint=hint)
    return text


def _base(text: str) -> str:
    """Return a base path without its trailing slash: one spelling, no escapes, no dot segments."""
    base = text.rstrip("/") if text.strip("/") else ""
    odd = len(base) > _BASE_LIMIT or not _PLAIN_BASE.fullmatch(base) or (base and fault_of(base))
    if odd or (text and not base and text != "/"):
        message = f"{text!r} is not a base path"
        hint = "write a plain path such as /app: no escapes, no dot segments, no double slashes, no ;"
        raise MalformedInput("upstream-malformed", message, hint=hint)
    return base


def _tcp_upstream(text: str) -> TcpUpstream:
    match = _TCP.fullmatch(text)
    host = _host(match[1]) if match else ""
    if not match or not host:
        message = f"{text[:128]!r} is not an upstream: it needs a host and a port after tcp://"
        raise MalformedInput("upstream-malformed", message, hint=_TCP_FORMS)
    port = int(match[2])
    _check_port(port, _TCP_FORMS)
    return TcpUpstream(host=host, port=port)


def _check_port(port: int, hint: str) -> None:
    if not 0 < port <= _LARGEST_PORT:
        message = f"{port} is not a port: ports are 1 to {_LARGEST_PORT}"
        raise MalformedInput("upstream-malformed", message, hint=hint)


def _socket(path: str, scheme: str) -> str:
    if len(path) > LONGEST_SOCKET_PATH or not re.fullmatch("/[!-~]*[!-.0-~]", path):
        message = f"{path[:128]!r} is not the path of a unix socket"
        hint = f"write {scheme}:///absolute/path, at most {LONGEST_SOCKET_PATH} printable ASCII characters"
        raise MalformedInput("upstream-malformed", message, hint=hint)
    return path


def _host(text: str) -> str:
    """Return an IP address in its shortest form or a DNS name in lower case; empty if the text is neither."""
    if text.startswith("["):
        try:
            return "" if "%" in text else str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            return ""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        pass
    try:
        return parse_dns_name(text)
    except MalformedInput:
        return ""
