"""The operating systems and browsers for which a page makes the certificate file, in the order of the list."""

from __future__ import annotations

from doorward.web.look.rendering import mark, translate

_DEVICES = (
    ("windows", mark("Windows (Edge, Chrome)")),
    ("macos", mark("Mac (Safari, Chrome)")),
    ("ios", mark("iPhone or iPad")),
    ("android", mark("Android")),
    ("linux", mark("Linux (Chromium, Chrome)")),
    ("firefox", mark("Firefox on any computer")),
)


def list_devices(language: str) -> list[tuple[str, str]]:
    """Return pairs of form value and name."""
    return [(value, translate(name, language)) for value, name in _DEVICES]
