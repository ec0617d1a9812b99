"""The policy document as text: parse it, render it, add an application to it.

Not here: YAML (`yaml_tree`), what each key means (`reading`), people and groups: they live in the
directory.
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
    """Return the document that the text means.

    Args:
        text: YAML, at most 1 MiB; about ten seconds for the worst of that size.
        file: its name, for faults.

    Raises:
        ConfigurationError: every fault, with line, column, key and mend.
    """
    document = _parse_good(text)
    if document is not None:
        return document
    reader = DocumentReader(file)
    reader.read(parse_tree(text, file=file))
    raise ConfigurationError(reader.faults)


@lru_cache(maxsize=8)
def _parse_good(text: str) -> Document | None:
    """Return what the text means, None where it has faults: the same revision is read again and again."""
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
    """Return a document's text with one more application, comments and layout kept where possible.

    Args:
        text: a document without faults.
        name: of the application, which the document does not have yet.
        hosts: where it is reached.
        upstream: `http://host:port`, `unix:///path`, `tcp://host:port` and so on.
        alpn: protocols that clients of a TCP application may offer.
        on_refusal: how a connection without a good certificate learns of it.

    Returns:
        Text whose last application is the new one, without rules; its values are as given, so parse it.

    Raises:
        ConfigurationError: the text, or what is added to it, has faults.
    """
    before = parse_document(text)

    def render(indent: int = 2) -> list[str]:
        return render_app(name, hosts, upstream, indent, alpn=alpn, on_refusal=on_refusal)

    inserted = _insert_app(text, render)
    after = _parse_good(inserted) if inserted else None
    if after and replace(after, apps=after.apps[:-1]) == before:
        return inserted
    # An unusual layout, or bad values: the canonical one takes the addition at its end.
    lines = [*([] if before.apps else ["apps:"]), *render()]
    canonical = render_document(before) + "\n".join(lines) + "\n"
    parse_document(canonical)
    return canonical


def _insert_app(text: str, render: Callable[[int], list[str]]) -> str:
    """Put an application's lines, rendered with an indent, behind the last line of `apps`; empty where its layout is not a block."""
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
