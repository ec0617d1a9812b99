"""The announcement before a document is applied: which connections will end, and when.

Not here: computing it (enforcement.disruption).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from doorward.enforcement.disruption import closed_applications, drained_applications
from doorward.policy.document import parse_document
from doorward.policy.model import Document
from doorward.runtime.compose import Installation
from doorward.stores.policy_snapshot import current_document

_MOST_NAMED = 20
"""Of the applications in one sentence: a document may remove hundreds."""


def tell_disruption(installation: Installation, text: str, *, file: str) -> list[str]:
    """Return a sentence for each kind of end that applying a document brings; raises as `parse_document`."""
    after = parse_document(text, file=file)
    return _tell(installation, _current(installation), after)


def tell_removal(installation: Installation, app: str) -> list[str]:
    """Return the sentences of `tell_disruption` for taking one application out of the document in force."""
    before = _current(installation)
    return _tell(
        installation, before, replace(before, apps=tuple(one for one in before.apps if one.name != app))
    )


def _current(installation: Installation) -> Document:
    with installation.services.work.read() as stores:
        return current_document(stores)[0]


def _named(applications: Sequence[str]) -> str:
    """Return the names for a sentence: all of them, or the first ones and how many more there are."""
    more = len(applications) - _MOST_NAMED
    return ", ".join(applications[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _tell(installation: Installation, before: Document, after: Document) -> list[str]:
    said = []
    drained, closed = drained_applications(before, after), closed_applications(before, after)
    if drained:
        seconds = int(installation.settings.drain_time.total_seconds())
        said.append(
            f"all connections to {_named(drained)} end within {seconds} seconds: "
            "HTTP clients are asked to connect again, and connections that are still open then are cut"
        )
    if closed:
        said.append(
            f"all connections to {_named(closed)} end at once: the document no longer has the application"
        )
    return said
