"""The systems for which a page makes a certificate's file, in the order in which they are offered."""

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
    """Return the value and the name of each."""
    return [(value, translate(name, language)) for value, name in _DEVICES]
