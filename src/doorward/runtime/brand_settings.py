"""The settings of a brand: name, logo and colour of pages, and where people find help.

Not here: how pages use them (`web.look`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, Field

from doorward.core.contrast import check_accent
from doorward.core.errors import ConfigurationError, Fault, MalformedInput

if TYPE_CHECKING:
    from doorward.web.look.brand import Brand

MOST_CHARACTERS = 60
_HELP = re.compile(
    r"mailto:[A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,253}|tel:\+?[0-9-]{3,20}"
    r"|https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]{0,200})?"
)


def check_line(text: str) -> str:
    """Return a short text of one line as it is."""
    if len(text) > MOST_CHARACTERS or not text.isprintable() or text != text.strip():
        raise ValueError(f"write at most {MOST_CHARACTERS} characters in one line, no space around them")
    return text


def check_help(text: str) -> str:
    """Return an address of help as it is; empty is none."""
    if text and not _HELP.fullmatch(text):
        raise ValueError(
            "write it as mailto:help@corp.example, https://corp.example/help or tel:+49301234, without a query"
        )
    return text


def check_colour(text: str) -> str:
    """Return a colour if text in it is legible; empty is our own colour."""
    if text:
        check_accent(text)
    return text


Line = Annotated[str, AfterValidator(check_line)]


class BrandSettings(BaseModel):
    """What an organisation may set for all pages."""

    brand_name: Line = Field(
        default="Doorward", min_length=1, description="Name that pages show, such as your organisation's."
    )
    brand_logo: Path | None = Field(
        default=None,
        description="File with the logo that pages show beside the name: a plain SVG without styles, scripts and outside addresses, or a PNG of at most 2048 by 2048 pixels; at most 32 KiB.",
    )
    brand_accent: Annotated[str, AfterValidator(check_colour)] = Field(
        default="",
        description="Colour of buttons and links as #rrggbb; refused if text in it is not legible on white (contrast 7); the error names the nearest colour that is. The dark theme uses a lighter shade. Empty is our green.",
    )
    brand_help: Annotated[str, AfterValidator(check_help)] = Field(
        default="",
        description="Where people get help: `mailto:`, `https:` or `tel:` and the address. Pages offer it if something went wrong.",
    )
    brand_hours: Line = Field(
        default="", description="When help is there, in your own words, such as `Mon-Fri 8-18`."
    )


def build_brand(settings: BrandSettings) -> Brand:
    """Return the brand of an installation; its logo is read and checked now.

    Raises:
        ConfigurationError: `setting-invalid` if the logo cannot be read or is refused.
    """
    # Commands read settings and show no page: they do not load the web surfaces.
    from doorward.web.look.brand import Brand  # noqa: PLC0415
    from doorward.web.look.logo import MAX_LOGO_BYTES, parse_logo  # noqa: PLC0415

    logo = None
    if settings.brand_logo is not None:
        try:
            with settings.brand_logo.open("rb") as file:
                logo = parse_logo(file.read(MAX_LOGO_BYTES + 1))
        except OSError as error:
            raise _unusable(f"{settings.brand_logo} cannot be read: {error.strerror}", "") from None
        except MalformedInput as error:
            raise _unusable(error.detail, error.hint) from None
    return Brand(
        name=settings.brand_name,
        help_address=settings.brand_help,
        hours=settings.brand_hours,
        accent=settings.brand_accent,
        logo=logo,
    )


def _unusable(message: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Fault(code="setting-invalid", message=message, hint=hint, key="brand_logo")])
