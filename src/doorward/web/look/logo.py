"""An organisation's logo: an SVG without active content, or a PNG.

1. An SVG has at most 32 KiB, is UTF-8, and has no document type, so no entity is expanded. 2. It has only elements that
draw. 3. No attribute runs a script (`on…`) or refers to something outside: links and `url()` stay within the file.
4. A PNG has its signature and a header with at most 2048 by 2048 pixels.

An accepted file is served unchanged, as a picture, with a content security policy that allows no script either.
Standard: SVG 2 sections 5 and 16; PNG (third edition) sections 5.2 and 11.2.1.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError
from xml.etree.ElementTree import fromstring as parse_xml

from doorward.core.errors import MalformedInput
from doorward.web.look.brand import Logo

MAX_LOGO_BYTES = 32 * 1024
MAX_PIXELS = 2048

_SVG = "{http://www.w3.org/2000/svg}"
_LINKS = frozenset({"href", "{http://www.w3.org/1999/xlink}href"})
_XML_NAMESPACE = "{http://www.w3.org/XML/1998/namespace}"
_DRAWING = frozenset(
    [
        "svg",
        "g",
        "defs",
        "symbol",
        "use",
        "path",
        "rect",
        "circle",
        "ellipse",
        "line",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "title",
        "desc",
        "metadata",
        "linearGradient",
        "radialGradient",
        "stop",
        "clipPath",
        "mask",
        "pattern",
    ]
)
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = b"\x00\x00\x00\rIHDR"
_OUTSIDE = re.compile(r"url\(\s*(?!['\"]?#)|@import|javascript:|data:|expression\(|\\", re.IGNORECASE)


def parse_logo(data: bytes) -> Logo:
    """Return the logo if it has no active content.

    Args:
        data: the file, at most 32 KiB.

    Raises:
        MalformedInput: `logo-refused`, with the element or attribute that is in the way.
    """
    if len(data) > MAX_LOGO_BYTES:
        raise _refused(f"it has {len(data)} bytes, and a logo may have {MAX_LOGO_BYTES}")
    if data.startswith(_PNG):
        _check_png(data)
        return Logo(media_type="image/png", body=data)
    _check_svg(data)
    return Logo(media_type="image/svg+xml", body=data)


def _check_png(data: bytes) -> None:
    header = data[len(_PNG) :]
    width, height = int.from_bytes(header[8:12]), int.from_bytes(header[12:16])
    if not header.startswith(_HEADER) or not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
        raise _refused(f"it is no PNG of at most {MAX_PIXELS} by {MAX_PIXELS} pixels")


def _check_svg(data: bytes) -> None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _refused("it is neither a PNG nor an SVG in UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text or "<?xml-stylesheet" in text:
        raise _refused("an SVG must have no document type, no entity and no style sheet")
    try:
        # Without a document type there are no entities, which is what S314 warns of.
        declared = text.lstrip("\ufeff \n").startswith("<?xml")
        root = parse_xml(text.partition("?>")[2] if declared else text)  # noqa: S314
    except (ParseError, ValueError, RecursionError):
        raise _refused("it is no well-formed SVG") from None
    if root.tag != f"{_SVG}svg":
        raise _refused("its outermost element is not svg")
    for element in root.iter():
        _check_element(element)


def _check_element(element: Element) -> None:
    tag = element.tag if isinstance(element.tag, str) else ""
    name = tag.removeprefix(_SVG)
    if not tag.startswith(_SVG) or name not in _DRAWING:
        raise _refused(f"the element {name[-60:]} is none that only draws")
    for key, value in element.attrib.items():
        short = key.rpartition("}")[2]
        if short.lower().startswith("on"):
            raise _refused(f"the attribute {short[:60]} would run something")
        if key in _LINKS or short == "src":
            if not value.startswith("#"):
                raise _refused(f"the attribute {short[:60]} of {name} leads outside of the file")
        elif key.startswith(_XML_NAMESPACE) and short == "base":
            raise _refused("the attribute xml:base moves what is within")
        elif _OUTSIDE.search(value):
            raise _refused(f"the attribute {short[:60]} of {name} leads outside of the file")


def _refused(why: str) -> MalformedInput:
    return MalformedInput(
        "logo-refused",
        f"this logo cannot be taken: {why}",
        hint="export it as a plain SVG with paths only and without styles, or as a PNG",
    )
