"""The form of a request's line in Envoy's access log: the fields that often repeat are in an object of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OUTSIDE = frozenset({"bytes_received", "bytes_sent", "duration_ms", "kind", "path", "request", "time"})


def parted(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields of a line as Envoy writes them: those that often repeat are in an object of their own."""
    about = {name: value for name, value in fields.items() if name not in _OUTSIDE}
    return {"about": about, **{name: value for name, value in fields.items() if name in _OUTSIDE}}


def joined(line: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line side by side."""
    return {**{name: value for name, value in line.items() if name != "about"}, **line.get("about", {})}
