"""The key `on_refusal` of an application: reading, rendering and comparing it.

    on_refusal: page

`alert` ends the TLS handshake of a connection without a good certificate. That suits machines, but people do not
understand it. With `page` the connection stays open without any grant, and a browser gets a page that says what happened
and what to do.

Not here: the pages (web), and how the door answers such a connection (enforcement).
"""

from __future__ import annotations

from doorward.policy.model import AppPolicy, OnRefusal
from doorward.policy.node_reader import NodeReader
from doorward.policy.yaml_tree import Node

PAGE_FACT = "page: people without a good certificate get a page that says what to do, instead of a TLS alert"
"""What `diff` shows for an application with pages."""

_HINT = "write page (for people with browsers) or alert (for machines)"


def read_on_refusal(reader: NodeReader, found: dict[str, Node], key: str) -> OnRefusal:
    """Return how an application refuses; note faults.

    Args:
        reader: reads nodes, and notes faults.
        found: the entries of the application.
        key: its path in the document.
    """
    if "on_refusal" not in found:
        return OnRefusal.ALERT
    text = reader.text(found["on_refusal"], f"{key}.on_refusal", hint=_HINT)
    if text is None:
        return OnRefusal.ALERT
    for one in OnRefusal:
        if text.value == one.value:
            return one
    message = f"{text.value[:64]!r} is not a value of `on_refusal`"
    reader.add_fault(text, "unknown-value", message, key=f"{key}.on_refusal", hint=_HINT)
    return OnRefusal.ALERT


def render_on_refusal(on_refusal: OnRefusal, indent: int = 4) -> list[str]:
    """Return the line of the key in the canonical document; none for the alert."""
    return [] if on_refusal is OnRefusal.ALERT else [f"{' ' * indent}on_refusal: {on_refusal.value}"]


def refusal_facts(app: AppPolicy) -> dict[str, str]:
    """Return what `diff` compares."""
    return {} if app.on_refusal is OnRefusal.ALERT else {"on_refusal": PAGE_FACT}
