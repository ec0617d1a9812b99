"""The accent colour of a brand: whether its text has enough contrast, and the colours derived from it.

Standard: WCAG 2.2, relative luminance and contrast ratio; success criterion 1.4.6 (7 to 1).
"""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass

MIN_CONTRAST = 7.0
"""Contrast ratio of text and its background, in the light and the dark theme."""

LIGHT_GROUNDS = ("#ffffff", "#fbfaf8")
DARK_GROUNDS = ("#1c1f24", "#15171b")
"""Backgrounds of cards and of the page in `look.css`."""

_WHITE, _BLACK = "#ffffff", "#0e1416"
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_STEPS = 200
_LINEAR = 0.04045
_SOFT_LIGHT, _SOFT_DARK = 0.88, 0.80


@dataclass(frozen=True, slots=True, kw_only=True)
class AccentColours:
    """The accent in one theme: the colour, text on it, text on `soft`, and `soft`, a tint of the background."""

    accent: str
    on_accent: str
    deep: str
    soft: str


def measure_contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours `#rrggbb`, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def check_accent(text: str) -> None:
    """Return if a colour can be the accent of pages with a white background.

    Raises:
        ValueError: says what to write instead.
    """
    if not _COLOUR.fullmatch(text):
        raise ValueError(
            f"{text[:80]!a} is not a colour: write #rrggbb in small letters, for instance #0f5e56"
        )
    nearest = find_readable(text, LIGHT_GROUNDS, darker=True)
    if nearest != text:
        ratio = min(measure_contrast(text, ground) for ground in LIGHT_GROUNDS)
        raise ValueError(
            f"text in {text} has a contrast of {ratio:.1f} on white, and {MIN_CONTRAST:.0f} is needed; "
            f"the nearest colour with enough contrast is {nearest}"
        )


def find_readable(text: str, grounds: tuple[str, ...], *, darker: bool) -> str:
    """Return the colour if it has enough contrast on all backgrounds, otherwise its nearest shade that has."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(text))
    for step in range(_STEPS + 1):
        shade = lightness * (1 - step / _STEPS) if darker else lightness + (1 - lightness) * step / _STEPS
        colour = text if step == 0 else _spell(colorsys.hls_to_rgb(hue, shade, saturation))
        if all(measure_contrast(colour, ground) >= MIN_CONTRAST for ground in grounds):
            return colour
    return _BLACK if darker else _WHITE


def build_accent_colours(accent: str, *, dark: bool) -> AccentColours:
    """Return the colours of one theme for an accent that passed `check_accent`."""
    grounds = DARK_GROUNDS if dark else LIGHT_GROUNDS
    shown = find_readable(accent, grounds, darker=not dark)
    soft = _mix(shown, grounds[0], _SOFT_DARK if dark else _SOFT_LIGHT)
    on_accent = max((_WHITE, _BLACK), key=lambda one: measure_contrast(one, shown))
    deep = find_readable(shown, (*grounds, soft), darker=not dark)
    return AccentColours(accent=shown, on_accent=on_accent, deep=deep, soft=soft)


def _mix(colour: str, ground: str, share: float) -> str:
    mixed = [
        one * (1 - share) + other * share
        for one, other in zip(_channels(colour), _channels(ground), strict=True)
    ]
    return _spell((mixed[0], mixed[1], mixed[2]))


def _luminance(colour: str) -> float:
    red, green, blue = (
        one / 12.92 if one <= _LINEAR else ((one + 0.055) / 1.055) ** 2.4 for one in _channels(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _spell(channels: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(one * 255):02x}" for one in channels)
