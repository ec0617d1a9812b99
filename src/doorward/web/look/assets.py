"""Static files of pages: style, scripts, icons, and the files of the brand. All are read at the start; no path is opened later.

URLs contain a digest of the file (`look.css?v=1a2b3c4d`), so that browsers cache a file for long and load a new version at
once. `look.css` is joined from the files of `static/look`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from doorward.core.contrast import AccentColours, build_accent_colours
from doorward.core.errors import NotFound
from doorward.web.look.brand import Brand

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}
_WEB = Path(__file__).parent.parent
_DIGEST_LENGTH = 8
_STYLES = ("page.css", "parts.css")
"""The parts of `look.css`, in the order of the cascade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One static file."""

    media_type: str
    body: bytes

    @property
    def version(self) -> str:
        """The first digits of its SHA-256."""
        return hashlib.sha256(self.body).hexdigest()[:_DIGEST_LENGTH]


ICONS: Mapping[str, str] = {
    file.stem: file.read_text("utf-8").strip() for file in (Path(__file__).parent / "icons").glob("*.svg")
}
"""Icon name to SVG, which is put inline into the page and has the colour of the text."""


def _read() -> dict[str, Asset]:
    files = sorted((_WEB / "static").iterdir())
    assets = {
        file.name: Asset(media_type=_TYPES[file.suffix], body=file.read_bytes())
        for file in files
        if file.suffix in _TYPES
    }
    style = b"\n".join((_WEB / "static" / "look" / name).read_bytes() for name in _STYLES)
    assets["look.css"] = Asset(media_type=_TYPES[".css"], body=style)
    for name, icon in ICONS.items():
        body = icon.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).encode()
        assets[f"sign-{name}.svg"] = Asset(media_type=_TYPES[".svg"], body=body)
    return assets


BUILT_IN_ASSETS: Mapping[str, Asset] = _read()
"""The files of every installation. Read at import: the process imports all modules as root, before it changes its user."""


def build_assets(brand: Brand) -> dict[str, Asset]:
    """Return every static file of an installation with this brand."""
    assets = dict(BUILT_IN_ASSETS)
    if brand.accent:
        assets["brand.css"] = Asset(media_type=_TYPES[".css"], body=_render_accent(brand.accent).encode())
    if brand.logo is not None:
        assets[brand.logo.file_name] = Asset(media_type=brand.logo.media_type, body=brand.logo.body)
    return assets


def _render_accent(accent: str) -> str:
    light, dark = (_render_shades(build_accent_colours(accent, dark=dark)) for dark in (False, True))
    return f":root {{{light}}}\n@media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}\n"


def _render_shades(shades: AccentColours) -> str:
    values = {
        "accent": shades.accent,
        "on-accent": shades.on_accent,
        "accent-deep": shades.deep,
        "accent-soft": shades.soft,
    }
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def answer_asset(assets: Mapping[str, Asset], name: str) -> Response:
    """Return the answer with a static file.

    Raises:
        NotFound: `path-unknown`.
    """
    asset = assets.get(name)
    if asset is None:
        raise NotFound("path-unknown", "there is no such page here")
    headers = {"Cache-Control": "public, max-age=86400", "ETag": f'"{asset.version}"'}
    headers["Content-Security-Policy"] = (
        "default-src 'none'; sandbox"  # of an SVG opened as a page of its own
    )
    return Response(asset.body, media_type=asset.media_type, headers=headers)
