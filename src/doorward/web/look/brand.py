"""An organisation's brand: the name, the logo, the accent colour and the help address that pages show.

Not here: reading it from settings (`runtime`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Logo:
    """A checked picture: `image/svg+xml` or `image/png`."""

    media_type: str
    body: bytes

    @property
    def file_name(self) -> str:
        """Its name among the static files."""
        return "logo.svg" if self.media_type == "image/svg+xml" else "logo.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """The settings of an organisation for every page.

    Args:
        name: of the organisation, for people.
        help_address: `mailto:`, `https:` or `tel:`; empty shows none.
        hours: when the help desk is open, in the organisation's own words.
        accent: `#rrggbb`; empty for our own colour.
        logo: shown beside the name.
    """

    name: str = "Doorward"
    help_address: str = ""
    hours: str = ""
    accent: str = ""
    logo: Logo | None = None


DEFAULT_BRAND = Brand()
"""The brand if the settings have none."""
