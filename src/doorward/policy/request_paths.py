"""The paths that a request names, and whether its path is open to everybody.

Not here: normalising a path (`normalisation`), and judging it by rules (`decision`).
"""

from __future__ import annotations

from doorward.core.entities import Reason
from doorward.policy.model import ECHOING_METHODS, METHOD, AppPolicy
from doorward.policy.normalisation import NormalisedPath, PathRefused
from doorward.policy.request_headers import parse_destination


def find_open_path(app: AppPolicy, method: str, path: NormalisedPath | PathRefused) -> NormalisedPath | None:
    """Return the path of a request if it is public for the method; None otherwise."""
    if isinstance(path, PathRefused) or not METHOD.fullmatch(method) or method in ECHOING_METHODS:
        return None
    return path if app.is_public(path) else None


def name_paths(
    app: AppPolicy, path: NormalisedPath, destination: str | None
) -> tuple[NormalisedPath, ...] | Reason:
    """Return every path that a request names, or the reason why it is refused before any rule is evaluated."""
    if destination is None:
        return (path,)
    if not app.headers.destination:
        return Reason.DESTINATION_REFUSED
    other = parse_destination(destination, app.hosts)
    return (path, other) if other else Reason.DESTINATION_AMBIGUOUS
