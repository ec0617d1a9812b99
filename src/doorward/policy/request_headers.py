"""Request headers that name another method or path than the request line.

Rules are about the request line. So a request with a header that names a second resource is refused, and a header that
replaces method or path is removed, unless the application's `headers` say otherwise:

    headers:
      destination: judge                  # WebDAV: COPY and MOVE
      pass: [X-HTTP-Method-Override]      # passed on unchanged; rules do not see it

Not here: how Envoy enforces it (enforcement.envoy), paths (`normalisation`).
Standard: RFC 4918 section 10.3 (Destination = absolute-URI or path-absolute of RFC 3986).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from doorward.policy.node_reader import NodeReader, suggest
from doorward.policy.normalisation import NormalisedPath, decode_segments, fault_of
from doorward.policy.yaml_tree import Node

DESTINATION = "destination"

COPY_SOURCES = (
    "x-amz-copy-source",
    "x-amz-rename-source",
    "x-copy-from",
    "x-goog-copy-source",
    "x-ms-copy-source",
    "x-ms-rename-source",
    "x-oss-copy-source",
)
"""Object stores copy from the path in these headers, which no rule has seen; such a request is refused."""

OVERRIDES = (
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
)
"""Frameworks take method or path from these headers instead of the request line; they are removed."""

PASSABLE = frozenset((*OVERRIDES, *COPY_SOURCES))

DESTINATION_LIMIT = 8192
"""Characters of a Destination; about the limit of a request line."""

_URI = re.compile(r"https?://([A-Za-z0-9.-]+)(?::[0-9]{1,5})?(/.*)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOptions:
    """The key `headers` of one application: whether `Destination` is judged, and the lower-case names that pass."""

    destination: bool = False
    passed: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.passed <= PASSABLE:
            raise ValueError("`pass` may only name headers that are refused or removed by default")

    @property
    def refused(self) -> tuple[str, ...]:
        """The headers that make the door refuse a request, sorted."""
        refused = {*COPY_SOURCES} - self.passed
        return tuple(sorted(refused if self.destination else {DESTINATION, *refused}))


DEFAULT_HEADER_OPTIONS = HeaderOptions()
"""The options of an application without the key `headers`."""


def parse_destination(value: str, hosts: Collection[str]) -> NormalisedPath | None:
    """Return the path of a Destination, if it is on one of the hosts and is normalised.

    Args:
        value: the header's value.
        hosts: of the application, in lower case.

    Returns:
        The path; None for another host, a query, and every path that normalisation would change or refuse, because the
        application reads the header unchanged.
    """
    if len(value) > DESTINATION_LIMIT:
        return None
    uri = _URI.fullmatch(value)
    if uri and uri[1].lower() not in hosts:
        return None
    path = uri[2] if uri else value
    return None if fault_of(path) else NormalisedPath(path, decode_segments(path))


def read_header_options(node: Node, key: str, reader: NodeReader) -> HeaderOptions:
    """Return the value of the key `headers`; note faults."""
    found = reader.mapping(node, key, ("destination", "pass"))
    judged = False
    if "destination" in found:
        text = reader.text(found["destination"], f"{key}.destination")
        judged = text is not None and text.value == "judge"
        if text and text.value not in ("judge", "refuse"):
            message = f"{text.value!r} is not a value of `destination`"
            hint = "write judge or refuse; refuse is the default"
            reader.add_fault(text, "unknown-value", message, key=f"{key}.destination", hint=hint)
    passed = set()
    for text in reader.texts(found["pass"], f"{key}.pass") if "pass" in found else ():
        if text.value.lower() in PASSABLE:
            passed.add(text.value.lower())
        else:
            message = f"{text.value!r} is not a header that `pass` may name"
            hint = suggest(text.value.lower(), PASSABLE)
            reader.add_fault(text, "unknown-value", message, key=f"{key}.pass", hint=hint)
    return HeaderOptions(destination=judged, passed=frozenset(passed))


def render_header_options(terms: HeaderOptions) -> list[str]:
    """Return the line of the key in the canonical document; none for the default."""
    parts = ["destination: judge"] if terms.destination else []
    parts += [f"pass: [{', '.join(sorted(terms.passed))}]"] if terms.passed else []
    return [f"    headers: {{{', '.join(parts)}}}"] if parts else []
