"""What an organisation may set of its pages: a colour that can be read, a logo that does nothing."""

from __future__ import annotations

import pytest

from doorward.core.contrast import (
    DARK_GROUNDS,
    LIGHT_GROUNDS,
    MIN_CONTRAST,
    build_accent_colours,
    check_accent,
    find_readable,
    measure_contrast,
)
from doorward.core.errors import MalformedInput
from doorward.web.look.assets import build_assets
from doorward.web.look.brand import Brand
from doorward.web.look.logo import MAX_LOGO_BYTES, parse_logo
from doorward.web.look.rendering import Look

OPEN = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 8 8">'
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x06\x00\x00\x00"


def svg(within: str) -> bytes:
    """An SVG with something within."""
    return f"{OPEN}{within}</svg>".encode()


def test_contrast_is_that_of_wcag() -> None:
    """Black on white is 21, a colour on itself 1."""
    assert round(measure_contrast("#000000", "#ffffff"), 2) == 21
    assert measure_contrast("#777777", "#777777") == 1
    assert round(measure_contrast("#0f5e56", "#ffffff"), 1) == 7.6


def test_a_pale_accent_is_refused_with_the_nearest_that_passes() -> None:
    """The shade that is named is taken."""
    with pytest.raises(ValueError, match="the nearest colour with enough contrast is #") as refused:
        check_accent("#ff8800")
    nearest = str(refused.value)[-7:]
    check_accent(nearest)
    assert measure_contrast(nearest, "#ffffff") < MIN_CONTRAST + 0.5


@pytest.mark.parametrize("text", ["", "green", "#FFF", "#12345", "#0F5E56", "#0f5e56;x"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    """Six small hexadecimal digits."""
    with pytest.raises(ValueError, match="#rrggbb"):
        check_accent(text)


@pytest.mark.parametrize("accent", ["#0f5e56", "#7a0010", "#000000", "#0000aa", "#3d3d00"])
def test_every_shade_can_be_read_in_both_themes(accent: str) -> None:
    """Links on paper and card, words on buttons, words on the tint."""
    for dark, grounds in ((False, LIGHT_GROUNDS), (True, DARK_GROUNDS)):
        shades = build_accent_colours(accent, dark=dark)
        assert all(measure_contrast(shades.accent, ground) >= MIN_CONTRAST for ground in grounds)
        assert measure_contrast(shades.on_accent, shades.accent) >= MIN_CONTRAST
        assert measure_contrast(shades.deep, shades.soft) >= MIN_CONTRAST


def test_a_colour_that_no_shade_saves_becomes_black_or_white() -> None:
    """If the grounds are both, the search ends."""
    both = ("#ffffff", "#000000")
    assert find_readable("#808080", both, darker=True) == "#0e1416"
    assert find_readable("#808080", both, darker=False) == "#ffffff"


def test_the_accent_is_a_style_sheet_of_its_own() -> None:
    """It stands behind ours on every page, and without one there is none."""
    look = Look(Brand(accent="#7a0010"))
    assert b"--accent: #7a0010;" in look.assets["brand.css"].body
    assert "brand.css" in look.render("join.html", {"origin": "https://x"}, "en")
    assert "brand.css" not in Look().render("join.html", {"origin": "https://x"}, "en")


@pytest.mark.parametrize(
    "within",
    [
        '<path d="M0 0h8" fill="#fff" style="stroke:red"/>',
        '<defs><linearGradient id="g"/></defs><rect fill="url(#g)"/><use xlink:href="#g"/>',
        "<title>Bank</title><!-- a comment -->",
    ],
)
def test_a_logo_that_only_draws_is_taken_as_it_is(within: str) -> None:
    """Paths, gradients, links within the file."""
    data = b'<?xml version="1.0" encoding="UTF-8"?>\n' + svg(within)
    assert parse_logo(data).body == data
    assert build_assets(Brand(logo=parse_logo(data)))["logo.svg"].media_type == "image/svg+xml"


@pytest.mark.parametrize(
    ("within", "why"),
    [
        ("<script>alert(1)</script>", "script"),
        ('<path onload="alert(1)"/>', "onload"),
        ('<path ONCLICK="alert(1)"/>', "ONCLICK"),
        ("<foreignObject/>", "foreignObject"),
        ('<image href="https://evil.test/x.png"/>', "image"),
        ('<use href="https://evil.test/x.svg#a"/>', "href"),
        ('<use xlink:href="data:image/svg+xml,x"/>', "href"),
        ('<rect fill="url(https://evil.test/a)"/>', "fill"),
        ("<rect style=\"fill:url( '//evil.test')\"/>", "style"),
        ('<rect style="fill:\\75rl(//evil.test)"/>', "style"),
        ("<style>@import 'https://evil.test'</style>", "style"),
        ('<a href="javascript:alert(1)"/>', "element a"),
        ('<animate attributeName="href"/>', "animate"),
        ('<x:script xmlns:x="http://www.w3.org/1999/xhtml"/>', "script"),
        ('<g xml:base="https://evil.test/"/>', "xml:base"),
        ("<path>", "well-formed"),
    ],
)
def test_a_logo_that_could_do_more_is_refused(within: str, why: str) -> None:
    """Scripts, handlers, foreign content and outside addresses, each named."""
    with pytest.raises(MalformedInput, match=why) as refused:
        parse_logo(svg(within))
    assert refused.value.code == "logo-refused"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"<html/>",
        b'<!DOCTYPE svg [<!ENTITY a "b">]>' + svg("&a;"),
        b'<?xml-stylesheet href="x"?>' + svg(""),
        PNG[:20],
        PNG.replace(b"\x00\x00\x00\x10\x00", b"\x7f\x00\x00\x10\x00"),
        b" " * (MAX_LOGO_BYTES + 1),
    ],
)
def test_what_is_no_small_picture_is_refused(data: bytes) -> None:
    """Other files, document types, huge pictures, large files."""
    with pytest.raises(MalformedInput):
        parse_logo(data)


def test_a_png_is_taken() -> None:
    """By its signature and header."""
    assert build_assets(Brand(logo=parse_logo(PNG)))["logo.png"].body == PNG
