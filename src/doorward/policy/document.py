"""The policy document as text: parse it, render it, add an application to it.

Not here: YAML (`yaml_tree`), the meaning of each key (`reading`), people and groups (the directory).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from doorward.core.errors import ConfigurationError
from doorward.policy.model import Document, OnRefusal
from doorward.policy.reading import DocumentReader
from doorward.policy.rendering import render_app, render_document
from doorward.policy.yaml_tree import Mapping, parse_tree

__all__ = ["append_app", "parse_document", "render_document"]


def parse_document(text: str, *, file: str = "") -> Document:
    """Parse a policy document.

    Args:
        text: YAML, at most 1 MiB; parsing a document of that size takes at most about ten seconds.
        file: the name of the file, for the text of faults.

    Raises:
        ConfigurationError: every fault, with line, column, key and hint.
    """
    document = _parse_faultless(text)
    if document is not None:
        return document
    reader = DocumentReader(file)
    reader.read(parse_tree(text, file=file))
    raise ConfigurationError(reader.faults)


@lru_cache(maxsize=8)
def _parse_faultless(text: str) -> Document | None:
    """Return the document of a text, None if the text has faults. Cached, because the same revision is read often."""
    try:
        return DocumentReader("").read(parse_tree(text, file=""))
    except ConfigurationError:
        return None


def append_app(
    text: str,
    name: str,
    *,
    hosts: Sequence[str],
    upstream: str,
    alpn: Sequence[str] = (),
    on_refusal: OnRefusal = OnRefusal.ALERT,
) -> str:
    """Return a document's text with one more application, comments and layout kept if possible.

    Args:
        text: a document without faults.
        name: the name of the new application; the document must not contain an application with this name.
        hosts: its host names.
        upstream: `http://host:port`, `unix:///path`, `tcp://host:port` and so on.
        alpn: protocols that clients of a TCP application may offer.
        on_refusal: how the door refuses a connection without a good certificate.

    Returns:
        The text with the new application as the last one, without rules. The caller parses the text to check the values of the application.

    Raises:
        ConfigurationError: the text, or the new application, has faults.
    """
    before = parse_document(text)

    def render(indent: int = 2) -> list[str]:
        return render_app(name, hosts, upstream, indent, alpn=alpn, on_refusal=on_refusal)

    inserted = _insert_app(text, render)
    after = _parse_faultless(inserted) if inserted else None
    if after and replace(after, apps=after.apps[:-1]) == before:
        return inserted
    # The layout is unusual, or the values are bad: append to the canonical text instead.
    lines = [*([] if before.apps else ["apps:"]), *render()]
    canonical = render_document(before) + "\n".join(lines) + "\n"
    parse_document(canonical)
    return canonical


def _insert_app(text: str, render: Callable[[int], list[str]]) -> str:
    """Insert an application's lines after the last line of `apps`; return an empty text if `apps` is not in block style."""
    text = text if text.endswith("\n") else text + "\n"
    root = parse_tree(text, file="")
    found = {key.value: node for key, node in root.entries} if isinstance(root, Mapping) else {}
    apps = found.get("apps")
    if not isinstance(apps, Mapping) or apps.is_flow:
        return ""
    lines = text.splitlines()
    at = apps.end_line - 1
    while not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#"):
        at -= 1
    added = render(apps.column - 1)
    return "\n".join([*lines[:at], *added, *lines[at:]]) + "\n"
